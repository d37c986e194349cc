"""The table of fine-tuning tasks, and the readers of their files."""
