"""Where the TGV solver works: rows of the voxels that matter, as flat index spans of a small box around the mask."""

from dataclasses import dataclass

from scipy import ndimage

from bids_app.qsm.arrays import BoolArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.kernels.rows import Layout, RowArguments, RowSpans
from bids_app.qsm.operators.laplacian import NEIGHBOURS

#: Empty voxels around the mask in the box: one for the dilation, one for the stencils that reach out of it.
MARGIN = 2


@dataclass(frozen=True)
class Domain:
    """The regions of the discrete problem.

    The data constraint holds where a voxel and its six neighbours (``strict``: 18) are in the mask (``data``); the
    misfit and both regularisation terms live in the mask; the susceptibility and its modelled gradient also one voxel
    around it (``dilated``), so that no difference ever leaves its region and every operator has its exact adjoint.
    Fields are kept as ``layout`` says.
    """

    grid: Grid
    mask: BoolArray
    dilated: BoolArray
    data: BoolArray
    strict: bool
    layout: Layout
    in_mask: RowSpans
    in_dilated: RowSpans
    in_data: RowSpans

    @classmethod
    def of(cls, mask: BoolArray, grid: Grid, strict: bool, known: BoolArray | None = None) -> "Domain":
        """Return the regions of a mask that leaves ``MARGIN`` voxels free on all sides.

        The data constraint holds in ``known`` only, where it is given.
        """
        data = ndimage.binary_erosion(mask, NEIGHBOURS if strict else None)
        if known is not None:
            data &= known
        dilated = ndimage.binary_dilation(mask)
        if not data.any():
            raise ValueError("the mask is too thin for TGV: no voxel has its neighbours inside it")
        layout = Layout.of(dilated)
        spans = (layout.spans(region) for region in (mask, dilated, data))
        return cls(grid, mask, dilated, data, strict, layout, *spans)

    @property
    def regions(self) -> tuple[RowArguments, ...]:
        """The row spans of dilated mask, mask and data, plane by plane, as the kernels take them."""
        return tuple(spans.by_plane for spans in (self.in_dilated, self.in_mask, self.in_data))
