"""Data sets and released checkpoints: fetched, verified and safely unpacked."""
