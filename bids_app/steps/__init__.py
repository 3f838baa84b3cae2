"""The pipeline: its steps in order."""
