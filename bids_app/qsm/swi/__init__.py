"""Susceptibility-weighted imaging."""
