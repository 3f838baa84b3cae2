"""Susceptibility source separation: paramagnetic and diamagnetic susceptibility in the same voxel."""
