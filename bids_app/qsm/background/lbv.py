"""Background removal by the Laplace equation with boundary values (LBV)."""

import itertools
from dataclasses import dataclass

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.empirical_bayes import BayesParams, expected_field
from bids_app.qsm.mask.boundary import known_object
from bids_app.qsm.method import Background, Correction, Method
from bids_app.qsm.params import Params, param
from bids_app.qsm.signatures import Progress
from bids_app.qsm.solvers.laplace import BoundaryValues


@dataclass(frozen=True)
class LbvParams(Params):
    """Parameters of LBV."""

    iterations: int = param(
        500, low=1, high=5000, doc="Maximum number of conjugate-gradient iterations on the finest grid"
    )
    tolerance: float = param(
        1e-4, low=0.0, high=1.0, doc="Residual, relative to that without background, that ends them"
    )
    levels: int = param(4, low=1, high=8, doc="Grids, each twice as coarse as the one before, that give the start")
    corrections: int = param(
        3,
        low=0,
        high=20,
        doc="Number of times that the field of inner sources is removed from the boundary values; 0: LBV as published",
    )
    relaxation: float = param(
        1.5, low=1.0, high=2.0, doc="Length of the steps that corrections after the first take; 1 is what the map says"
    )


#: The map behind the surface's own field is smoother than the final one, and spares more edges: on simulated heads the
#: susceptibility's error falls by 1 to 3 points by it.
_OWN = BayesParams(gaussian=0.25, sparsity=0.5, edge=1.0, relief=0.0)


def lbv(
    total_field_ppm: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: LbvParams = LbvParams(),
    weights: FloatArray | None = None,
    progress: Progress | None = None,
) -> tuple[FloatArray, BoolArray]:
    """Remove the background field by the Laplacian boundary value method (LBV), its boundary values corrected.

    The background solves Laplace's equation inside the surface, with the total field as its boundary values; the
    local field is the rest, zero at the surface (as published: ``corrections`` 0). Where the surface runs along
    tissue, as in a brain mask, the tissue's own field is not zero there and the error reaches inside. So the map
    that the local field lets expect (:func:`bids_app.qsm.inversion.empirical_bayes.expected_field`) gives the
    surface's own field, which is removed from the boundary values, and the solution is repeated. Each correction
    covers a part of the way; longer steps (``relaxation``) save repetitions. The corrections are this software's
    own.

    A wrong boundary value reaches far inside. So voxels without weight at the boundary, as next to air, where the
    signal is dephased, give no boundary values: the surface runs below them.

    Parameters
    ----------
    total_field_ppm : float32, ``grid.shape``
        Total field in ppm.
    mask : bool, ``grid.shape``
        Object.
    grid : Grid
        Sampling and direction of B0.
    params : LbvParams
        Stopping rule, number of grids and of corrections.
    weights : float32, ``grid.shape``, optional
        Relative reliability of the data, for the corrections; where it is 0 at the boundary, the object ends.
    progress : callable, optional
        Called as ``progress(done, total)`` after each iteration on the finest grid.

    Returns
    -------
    local_field_ppm : float32, ``grid.shape``
        Local field in ppm, zero outside the returned mask.
    mask : bool, ``grid.shape``
        The object where the field is known; without corrections, voxels whose 18 neighbours belong to it.

    Raises
    ------
    ValueError
        If the mask is empty or has no interior, or the shapes differ.

    References
    ----------
    Zhou et al. 2014, 10.1002/nbm.3064.

    Examples
    --------
    A background that is linear in space is harmonic:

    >>> import numpy as np
    >>> from bids_app.qsm.grid import Grid
    >>> grid = Grid((24, 24, 24))
    >>> x, y, z = np.indices(grid.shape, np.float32) - 12
    >>> local, valid = lbv(z, x**2 + y**2 + z**2 < 100, grid)
    >>> bool(np.abs(local[valid]).max() < 0.1)
    True
    """
    mask = known_object(total_field_ppm, mask, grid, weights)
    split = BoundaryValues.of(total_field_ppm, mask, grid)
    if split is None:
        raise ValueError("the mask has no interior: it is too thin for LBV")
    field, box = split.field, split.crop.grid
    reliable = split.crop.take_clean(weights if weights is not None else mask, mask)
    report, limits = _counted(progress, params), (params.iterations, params.tolerance, params.levels)
    local, sources = field - split.harmonic(field, *limits, report), np.zeros_like(field)
    size = float(np.linalg.norm(field[split.boundary]))
    for correction in range(params.corrections):
        # Nothing is known of the surface's local field at first; later what the map before it says.
        known = reliable if correction else reliable * split.interior
        expected = expected_field(local, split.inside, box, known, _OWN)
        change = np.float32(params.relaxation if correction else 1.0) * (expected - sources)
        sources += change
        # What changes is harmonic, too: a small field, which needs few digits.
        tolerance = min(1.0, params.tolerance * size / max(float(np.linalg.norm(change[split.boundary])), 1e-30))
        local += split.harmonic(change, params.iterations, tolerance, params.levels, report)
    valid = split.inside if params.corrections else split.interior
    return split.crop.put(local, grid.shape), split.crop.put(valid, grid.shape)


def _counted(progress: Progress | None, params: LbvParams) -> Progress | None:
    """Return a callback that goes on counting from one correction to the next."""
    if progress is None:
        return None
    count, total = itertools.count(1), params.iterations * (params.corrections + 1)
    return lambda *_: progress(next(count), total)


LBV: Background[LbvParams] = Method(
    name="lbv",
    kind="background",
    label="LBV",
    function=lbv,
    params=LbvParams,
    sentence=(
        "The background field was removed by solving the Laplacian boundary value problem (LBV) [zhou2014]{parameters}."
    ),
    uses=frozenset({"weights"}),
    stages={"corrections": "lbv_corrections"},
)


LBV_CORRECTIONS: Correction = Method(
    name="lbv_corrections",
    kind="correction",
    label="Corrections of LBV's boundary values",
    function=lbv,
    params=Params,
    sentence=(
        "The field of sources inside the mask was estimated and subtracted from the boundary values "
        "of LBV; the parameter “corrections” is the number of repetitions."
    ),
    maturity="this software's own",
)
