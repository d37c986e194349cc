"""The table of fine-tuning tasks, and the readers of their files.

task            the table of tasks, and what the examples of a task look like
load            a task by its name -> its examples
glue, imdb      readers of the layouts of GLUE and aclImdb
csv_task        a task of the user's own, described by flags
task_file       a task of the user's own, described by a TOML or JSON file
labels          labels as files spell them
rows            rows of a table -> examples with labels
tables          TSV, CSV and JSON lines -> rows
prepare_imdb    the aclImdb folder as tables and text
"""
