"""The checkpoint file and the run folder."""
