"""The table of fine-tuning tasks, and the readers of their files.

task            what a task is, and what its examples look like
known_tasks     the table of the tasks that have a name
load            a task by its name -> its examples
glue, imdb      readers of the layouts of GLUE and aclImdb
conll           reader of files in columns, a word and its tag a line
tag_schemes     the schemes that write spans as tags
squad           reader of questions in the layout of SQuAD
csv_task        a task of the user's own, described by flags
task_file       a task of the user's own, described by a TOML or JSON file
labels          labels as files spell them
rows            rows of a table -> examples with labels
tables          TSV, CSV and JSON lines -> rows
prepare_imdb    the aclImdb folder as tables and text
"""
