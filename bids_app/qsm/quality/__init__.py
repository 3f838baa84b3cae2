"""Metrics for quality control."""
