"""A page and a JSON interface to try checkpoints, with the standard library's HTTP server."""
