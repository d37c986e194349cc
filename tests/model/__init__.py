"""The networks, their objectives, and the masking."""
