"""Runs steps: order, records, resume, processes, progress."""
