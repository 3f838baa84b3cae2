"""Transverse relaxation from multi-echo magnitude."""
