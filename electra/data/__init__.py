"""From raw text to batches: readers, tokenizers, the token store, spans and examples.

sources              files, folders and globs -> the files of a corpus
archives             members of tar and zip files that may be hostile
archive_texts        the texts in an archive
text_files           a file or a member, unpacked and decoded
file_kinds           what a file is, by its first bytes; what is not text
records              JSON lines, JSON arrays, columns of tables -> texts
raw_text             files of a corpus -> lines, each marked where a document begins
sentencepiece        the tokenizer that is trained on a corpus
sentencepiece_child  the process in which it is trained
wordpiece            the tokenizer of a released BERT or ELECTRA
tokenizer            loading either of them
offsets              where in a text its tokens are
located_pieces       the same of SentencePiece's pieces, from its own message
encode_corpus        lines -> token ids, in several processes
token_store          a tokenised corpus on disk; its documents, and those held out
token_cache          tokenizers and token ids that later runs find again
spans                documents -> pre-training examples and their batches
examples             texts of a task -> fine-tuning examples
tagged_words         sentences of tagged words -> fine-tuning examples
question_windows     questions about texts -> fine-tuning examples
batch                examples of like length -> padded batches under a token budget
processes            how many processes may be used; children that end with their parent
waiting              shows that long work goes on
"""
