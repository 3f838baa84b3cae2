"""Linear operators on volumes: dipole convolution, spheres, differences, Laplacians, FFTs, cropping."""
