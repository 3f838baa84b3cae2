"""The dipole kernel and the field of a susceptibility distribution."""

import numba
import numpy as np
import scipy.fft

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.operators.crop import Crop
from bids_app.qsm.operators.fft import irfftn, rfftn


@numba.njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def _fill(axes, odd, b0, kernel):  # type: ignore[no-untyped-def]
    """Fill in 1/3 - (k.b0)^2 / |k|^2, squares from ``axes`` and cross terms from ``odd`` frequencies."""
    x, y, z = axes
    ox, oy, oz = odd
    for i in numba.prange(kernel.shape[0]):
        for j in range(kernel.shape[1]):
            squared = x[i] ** 2 + y[j] ** 2
            along = (b0[0] * x[i]) ** 2 + (b0[1] * y[j]) ** 2 + 2 * b0[0] * b0[1] * ox[i] * oy[j]
            across = 2 * (b0[0] * ox[i] + b0[1] * oy[j]) * b0[2]
            for k in range(kernel.shape[2]):
                total = along + (b0[2] * z[k]) ** 2 + across * oz[k]
                kernel[i, j, k] = 1 / 3 - total / (squared + z[k] ** 2)


def dipole_kernel(grid: Grid) -> FloatArray:
    """Dipole kernel on the half grid of :func:`bids_app.qsm.operators.fft.rfftn`.

    D(k) = 1/3 - (k.b0)^2 / |k|^2 with D(0) = 0, k in 1/mm, so that anisotropic voxels and oblique main fields are
    honoured. At a Nyquist frequency +k and -k share a sample; the sign of the cross terms is ambiguous there, so the
    mean over both signs is taken, which keeps the kernel even and the field of a real map real.

    Returns
    -------
    float32 array, shape ``(nx, ny, nz // 2 + 1)``.

    References
    ----------
    Salomir et al. 2003, 10.1002/cmr.b.10083; Marques & Bowtell 2005, 10.1002/cmr.b.20034.
    """
    (nx, ny, nz), (dx, dy, dz), b0 = grid.shape, grid.voxel_size, grid.b0_dir
    axes = (scipy.fft.fftfreq(nx, dx), scipy.fft.fftfreq(ny, dy), scipy.fft.rfftfreq(nz, dz))
    # Along with each axis, the same frequencies without Nyquist: these enter the cross terms.
    odd = []
    for k, n, d in zip(axes, grid.shape, grid.voxel_size, strict=True):
        signed = k.copy()
        if n % 2 == 0:
            signed[np.isclose(np.abs(k), 0.5 / d)] = 0
        odd.append(signed)
    kernel = np.empty((nx, ny, nz // 2 + 1), np.float32)
    _fill(axes, tuple(odd), tuple(float(b) for b in b0), kernel)
    kernel[0, 0, 0] = 0
    return kernel


def forward_field(chi: FloatArray, grid: Grid, *, pad: bool = True) -> FloatArray:
    """Field in ppm of a susceptibility map in ppm, shape ``grid.shape``.

    With ``pad`` the grid is doubled, so that the periodic copies of the object lie a whole field of view away;
    without, the field is that of the periodically continued map.
    """
    if chi.shape != grid.shape:
        raise ValueError(f"chi has shape {chi.shape}, the grid {grid.shape}")
    if not pad:
        return irfftn(rfftn(np.asarray(chi, np.float32)) * dipole_kernel(grid), grid.shape)
    shape = tuple(scipy.fft.next_fast_len(2 * n, real=True) for n in grid.shape)
    large = Grid(shape, grid.voxel_size, grid.b0_dir)
    padded = np.zeros(large.shape, np.float32)
    inner = tuple(slice(0, n) for n in grid.shape)
    padded[inner] = chi
    spectrum = rfftn(padded)
    spectrum *= dipole_kernel(large)
    return np.ascontiguousarray(irfftn(spectrum, large.shape)[inner])


def field_in_box(chi: FloatArray, mask: BoolArray, grid: Grid, padding_mm: float) -> FloatArray:
    """Field in ppm of a susceptibility map (ppm) in the box of a mask, which holds its sources; zero elsewhere.

    ``padding_mm``: empty space around the box, that the periodic copies of the map lie so far away.
    """
    crop = Crop.around(mask, grid, padding_mm)
    return crop.put(forward_field(crop.take(chi), crop.grid, pad=False), grid.shape)
