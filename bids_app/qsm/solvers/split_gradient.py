"""The total-variation half of an ADMM: the split gradient and its dual, by a fused kernel or on a device."""

import numba
import numpy as np
import numpy.typing as npt

from bids_app.qsm.arrays import ComplexArray, FloatArray
from bids_app.qsm.device import current_device, namespace
from bids_app.qsm.grid import Grid
from bids_app.qsm.kernels.gradient import mark_edges, split_gradient
from bids_app.qsm.operators.fft import irfftn, rfftn
from bids_app.qsm.operators.vectors import blend
from bids_app.qsm.plain import gradient as plain


class SplitGradient:
    """Auxiliary gradient z and scaled dual u of total variation, kept as the clipped part alone.

    A step computes v = grad(chi) + u, z = shrink(v) by the bound, u = v - z, and returns grad^T (z - u).

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

    @classmethod
    def on_device(cls, grid: Grid, free: npt.NDArray[np.uint8] | None = None) -> "SplitGradient":
        """Return the one for arrays of the current device, on which ``free`` must be."""
        return cls(grid, free) if current_device().is_host else _DeviceSplitGradient(grid, free)

    def spare_edges(self, chi: FloatArray, limit: float) -> None:
        """From now on, do not penalise differences that exceed ``limit`` (per mm) in this map."""
        if self._free.shape != chi.shape:
            self._free = np.empty(chi.shape, np.uint8)
        mark_edges(chi, tuple(np.float32(limit) / step for step in self._steps), self._free)

    def step(self, chi: FloatArray, bound: float) -> FloatArray:
        """Shrink grad(chi) + dual by ``bound`` (ppm/mm), update the dual; return grad^T (shrunk - dual), a buffer."""
        split_gradient(
            chi, self.dual, self._steps, np.float32(bound), self._free, self.divergence, self._planes, self._first
        )
        return self.divergence

    def iterate(self, chi: FloatArray, bound: float, fixed: ComplexArray, gain: FloatArray) -> FloatArray:
        """Take one ADMM iteration whose other half is a product in k-space: chi = F^-1 (fixed + gain F step(chi))."""
        spectrum = rfftn(self.step(chi, bound))
        blend(spectrum, fixed, gain)
        return irfftn(spectrum, chi.shape)


class _DeviceSplitGradient(SplitGradient):
    """The same on whole arrays of a device; its parts of the dual are made with the first map."""

    def __init__(self, grid: Grid, free: npt.NDArray[np.uint8] | None) -> None:
        self._inverse_sizes = [1 / size for size in grid.voxel_size]
        self._parts: list[FloatArray] = []
        self._spared = free

    def step(self, chi: FloatArray, bound: float) -> FloatArray:
        self._parts = self._parts or [namespace(chi).zeros_like(chi) for _ in range(3)]
        return plain.split_gradient(chi, self._parts, self._inverse_sizes, float(bound), self._spared)
