"""One screen for each step."""
