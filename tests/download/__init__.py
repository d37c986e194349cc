"""Downloads and archives, by download.py as a user runs it."""
