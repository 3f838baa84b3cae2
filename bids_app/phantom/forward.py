"""From tissue to signal: field of the whole head in free space on a grid finer than the data, then complex signal.

The inversions of :mod:`bids_app.qsm` work on the data's grid. Here the susceptibility lives on a grid that is finer by
a whole factor, its field is that of a head in empty space (no periodic copies), and the complex signals of the fine
voxels are summed into the data's voxels, so that dephasing inside a voxel and partial volume come of themselves.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_app.qsm.arrays import ComplexArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.kernels import jit
from bids_app.qsm.operators.dipole import forward_field
from bids_app.qsm.operators.fft import irfftn, rfftn
from bids_app.qsm.threads import current_threads
from bids_app.qsm.units import ppm_per_hz

#: Coarse grid of the far field: about this many mm, a whole multiple of the fine voxel.
_FAR_MM = 3.4
#: Multiples that divide sizes on which FFTs are fast (no prime above 5).
_FAR_FACTORS = (1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 15, 16, 18, 20, 24, 25, 27, 30)
#: Margin that a fine box needs around the data, mm: less, and the far field is not smooth inside.
MARGIN_MM = 9.0


@jit
def _apply_dipole(
    spectrum: ComplexArray,
    kx: FloatArray,
    ky: FloatArray,
    kz: FloatArray,
    b0: npt.NDArray[np.float64],
    nyquist: npt.NDArray[np.bool_],
    first: int,
    last: int,
) -> None:
    """Multiply planes of a half spectrum by the dipole response, in place (no kernel array is kept).

    At a Nyquist frequency the sign of a cross term is undefined; cross terms are dropped there.
    """
    for i in range(first, last):
        for j in range(spectrum.shape[1]):
            for k in range(spectrum.shape[2]):
                x, y, z = kx[i], ky[j], kz[k]
                squared = x * x + y * y + z * z
                if squared == 0:
                    spectrum[i, j, k] = 0
                    continue
                u = 0.0 if nyquist[0] and 2 * i == spectrum.shape[0] else x
                v = 0.0 if nyquist[1] and 2 * j == spectrum.shape[1] else y
                w = 0.0 if nyquist[2] and k == spectrum.shape[2] - 1 else z
                along = (b0[0] * x) ** 2 + (b0[1] * y) ** 2 + (b0[2] * z) ** 2
                along += 2 * (b0[0] * b0[1] * u * v + b0[0] * b0[2] * u * w + b0[1] * b0[2] * v * w)
                spectrum[i, j, k] *= np.float32(1.0 / 3.0 - along / squared)


def periodic_field(chi: FloatArray, grid: Grid) -> FloatArray:
    """Field (ppm) of a map (ppm) that is continued periodically; D(0) = 0."""
    spectrum = rfftn(chi)
    k = [np.fft.fftfreq(n, d) for n, d in zip(grid.shape[:2], grid.voxel_size[:2], strict=True)]
    k.append(np.fft.rfftfreq(grid.shape[2], grid.voxel_size[2]))
    b0 = np.asarray(grid.b0_dir)
    even = np.array([n % 2 == 0 for n in grid.shape])
    _by_rows(lambda first, last: _apply_dipole(spectrum, *k, b0, even, first, last), grid.shape[0])
    return irfftn(spectrum, grid.shape)


def _by_rows(work: Callable[[int, int], None], count: int, step: int = 4) -> None:
    """Call ``work(first, last)`` for blocks of rows on numba's number of threads."""
    with ThreadPoolExecutor(current_threads()) as pool:
        list(pool.map(lambda first: work(first, min(first + step, count)), range(0, count, step)))


@dataclass(frozen=True)
class FarGrid:
    """A coarse grid around a fine box, whose voxels are whole blocks of fine voxels inside the box."""

    factors: tuple[int, int, int]  # fine voxels per coarse voxel
    before: tuple[int, int, int]  # coarse voxels before the box
    grid: Grid

    @classmethod
    def around(cls, fine: Grid, reach_mm: Sequence[tuple[float, float]]) -> "FarGrid":
        """Return the grid that reaches so many mm beyond the box on both sides of every axis.

        Raises
        ------
        ValueError
            If the fine grid is no whole multiple of :func:`far_factors`.
        """
        factors = far_factors(fine.voxel_size)
        if any(n % f for n, f in zip(fine.shape, factors, strict=True)):
            raise ValueError(f"the fine grid {fine.shape} must be a multiple of {factors}")
        voxel = tuple(v * f for v, f in zip(fine.voxel_size, factors, strict=True))
        before = tuple(int(np.ceil(max(reach[0], 0) / v)) for reach, v in zip(reach_mm, voxel, strict=True))
        after = tuple(int(np.ceil(max(reach[1], 0) / v)) for reach, v in zip(reach_mm, voxel, strict=True))
        shape = tuple(b + n // f + a for b, n, f, a in zip(before, fine.shape, factors, after, strict=True))
        return cls(factors, before, Grid(shape, voxel, fine.b0_dir))  # type: ignore[arg-type]


def far_factors(fine_mm: Sequence[float]) -> tuple[int, int, int]:
    """Return how many fine voxels make a voxel of the far field's grid, along each axis."""
    x, y, z = (min(_FAR_FACTORS, key=lambda f: abs(f * v - _FAR_MM)) for v in fine_mm)
    return x, y, z


def free_field(chi: FloatArray, fine: Grid, far: FarGrid, far_chi: FloatArray) -> FloatArray:
    """Field in ppm on the fine grid of a head in empty space.

    Parameters
    ----------
    chi : float32 array, ``fine.shape``
        Susceptibility in ppm relative to the medium around the head (air).
    far_chi : float32 array, ``far.grid.shape``
        The whole head on the coarse grid; its part inside the fine box is replaced by block means of ``chi``.

    The fine box is convolved as if periodic; the difference between free space with the whole head and the periodic
    box is smooth inside the box, is computed on the coarse grid, and added after cubic interpolation.
    """
    field = periodic_field(chi, fine)
    blocks = block_mean(chi, far.factors)
    whole = np.array(far_chi, np.float32)
    inner = tuple(slice(b, b + n) for b, n in zip(far.before, blocks.shape, strict=True))
    whole[inner] = blocks
    box = Grid(blocks.shape, far.grid.voxel_size, fine.b0_dir)
    add_smooth(field, forward_field(whole, far.grid)[inner] - periodic_field(blocks, box), far)
    return field


def add_smooth(field: FloatArray, smooth: FloatArray, far: FarGrid) -> None:
    """Add a field on the coarse voxels of a fine box, interpolated by cubics, to the fine field in place."""
    smooth = _remove_alternation(smooth)
    spread = [_cubic(n, f) for n, f in zip(smooth.shape, far.factors, strict=True)]
    part = np.einsum("abc,yb,zc->ayz", smooth, spread[1], spread[2], optimize=True)
    flat = part.reshape(part.shape[0], -1)
    for first in range(0, field.shape[0], 8):
        rows = slice(first, min(first + 8, field.shape[0]))
        field[rows] += (spread[0][rows] @ flat).reshape(-1, *field.shape[1:])


def _remove_alternation(field: FloatArray) -> FloatArray:
    """Take the highest frequencies away: the head's borders ring there, differently in the two fields' k-spaces.

    What is left of a difference of fields has no source inside the box, so that it is harmonic there and equals its
    local mean.
    """
    for axis in range(3):
        field = ndimage.correlate1d(field, np.array([0.25, 0.5, 0.25], np.float32), axis=axis, mode="nearest")
    return field


def block_mean(array: npt.NDArray[np.floating], factors: Sequence[int]) -> FloatArray:
    """Mean over blocks of voxels; trailing axes stay."""
    (a, b, c), shape = factors, array.shape
    blocks = array.reshape(shape[0] // a, a, shape[1] // b, b, shape[2] // c, c, *shape[3:])
    return np.ascontiguousarray(blocks.mean(axis=(1, 3, 5), dtype=np.float32))


def _cubic(count: int, factor: int) -> FloatArray:
    """Catmull-Rom interpolation from ``count`` blocks to their ``count * factor`` fine voxels, as a matrix."""
    at = (np.arange(count * factor) + 0.5) / factor - 0.5
    base = np.floor(at).astype(int)
    t = at - base
    weights = (
        -0.5 * t + t**2 - 0.5 * t**3,
        1 - 2.5 * t**2 + 1.5 * t**3,
        0.5 * t + 2 * t**2 - 1.5 * t**3,
        -0.5 * t**2 + 0.5 * t**3,
    )
    matrix = np.zeros((len(at), count), np.float32)
    for shift, weight in zip((-1, 0, 1, 2), weights, strict=True):
        np.add.at(matrix, (np.arange(len(at)), np.clip(base + shift, 0, count - 1)), weight.astype(np.float32))
    return matrix


def shim(field: npt.NDArray[np.floating], positions: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Fit what the scanner's shims take away: solid harmonics up to second order.

    Parameters
    ----------
    field : array, (points,)
    positions : array, (points, 3)
        Scanner coordinates in decimetres.

    Returns
    -------
    nine coefficients for :func:`harmonics`.
    """
    coefficients = np.linalg.lstsq(harmonics(positions), field.astype(np.float64), rcond=None)[0]
    return np.asarray(coefficients, np.float64)


def harmonics(positions: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Solid harmonics of order 0 to 2 at positions (..., 3): nine columns."""
    x, y, z = (np.asarray(positions[..., a], np.float64) for a in range(3))
    constant = np.ones_like(x)
    return np.stack([constant, x, y, z, x * y, y * z, z * x, x * x - y * y, 2 * z * z - x * x - y * y], axis=-1)


@jit
def _signal_rows(
    density: FloatArray, r2star: FloatArray, hz: FloatArray, times: FloatArray, factor: int, out: ComplexArray
) -> None:
    n = np.float32(1.0 / factor**3)
    for i in range(out.shape[1]):
        for j in range(out.shape[2]):
            for k in range(out.shape[3]):
                for e in range(len(times)):
                    real, imag = np.float32(0), np.float32(0)
                    for a in range(factor * i, factor * (i + 1)):
                        for b in range(factor * j, factor * (j + 1)):
                            for c in range(factor * k, factor * (k + 1)):
                                if density[a, b, c] > 0:
                                    size = density[a, b, c] * np.exp(-r2star[a, b, c] * times[e])
                                    # Multiples of 2 pi are removed first: single precision holds the rest.
                                    turns = hz[a, b, c] * times[e]
                                    angle = np.float32(2 * np.pi) * (turns - np.floor(turns))
                                    real += size * np.cos(angle)
                                    imag += size * np.sin(angle)
                    out[e, i, j, k] = complex(real * n, imag * n)


def gradient_echo(
    density: FloatArray,
    r2star: FloatArray,
    field_ppm: FloatArray,
    times: Sequence[float],
    field_strength: float,
    factor: int,
) -> ComplexArray:
    """Complex gradient-echo signal without noise, (echoes, nx, ny, nz), of fine voxels summed ``factor`` by axis.

    ``density`` without unit, ``r2star`` in 1/s, ``field_ppm`` in ppm of B0, ``times`` in s, ``field_strength`` in T.
    The phase is 2 pi gamma B0 field TE; a positive field gives a positive phase.
    """
    shape = tuple(n // factor for n in density.shape)
    out = np.empty((len(times), *shape), np.complex64)
    hz = field_ppm * np.float32(1 / ppm_per_hz(field_strength))
    echo = np.asarray(times, np.float32)

    def rows(first: int, last: int) -> None:
        cut = slice(first * factor, last * factor)
        _signal_rows(density[cut], r2star[cut], hz[cut], echo, factor, out[:, first:last])

    _by_rows(rows, shape[0], step=1)
    return out
