"""Metrics, and what a fine-tuning leaves behind."""
