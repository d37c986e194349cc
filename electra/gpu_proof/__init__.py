"""What scripts/prove_gpu.py checks and measures on a GPU, one stage in each file's function."""
