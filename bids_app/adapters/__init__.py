"""Adapters to FastSurfer, ANTs and label atlases: paths in, paths out."""
