"""Stored phase to radians: scaling, checks, coil combination, phase offsets."""
