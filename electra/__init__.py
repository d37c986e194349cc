"""ELECTRA from scratch in PyTorch, with BERT as the control."""

__version__ = "0.1.0"
