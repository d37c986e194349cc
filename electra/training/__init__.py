"""Device, optimizer, one train_step, one evaluate, the log, processes."""
