"""Name subjects, sessions and files."""
