"""Numerics of quantitative susceptibility mapping: arrays in, arrays out."""
