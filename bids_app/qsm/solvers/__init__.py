"""Iterative solvers that several methods share."""
