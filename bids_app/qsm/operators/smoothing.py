"""Gaussian smoothing at a cost that does not depend on its width: box filters, applied several times."""

import math
from collections.abc import Sequence

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.kernels.smoothing import angles, boxes_across, boxes_along, complex_signal

_PASSES = 3


def _widths(sigma: float) -> list[int]:
    """Return the radii of boxes whose variances add up to ``sigma`` squared as nearly as whole voxels can."""
    radius = int((math.sqrt(12 * sigma**2 / _PASSES + 1) - 1) // 2)
    width = 2 * radius + 1
    # So many of the passes have the smaller box, the others are two voxels wider.
    small = round((12 * sigma**2 - _PASSES * (width**2 + 4 * width + 3)) / (-4 * width - 4))
    return [radius + (n >= small) for n in range(_PASSES)]


def gaussian(array: FloatArray, sigma: Sequence[float]) -> FloatArray:
    """Smooth a volume by (nearly) a Gaussian; the outside counts as zero.

    Parameters
    ----------
    array : float32, ``[x, y, z]``
        Finite values.
    sigma : 3 floats
        Standard deviation along each axis in voxels, 0 or more.

    Returns
    -------
    float32, ``[x, y, z]``
        Smoothed values.

    References
    ----------
    Wells 1986, 10.1109/TPAMI.1986.4767776.

    Examples
    --------
    >>> point = np.zeros((25, 25, 25), np.float32)
    >>> point[12, 12, 12] = 1
    >>> smoothed = gaussian(point, (2.0, 2.0, 2.0))
    >>> round(float(smoothed.sum()), 4), bool(smoothed[12, 12, 12] == smoothed.max())
    (1.0, True)
    """
    return _by_boxes(array, [_widths(float(width)) for width in sigma])


def gaussian_adjoint(array: FloatArray, sigma: Sequence[float]) -> FloatArray:
    """Apply the adjoint of :func:`gaussian`: the boxes in reverse order, which matters near the faces alone.

    Parameters
    ----------
    array : float32, ``[x, y, z]``
        Finite values.
    sigma : 3 floats
        Standard deviation along each axis in voxels, 0 or more.

    Returns
    -------
    float32, ``[x, y, z]``
        Smoothed values.
    """
    return _by_boxes(array, [_widths(float(width))[::-1] for width in sigma])


def _by_boxes(array: FloatArray, radii: Sequence[Sequence[int]]) -> FloatArray:
    """Apply box filters of the given radii along each axis, one after the other."""
    out = np.array(array, dtype=np.float32, order="C")
    nx, ny, nz = out.shape
    for view, along in zip(((1, nx, ny * nz), (nx, ny, nz), (nx * ny, nz)), radii, strict=True):
        sizes = np.array([radius for radius in along if radius > 0], np.int64)
        if sizes.size:
            (boxes_along if len(view) == 2 else boxes_across)(out.reshape(view), sizes)
    return out


def mean_of_known(values: FloatArray, known: BoolArray, sigma: Sequence[float]) -> FloatArray:
    """Return the Gaussian mean of the known voxels around each voxel; falls to zero where none is near.

    Parameters
    ----------
    values : float32, ``[x, y, z]``
        Finite, 0 where not known.
    known : bool, ``[x, y, z]``
        Voxels that count.
    sigma : 3 floats
        Standard deviation along each axis in voxels, as for :func:`gaussian`.

    Returns
    -------
    float32, ``[x, y, z]``
        Mean values, in the unit of the values.
    """
    share = gaussian(known.astype(np.float32), sigma)
    mean: FloatArray = gaussian(values, sigma) / np.maximum(share, np.float32(1e-3))
    return mean


def gaussian_phase(phase: FloatArray, weight: FloatArray, known: BoolArray, sigma: Sequence[float]) -> FloatArray:
    """Smooth a phase as a complex number, so that multiples of 2 pi do not count, and continue it nearby.

    Parameters
    ----------
    phase : float32, ``[x, y, z]``
        Phase in rad, finite where it is known.
    weight : float32, ``[x, y, z]``
        Its weight.
    known : bool, ``[x, y, z]``
        Voxels that count.
    sigma : 3 floats
        Standard deviation along each axis in voxels, as for :func:`gaussian`.

    Returns
    -------
    float32, ``[x, y, z]``
        Smoothed phase in rad, -pi to pi.
    """
    real, imag = np.empty(phase.shape, np.float32), np.empty(phase.shape, np.float32)
    flat = (np.ascontiguousarray(a).reshape(-1) for a in (phase, weight, known))
    complex_signal(*flat, real.reshape(-1), imag.reshape(-1))
    real, imag = gaussian(real, sigma), gaussian(imag, sigma)
    angles(real.reshape(-1), imag.reshape(-1))
    return real
