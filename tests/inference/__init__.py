"""Labels and replaced words, by predict.py and by its library."""
