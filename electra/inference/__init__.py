"""What a checkpoint says of texts: a classifier's labels, an ELECTRA's replaced words."""
