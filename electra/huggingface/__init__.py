"""Released checkpoints in, and ours out, without their library."""
