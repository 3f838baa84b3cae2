"""Decide what every series is."""
