"""Speed of this project and of others, measured side by side."""
