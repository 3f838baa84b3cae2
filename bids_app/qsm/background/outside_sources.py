"""What PDF and TFI share: the field of sources outside the mask, fitted and subtracted."""

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.mask.boundary import known_object
from bids_app.qsm.operators.crop import clean
from bids_app.qsm.signatures import Progress
from bids_app.qsm.solvers.dipole_sources import SourceProblem, fit_sources, outside_field, source_crop


def subtract_outside_sources(
    total: FloatArray,
    mask: BoolArray,
    grid: Grid,
    limits: tuple[int, float, float],
    weights: FloatArray | None,
    priors: tuple[float, float, float],
    progress: Progress | None,
) -> tuple[FloatArray, BoolArray]:
    """Return the total field less that of outside sources, and the mask where it is valid.

    ``limits`` are the iterations, the tolerance and the padding (mm); ``priors`` the inner and the outer spread of
    susceptibility over the noise, and the ridge.
    """
    iterations, tolerance, padding = limits
    mask = known_object(total, mask, grid, weights)
    crop = source_crop(mask, grid, padding)
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
    local = field - outside_field(problem, fit_sources(problem, iterations, tolerance, progress))
    local *= inside
    out = np.zeros(grid.shape, np.float32)
    out[crop.box] = local
    return out, mask
