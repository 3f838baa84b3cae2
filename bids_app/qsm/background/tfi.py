"""Background removal by total field inversion (TFI), with priors on both sides of the mask's boundary."""

from dataclasses import dataclass

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.background.outside_sources import subtract_outside_sources
from bids_app.qsm.grid import Grid
from bids_app.qsm.method import Background, Method
from bids_app.qsm.params import Params, param
from bids_app.qsm.signatures import Progress


@dataclass(frozen=True)
class TfiParams(Params):
    """Parameters of total field inversion as background removal."""

    iterations: int = param(
        15, low=1, high=2000, doc="Maximum number of conjugate-gradient iterations on the finest grid"
    )
    tolerance: float = param(0.005, low=0.0, high=1.0, doc="Gradient, relative to that without sources, that ends them")
    padding: float = param(
        20.0, low=0.0, high=300.0, unit="mm", doc="Empty space around the object for outside sources"
    )
    inner_sd: float = param(0.05, low=1e-4, high=1.0, unit="ppm", doc="Spread of susceptibility expected inside")
    outer_sd: float = param(2.0, low=1e-2, high=100.0, unit="ppm", doc="Spread of susceptibility expected outside")
    noise: float = param(0.003, low=1e-6, high=0.1, unit="ppm", doc="Standard error of the field in a typical voxel")


def tfi(
    total_field_ppm: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: TfiParams = TfiParams(),
    weights: FloatArray | None = None,
    progress: Progress | None = None,
) -> tuple[FloatArray, BoolArray]:
    """Remove the background field by total field inversion (TFI); the mask stays whole.

    Minimises ||w (f - D P y)||^2 + ||y||^2 over sources x = P y on both sides of the boundary, where the prior SD P
    is small inside and large outside. The field of the outside sources alone is subtracted, so that nothing of the
    local field is smoothed. PDF takes the local field for noise instead, so that outside sources fit a part of it
    near the surface.

    Parameters
    ----------
    total_field_ppm : float32, ``grid.shape``
        Total field in ppm.
    mask : bool, ``grid.shape``
        Object.
    grid : Grid
        Sampling and direction of B0.
    params : TfiParams
        Prior SDs and noise in ppm, stopping rule, and padding in mm.
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
    Liu et al. 2017, 10.1002/mrm.26331; PDF: Liu et al. 2011, 10.1002/nbm.1670.

    Examples
    --------
    A background that is linear in space is harmonic:

    >>> import numpy as np
    >>> from bids_app.qsm.grid import Grid
    >>> grid = Grid((24, 24, 24))
    >>> x, y, z = np.indices(grid.shape, np.float32) - 12
    >>> local, valid = tfi(z, x**2 + y**2 + z**2 < 100, grid)
    >>> bool(np.abs(local[valid]).max() < 1)
    True
    """
    priors = (params.inner_sd / params.noise, params.outer_sd / params.noise, 1.0)
    limits = (params.iterations, params.tolerance, params.padding)
    return subtract_outside_sources(total_field_ppm, mask, grid, limits, weights, priors, progress)


TFI: Background[TfiParams] = Method(
    name="tfi",
    kind="background",
    label="TFI",
    function=tfi,
    params=TfiParams,
    sentence=("The background field was removed by preconditioned total field inversion [liu2017]{parameters}."),
    uses=frozenset({"weights"}),
    on_device=True,
)
