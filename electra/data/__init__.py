"""From raw text to batches: readers, tokenizers, the token store, spans and examples."""
