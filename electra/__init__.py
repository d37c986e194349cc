"""ELECTRA from scratch in PyTorch: pre-training on your own text, fine-tuning, and BERT as the control."""

__version__ = "0.1.0"
