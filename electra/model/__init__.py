"""The networks of ELECTRA and BERT, their objectives, and the masking that feeds them."""
