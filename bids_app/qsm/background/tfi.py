"""Background removal by total field inversion (TFI), with priors on both sides of the mask's boundary."""

from collections.abc import Callable
from dataclasses import dataclass

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.background.outside_sources import subtract_outside_sources
from bids_app.qsm.grid import Grid
from bids_app.qsm.method import Background, Method
from bids_app.qsm.params import Params, param


@dataclass(frozen=True)
class TfiParams(Params):
    """Parameters of total field inversion as background removal."""

    iterations: int = param(15, low=1, high=2000, doc="Most conjugate-gradient iterations on the finest grid")
    tolerance: float = param(0.005, low=0.0, high=1.0, doc="Gradient, relative to that without sources, that ends them")
    padding: float = param(20.0, low=0.0, high=300.0, unit="mm", doc="Room around the object for outside sources")
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
    progress: Callable[[int, int], None] | None = None,
) -> tuple[FloatArray, BoolArray]:
    """Local field by total field inversion: sources inside and outside are fitted together; the mask stays whole.

    PDF takes the local field for noise, so that outside sources fit what belongs to tissue near the surface. Here
    every voxel has a source, with an expected spread that is small inside and large outside (the preconditioner of
    total field inversion); the field of the outside ones alone is subtracted, so that nothing of the local field is
    smoothed. Arguments, result and errors as :func:`bids_app.qsm.background.pdf.pdf`; ``params`` in ppm and mm.

    References
    ----------
    Liu et al. 2017, 10.1002/mrm.26331; PDF: Liu et al. 2011, 10.1002/nbm.1670.
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
)
