"""Masks from the data alone."""
