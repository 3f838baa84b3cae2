"""A noise-free test object whose k-space ends at the voxel size: the air is full of coherent side lobes."""

import numpy as np

from bids_app import qsm
from bids_app.phantom import metrics
from bids_app.qsm.operators.dipole import forward_field

#: Voxels of the images, and of the finer object along an edge of each.
SIZE, FINE = 40, 2
TIMES, FIELD_STRENGTH = (0.004, 0.012, 0.020), 7.0


def coarse(signal):
    """Return the images of a finer object: the middle of its k-space."""
    low, high = (FINE - 1) * SIZE // 2, (FINE + 1) * SIZE // 2
    middle = np.fft.fftshift(np.fft.fftn(signal))[low:high, low:high, low:high]
    return np.fft.ifftn(np.fft.ifftshift(middle)) / FINE**3


def cylinders():
    """Return susceptibility (ppm) and mask of a cylinder with flat ends, and a strong one from end to end in it."""
    n = SIZE * FINE
    x, y, z = np.ogrid[(slice(-n / 2 + 0.5, n / 2, 1),) * 3]
    mask = (x**2 + y**2 < (0.36 * n) ** 2) & (abs(z) < 0.36 * n)
    strong = ((x - 0.18 * n) ** 2 + y**2 < (0.06 * n) ** 2) & mask
    weak = (abs(x + 0.18 * n) < 0.05 * n) & (abs(y) < 0.05 * n) & (abs(z) < 0.3 * n)
    return (0.005 * mask + 0.495 * strong + 0.195 * weak).astype(np.float32), mask


def test_side_lobes_of_an_object_without_noise_are_no_object():
    chi, mask = cylinders()
    hertz = forward_field(chi, qsm.Grid(chi.shape)) * np.float32(42.577478 * FIELD_STRENGTH)
    n = len(chi)
    x = np.linspace(-1, 1, n, dtype=np.float32)[:, None, None]
    echoes = [coarse(mask * np.exp(-30 * t) * np.exp(1j * (x + 2 * np.pi * t * hertz))) for t in TIMES]
    phase, magnitude = (np.stack([f(e).astype(np.float32) for e in echoes]) for f in (np.angle, np.abs))
    inside = np.abs(coarse(mask)) > 0.5
    result = qsm.reconstruct(phase, magnitude, TIMES, qsm.Grid((SIZE,) * 3, (2.0,) * 3), FIELD_STRENGTH)
    assert not (result.mask & ~inside).any()
    assert np.count_nonzero(result.mask) > 0.85 * np.count_nonzero(inside)
    assert metrics.nrmse(result.chi, np.real(coarse(chi)).astype(np.float32), result.mask) < 30
