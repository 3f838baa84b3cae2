"""How iterative solvers keep their fields: only the part of each row that stencils reach, without gaps.

An iteration walks through up to twenty fields, and memory is what it waits for. In a box the rows of a head are half
empty, and the empty part is fetched all the same.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_app.qsm.arrays import BoolArray, FloatArray, Scalar
from bids_app.qsm.kernels.lanes import WIDTH
from bids_app.qsm.kernels.spans import IndexArray, Spans

#: Start, stop, pieces (or limits of planes), longest row, and the offsets to the rows next to each.
RowArguments = tuple[IndexArray, IndexArray, IndexArray, int, IndexArray]
#: Neighbouring rows in the kernels' order (-x, +x, -y, +y, -x-y, +x+y, +x-y, -x+y), as steps along x and y.
_NEIGHBOURS = ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, 1), (1, -1), (-1, 1))


@dataclass(frozen=True)
class RowSpans:
    """Row spans ``[start, stop)`` of a region in the layout, its pieces, and the offsets to the rows next to each.

    ``planes`` are the limits of the planes across x among the spans.
    """

    spans: Spans
    neighbours: IndexArray
    planes: IndexArray

    @property
    def voxels(self) -> int:
        """Number of voxels."""
        return self.spans.voxels

    @property
    def argument(self) -> RowArguments:
        """The spans as kernels take them: start, stop, pieces, longest row, offsets (row, 8) that may wrap around."""
        return *self.spans.argument, self.neighbours

    @property
    def by_plane(self) -> RowArguments:
        """The same with the limits of the planes in place of those of the pieces."""
        start, stop, _, longest = self.spans.argument
        return start, stop, self.planes, longest, self.neighbours

    def slabs(self, count: int) -> IndexArray:
        """Return the limits of so many slabs of planes (or fewer), all planes among them and alike in voxels."""
        ends = np.concatenate(([0], np.cumsum(self.spans.stop - self.spans.start)))[self.planes]
        inner = np.searchsorted(ends, np.linspace(0, ends[-1], count + 1)[1:-1])
        return np.unique(np.concatenate(([0], inner, [self.planes.size - 1]))).astype(np.uint64)


@dataclass(frozen=True)
class Layout:
    """One stretch of memory for each row of a box: from the first to the last voxel that a stencil reaches.

    ``stored`` are these voxels; a voxel's place in a field is ``base[row] + z``.
    """

    stored: BoolArray
    base: npt.NDArray[np.int64]

    @classmethod
    def of(cls, region: BoolArray) -> "Layout":
        """Return the layout for stencils of 19 points on a region that leaves a free voxel on all sides."""
        filled, nz = region.any(axis=2), region.shape[2]
        first = np.where(filled, region.argmax(axis=2), nz)
        last = np.where(filled, nz - 1 - region[:, :, ::-1].argmax(axis=2), -1)
        low, high = ndimage.minimum_filter(first, 3) - 1, ndimage.maximum_filter(last, 3) + 1
        z = np.arange(nz)
        stored = (z >= low[..., None]) & (z <= high[..., None])
        lengths = np.maximum(high - low + 1, 0).ravel()
        return cls(stored, np.cumsum(lengths) - lengths - low.ravel())

    @property
    def size(self) -> int:
        """Length of a field: its voxels, and a vector behind them, which kernels read and do not use."""
        return int(np.count_nonzero(self.stored)) + WIDTH

    def take(self, volume: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
        """Return a volume's values as a field."""
        return np.append(volume[self.stored], np.zeros(WIDTH, volume.dtype))

    def put(self, field: FloatArray) -> FloatArray:
        """Return a field as a volume, zero where nothing is stored."""
        volume = np.zeros(self.stored.shape, np.float32)
        self.fill(volume, field)
        return volume

    def fill(self, volume: FloatArray, field: FloatArray) -> None:
        """Put a field into a volume, which keeps its values where nothing is stored."""
        volume[self.stored] = field[:-WIDTH]

    def spans(self, region: BoolArray) -> RowSpans:
        """Return the spans of a region of which all 18 neighbours are stored."""
        spans = Spans.of(region)
        nx, ny, nz = region.shape
        row = (spans.start // np.uint64(nz)).astype(np.int64)
        shift = self.base[row] - row * nz
        neighbours = np.stack([self.base[row + x * ny + y] - self.base[row] for x, y in _NEIGHBOURS], axis=1)
        moved = Spans(
            (spans.start.astype(np.int64) + shift).astype(np.uint64),
            (spans.stop.astype(np.int64) + shift).astype(np.uint64),
            spans.pieces,
        )
        planes = np.searchsorted(row // ny, np.arange(nx + 1)).astype(np.uint64)
        return RowSpans(moved, neighbours.astype(np.uint64), planes)
