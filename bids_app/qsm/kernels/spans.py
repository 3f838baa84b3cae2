"""Row spans of a region: what kernels walk along that work where the mask is and nowhere else."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_app.qsm.arrays import BoolArray

#: Rows are dealt out in this many pieces whatever the number of threads, so that sums are the same for all of them.
PIECES = 64

IndexArray = npt.NDArray[np.uint64]
#: Start, stop, pieces and the length of the longest row.
SpanArguments = tuple[IndexArray, IndexArray, IndexArray, int]


@dataclass(frozen=True)
class Spans:
    """Row spans ``[start, stop)`` of a region in flat indices of the box, and the limits of the pieces among them."""

    start: IndexArray
    stop: IndexArray
    pieces: IndexArray

    @classmethod
    def of(cls, region: BoolArray) -> "Spans":
        """Return the spans of a region that touches no face of the box."""
        flat = np.zeros(region.size + 2, np.int8)
        flat[1:-1] = region.ravel()
        edges = np.diff(flat)
        start, stop = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
        ends = np.cumsum(stop - start)
        goals = np.linspace(0, ends[-1] if ends.size else 0, PIECES + 1)[1:-1]
        inner = np.searchsorted(ends, goals)
        pieces = np.concatenate(([0], inner, [start.size]))
        return cls(start.astype(np.uint64), stop.astype(np.uint64), pieces.astype(np.uint64))

    @property
    def voxels(self) -> int:
        """Number of voxels."""
        return int((self.stop - self.start).sum())

    @property
    def argument(self) -> SpanArguments:
        """The spans as kernels take them, with the length of the longest row."""
        longest = int((self.stop - self.start).max()) if self.start.size else 0
        return self.start, self.stop, self.pieces, longest
