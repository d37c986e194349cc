"""Scores of spans, labels and answers."""
