"""What the variational inversions share: the split gradient of total variation, and blending in k-space."""

import numba
import numpy as np
import numpy.typing as npt

from bids_app.qsm.arrays import ComplexArray, FloatArray
from bids_app.qsm.grid import Grid


def laplacian_spectrum(grid: Grid) -> FloatArray:
    """Eigenvalues of (adjoint gradient)(gradient) with periodic forward differences, on the half grid, 1/mm2."""
    total = np.zeros((grid.shape[0], grid.shape[1], grid.shape[2] // 2 + 1), np.float32)
    for axis, (n, size) in enumerate(zip(grid.shape, grid.voxel_size, strict=True)):
        count = total.shape[axis]
        values = (2 - 2 * np.cos(2 * np.pi * np.arange(count) / n)) / size**2
        total += values.astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
    return total


# The helpers take whole arrays and indices: a view of a row would cost counted references, shared by all threads.


@numba.njit(cache=True, nogil=True, fastmath=True)
def _bounds(free, i, j, bit, bound, row):  # type: ignore[no-untyped-def]
    """Fill ``row`` with the shrinkage bound, 0 where ``free`` has ``bit`` set (an edge that is not penalised)."""
    if free.shape[0] > 1:
        for k in range(row.size):
            row[k] = np.float32(0) if free[i, j, k] & bit else bound


@numba.njit(cache=True, nogil=True, fastmath=True)
def _flux(chi, dual, index, ahead, h, bound, out):  # type: ignore[no-untyped-def]
    """Shrink (chi ahead - chi) h + dual for a row: ``dual`` takes the clipped part, ``out`` the rest less it."""
    axis, i, j = index
    i1, j1 = ahead
    for k in range(out.size):
        g = (chi[i1, j1, k] - chi[i, j, k]) * h + dual[axis, i, j, k]
        c = min(max(g, -bound[k]), bound[k])
        dual[axis, i, j, k] = c
        out[k] = g - 2 * c


@numba.njit(cache=True, nogil=True, fastmath=True)
def _flux_along(chi, dual, i, j, h, bound, out):  # type: ignore[no-untyped-def]
    """As :func:`_flux` for the difference along the row itself."""
    last = out.size - 1
    for k in range(last):
        out[k] = (chi[i, j, k + 1] - chi[i, j, k]) * h + dual[2, i, j, k]
    out[last] = (chi[i, j, 0] - chi[i, j, last]) * h + dual[2, i, j, last]
    for k in range(out.size):
        c = min(max(out[k], -bound[k]), bound[k])
        dual[2, i, j, k] = c
        out[k] -= 2 * c


@numba.njit(cache=True, nogil=True, fastmath=True)
def _peek(chi, dual, index, ahead, h, bound, out):  # type: ignore[no-untyped-def]
    """As :func:`_flux` but the dual stays as it is."""
    axis, i, j = index
    i1, j1 = ahead
    for k in range(out.size):
        g = (chi[i1, j1, k] - chi[i, j, k]) * h + dual[axis, i, j, k]
        out[k] = g - 2 * min(max(g, -bound[k]), bound[k])


@numba.njit(cache=True, nogil=True, parallel=True, fastmath=True)
def _split_gradient(chi, dual, steps, bound, free, out, planes, first):  # type: ignore[no-untyped-def]
    """Fused half step of split-gradient total variation with periodic forward differences.

    ``dual`` (3, nx, ny, nz) becomes the clipped gradient + dual, ``out`` the adjoint gradient of (shrunk - dual).
    Blocks of planes run in parallel; ``planes`` holds each block's incoming flux, taken before any dual changes.
    """
    nx, ny, nz = chi.shape
    hx, hy, hz = steps
    blocks = first.size - 1
    for b in numba.prange(blocks):
        i1 = first[b]
        i = i1 - 1 if i1 > 0 else nx - 1
        limit, flux = np.full(nz, bound), np.empty(nz, np.float32)
        for j in range(ny):
            _bounds(free, i, j, 1, bound, limit)
            _peek(chi, dual, (0, i, j), (i1, j), hx, limit, flux)
            for k in range(nz):
                planes[b, j, k] = flux[k]
    for b in numba.prange(blocks):
        limit, flux, row = np.full(nz, bound), np.empty(nz, np.float32), np.empty(nz, np.float32)
        for i in range(first[b], first[b + 1]):
            i1 = i + 1 if i + 1 < nx else 0
            _bounds(free, i, ny - 1, 2, bound, limit)
            _peek(chi, dual, (1, i, ny - 1), (i, 0), hy, limit, row)
            for j in range(ny):
                j1 = j + 1 if j + 1 < ny else 0
                _bounds(free, i, j, 1, bound, limit)
                _flux(chi, dual, (0, i, j), (i1, j), hx, limit, flux)
                for k in range(nz):
                    out[i, j, k] = (planes[b, j, k] - flux[k]) * hx
                    planes[b, j, k] = flux[k]
                _bounds(free, i, j, 2, bound, limit)
                _flux(chi, dual, (1, i, j), (i, j1), hy, limit, flux)
                for k in range(nz):
                    out[i, j, k] += (row[k] - flux[k]) * hy
                    row[k] = flux[k]
                _bounds(free, i, j, 4, bound, limit)
                _flux_along(chi, dual, i, j, hz, limit, flux)
                out[i, j, 0] += (flux[nz - 1] - flux[0]) * hz
                for k in range(1, nz):
                    out[i, j, k] += (flux[k - 1] - flux[k]) * hz


@numba.njit(cache=True, nogil=True, parallel=True, fastmath=True)
def blend(spectrum, fixed, gain):  # type: ignore[no-untyped-def]
    """``spectrum <- fixed + gain * spectrum`` on the half grid."""
    nx, ny, nz = spectrum.shape
    for i in numba.prange(nx):
        for j in range(ny):
            for k in range(nz):
                spectrum[i, j, k] = fixed[i, j, k] + gain[i, j, k] * spectrum[i, j, k]


@numba.njit(cache=True, nogil=True, parallel=True, fastmath=True)
def change_of(new: FloatArray, old: FloatArray) -> tuple[float, float]:
    """Squared norms of (new - old) and of new, each plane summed alone so that the result is the same every time."""
    nx, ny, nz = new.shape
    sums = np.zeros((nx, 2))
    for i in numba.prange(nx):
        for j in range(ny):
            difference = power = np.float32(0)
            for k in range(nz):
                difference += (new[i, j, k] - old[i, j, k]) ** 2
                power += new[i, j, k] ** 2
            sums[i, 0] += difference
            sums[i, 1] += power
    return sums[:, 0].sum(), sums[:, 1].sum()


@numba.njit(cache=True, nogil=True, parallel=True, fastmath=True)
def _plane_powers(spectrum, last, sums):  # type: ignore[no-untyped-def]
    nx, ny, nz = spectrum.shape
    for i in numba.prange(nx):
        for j in range(ny):
            total = np.float32(0)
            for k in range(nz):
                total += spectrum[i, j, k].real ** 2 + spectrum[i, j, k].imag ** 2
            first, end = spectrum[i, j, 0], spectrum[i, j, last]
            sums[i] += 2 * total - first.real**2 - first.imag**2
            if last > 0:
                sums[i] -= end.real**2 + end.imag**2


def power(spectrum: ComplexArray, shape: tuple[int, ...]) -> float:
    """Squared norm of the real array of ``shape`` whose half-grid transform is ``spectrum`` (Parseval)."""
    sums = np.zeros(shape[0])
    # A sample stands for two, but in the first plane and in that of an even grid's Nyquist frequency.
    _plane_powers(spectrum, shape[2] // 2 if shape[2] % 2 == 0 else 0, sums)
    return float(sums.sum()) / float(np.prod(shape))


@numba.njit(cache=True, nogil=True, parallel=True, fastmath=True)
def _mark_edges(chi, limits, free):  # type: ignore[no-untyped-def]
    """Set bits 1, 2, 4 where the periodic forward difference along x, y, z exceeds its limit."""
    nx, ny, nz = chi.shape
    for i in numba.prange(nx):
        i1 = i + 1 if i + 1 < nx else 0
        for j in range(ny):
            j1 = j + 1 if j + 1 < ny else 0
            for k in range(nz):
                k1 = k + 1 if k + 1 < nz else 0
                here, bits = chi[i, j, k], 0
                if abs(chi[i1, j, k] - here) > limits[0]:
                    bits |= 1
                if abs(chi[i, j1, k] - here) > limits[1]:
                    bits |= 2
                if abs(chi[i, j, k1] - here) > limits[2]:
                    bits |= 4
                free[i, j, k] = bits


class SplitGradient:
    """The total-variation half of an ADMM: auxiliary gradient and scaled dual, kept as the clipped part alone.

    Parameters
    ----------
    grid : Grid
        Working grid.
    free : uint8, ``grid.shape``, optional
        Bits 1, 2, 4 mark voxels whose forward difference along x, y, z is not penalised.
    """

    def __init__(self, grid: Grid, free: npt.NDArray[np.uint8] | None = None) -> None:
        shape, blocks = grid.shape, numba.get_num_threads()
        self.dual = np.zeros((3, *shape), np.float32)
        self.divergence = np.empty(shape, np.float32)
        self._steps = tuple(np.float32(1 / size) for size in grid.voxel_size)
        self._free = np.zeros((1, 1, 1), np.uint8) if free is None else np.ascontiguousarray(free)
        blocks = min(blocks, shape[0])
        self._first = np.array([shape[0] * b // blocks for b in range(blocks + 1)])
        self._planes = np.empty((blocks, *shape[1:]), np.float32)

    def spare_edges(self, chi: FloatArray, limit: float) -> None:
        """From now on, do not penalise differences that exceed ``limit`` (per mm) in this map."""
        if self._free.shape != chi.shape:
            self._free = np.empty(chi.shape, np.uint8)
        _mark_edges(chi, tuple(np.float32(limit) / step for step in self._steps), self._free)

    def step(self, chi: FloatArray, bound: float) -> FloatArray:
        """Shrink grad(chi) + dual by ``bound`` (ppm/mm), update the dual; return grad^T (shrunk - dual), a buffer."""
        _split_gradient(
            chi, self.dual, self._steps, np.float32(bound), self._free, self.divergence, self._planes, self._first
        )
        return self.divergence
