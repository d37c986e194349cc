"""From raw text to batches: what is kept, and that nothing is lost."""
