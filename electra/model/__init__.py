"""The networks, and the masking that feeds them."""
