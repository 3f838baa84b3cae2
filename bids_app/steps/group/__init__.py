"""Steps over the whole study."""
