"""Background removal by projection onto dipole fields (PDF)."""

from collections.abc import Callable
from dataclasses import dataclass

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.background.outside_sources import subtract_outside_sources
from bids_app.qsm.grid import Grid
from bids_app.qsm.method import Background, Method
from bids_app.qsm.params import Params, param


@dataclass(frozen=True)
class PdfParams(Params):
    """Parameters of PDF."""

    iterations: int = param(20, low=1, high=2000, doc="Most conjugate-gradient iterations on the finest grid")
    tolerance: float = param(0.01, low=0.0, high=1.0, doc="Gradient, relative to that without sources, that ends them")
    padding: float = param(20.0, low=0.0, high=300.0, unit="mm", doc="Room around the object for outside sources")


def pdf(
    total_field_ppm: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: PdfParams = PdfParams(),
    weights: FloatArray | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[FloatArray, BoolArray]:
    """Local field by projection onto dipole fields; the mask stays whole.

    Finds the sources outside the mask whose field fits the total field inside it best, by conjugate gradients on the
    weighted normal equations that start from coarser grids, and subtracts that field. A constant field, which sources
    far away make and the finite grid has no room for, is removed first.

    Parameters
    ----------
    total_field_ppm : float32, ``grid.shape``
        Total field in ppm.
    mask : bool, ``grid.shape``
        Object.
    grid : Grid
        Sampling; oblique B0 and anisotropic voxels are honoured.
    params : PdfParams
        Iterations, tolerance, padding in mm.
    weights : float32, ``grid.shape``, optional
        Relative reliability of the data, for example the inverse of the field's standard error; where it is 0 at the
        rim, the object ends.
    progress : callable, optional
        Called as ``progress(done, total)`` after each iteration on the finest grid.

    Returns
    -------
    local_field_ppm : float32, ``grid.shape``; zero outside the mask.
    mask : bool, ``grid.shape``; the object where the field is known.

    Raises
    ------
    ValueError
        If the mask is empty or the shapes differ.

    References
    ----------
    Liu et al. 2011, 10.1002/nbm.1670.
    """
    limits = (params.iterations, params.tolerance, params.padding)
    return subtract_outside_sources(total_field_ppm, mask, grid, limits, weights, (0.0, 1.0, 0.0), progress)


PDF: Background[PdfParams] = Method(
    name="pdf",
    kind="background",
    label="PDF",
    function=pdf,
    params=PdfParams,
    sentence=("The background field was removed by projection onto dipole fields (PDF) [liu2011]{parameters}."),
    uses=frozenset({"weights"}),
)
