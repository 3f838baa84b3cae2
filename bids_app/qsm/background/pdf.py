"""Background removal by projection onto dipole fields (PDF)."""

from dataclasses import dataclass

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.background.outside_sources import subtract_outside_sources
from bids_app.qsm.grid import Grid
from bids_app.qsm.method import Background, Method
from bids_app.qsm.params import Params, param
from bids_app.qsm.signatures import Progress


@dataclass(frozen=True)
class PdfParams(Params):
    """Parameters of PDF."""

    iterations: int = param(
        20, low=1, high=2000, doc="Maximum number of conjugate-gradient iterations on the finest grid"
    )
    tolerance: float = param(0.01, low=0.0, high=1.0, doc="Gradient, relative to that without sources, that ends them")
    padding: float = param(
        20.0, low=0.0, high=300.0, unit="mm", doc="Empty space around the object for outside sources"
    )


def pdf(
    total_field_ppm: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: PdfParams = PdfParams(),
    weights: FloatArray | None = None,
    progress: Progress | None = None,
) -> tuple[FloatArray, BoolArray]:
    """Remove the background field by projection onto dipole fields (PDF); the mask stays whole.

    Minimises ||w (f - D x)||^2 over sources x outside the mask, by conjugate gradients that start from coarser
    grids, and subtracts their field. A constant field, which far sources make and the finite grid cannot hold,
    is removed first.

    Parameters
    ----------
    total_field_ppm : float32, ``grid.shape``
        Total field in ppm.
    mask : bool, ``grid.shape``
        Object.
    grid : Grid
        Sampling and direction of B0.
    params : PdfParams
        Stopping rule, and padding in mm.
    weights : float32, ``grid.shape``, optional
        Relative reliability w, for example the inverse of the standard error; where it is 0 at the boundary, the object
        ends.
    progress : callable, optional
        Called as ``progress(done, total)`` after each iteration.

    Returns
    -------
    local_field_ppm : float32, ``grid.shape``
        Local field in ppm, zero outside the returned mask.
    mask : bool, ``grid.shape``
        The object where the field is known.

    Raises
    ------
    ValueError
        If the mask is empty or the shapes differ.

    References
    ----------
    Liu et al. 2011, 10.1002/nbm.1670.

    Examples
    --------
    A background that is linear in space is harmonic:

    >>> import numpy as np
    >>> from bids_app.qsm.grid import Grid
    >>> grid = Grid((24, 24, 24))
    >>> x, y, z = np.indices(grid.shape, np.float32) - 12
    >>> local, valid = pdf(z, x**2 + y**2 + z**2 < 100, grid)
    >>> bool(np.abs(local[valid]).max() < 1)
    True
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
    on_device=True,
)
