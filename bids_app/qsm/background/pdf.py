"""Background fields as fields of outside sources: PDF, and total field inversion (TFI) with priors on both sides."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.field.reliability import remove_unreliable_boundary
from bids_app.qsm.grid import Grid
from bids_app.qsm.operators.crop import clean
from bids_app.qsm.params import Params, param
from bids_app.qsm.solvers.dipole_sources import SourceProblem, fit_sources, outside_field, source_crop


@dataclass(frozen=True)
class PdfParams(Params):
    """Parameters of PDF."""

    iterations: int = param(20, low=1, high=2000, doc="Most conjugate-gradient iterations on the finest grid")
    tolerance: float = param(0.01, low=0.0, high=1.0, doc="Gradient, relative to that without sources, that ends them")
    padding: float = param(20.0, low=0.0, high=300.0, unit="mm", doc="Room around the object for outside sources")


@dataclass(frozen=True)
class TfiParams(Params):
    """Parameters of total field inversion as background removal."""

    iterations: int = param(15, low=1, high=2000, doc="Most conjugate-gradient iterations on the finest grid")
    tolerance: float = param(0.005, low=0.0, high=1.0, doc="Gradient, relative to that without sources, that ends them")
    padding: float = param(20.0, low=0.0, high=300.0, unit="mm", doc="Room around the object for outside sources")
    inner_sd: float = param(0.05, low=1e-4, high=1.0, unit="ppm", doc="Spread of susceptibility expected inside")
    outer_sd: float = param(2.0, low=1e-2, high=100.0, unit="ppm", doc="Spread of susceptibility expected outside")
    noise: float = param(0.003, low=1e-6, high=0.1, unit="ppm", doc="Standard error of the field in a typical voxel")


def _split(
    total: FloatArray,
    mask: BoolArray,
    grid: Grid,
    params: PdfParams | TfiParams,
    weights: FloatArray | None,
    priors: tuple[float, float, float],
    progress: Callable[[int, int], None] | None,
) -> tuple[FloatArray, BoolArray]:
    """Total field less that of outside sources; ``priors`` are the inner and outer spread over noise and the ridge."""
    mask = remove_unreliable_boundary(mask & np.isfinite(total), weights)
    crop = source_crop(mask, grid, params.padding)
    inside = mask[crop.box]
    if weights is None:
        weight = inside.astype(np.float32)
    else:
        weight = clean(weights[crop.box], inside)
        typical = np.float32(max(float(np.median(weight[inside])), 1e-30))
        # A voxel without weight would count as outside; next to nothing keeps it inside.
        weight = np.where(inside, np.maximum(weight / typical, np.float32(1e-3)), np.float32(0))
    field = clean(total[crop.box], inside)
    field -= np.float32(np.average(field, weights=weight**2)) * inside
    problem = SourceProblem(field, weight, crop.grid, *priors)
    local = field - outside_field(problem, fit_sources(problem, params.iterations, params.tolerance, progress))
    local *= inside
    out = np.zeros(grid.shape, np.float32)
    out[crop.box] = local
    return out, mask


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
    return _split(total_field_ppm, mask, grid, params, weights, (0.0, 1.0, 0.0), progress)


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
    smoothed. Arguments, result and errors as :func:`pdf`; ``params`` in ppm and mm.

    References
    ----------
    Liu et al. 2017, 10.1002/mrm.26331; PDF: Liu et al. 2011, 10.1002/nbm.1670.
    """
    priors = (params.inner_sd / params.noise, params.outer_sd / params.noise, 1.0)
    return _split(total_field_ppm, mask, grid, params, weights, priors, progress)
