"""BERT and ELECTRA on equal compute, each with and without post-pre-training."""
