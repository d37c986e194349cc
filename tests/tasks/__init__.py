"""Readers of the tasks: what they keep, and that they name what they cannot read."""
