"""Where, and how far, a local field is to be doubted: what the empirical-Bayes inversion reads from its residual."""

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.operators.smoothing import mean_of_known

#: Shares of the field that a map explains: priors are trusted least at the first, wholly from the second downwards.
_PRIOR_TRUST, _ERROR = 0.7, 0.5
#: SD of the neighbourhood in which the residual's variance is taken, mm. 2, 3 and 5 mm gave the same maps.
_AROUND_MM = 3.0
#: Share of the field that no map explains from which on residuals are taken for errors of the field alone.
_ALL_ERROR = 0.15
#: Certainty that a voxel keeps at least.
_MIN_CERTAINTY = 0.14


def prior_trust(explained: float) -> float:
    """Return the trust in the priors, 0.7 to 1, from the share of the field that a map explains.

    Field that no map explains is error in the cone, but elsewhere it looks like susceptibility, and is so in part: the
    priors, weighted for the cone's error, would take too much. In a field that is error above all (half or more), the
    priors are right again.
    """
    if explained >= _PRIOR_TRUST:
        return explained
    return _PRIOR_TRUST + (1 - _PRIOR_TRUST) * min(1.0, (_PRIOR_TRUST - explained) / (_PRIOR_TRUST - _ERROR))


def local_certainty(residual: FloatArray, known: BoolArray, limit: float, explained: float, grid: Grid) -> FloatArray:
    """Return how certain the field is in each voxel, 0.14 to 1, from what a first map leaves of it.

    The field's error is not the same everywhere: at the brain's surface, near sinuses and veins, remnants of the
    background and flow leave residuals of several times the typical one. With v the residual's mean square within
    about 3 mm and m its median over the object, the certainty is min(1, (m / v)^p). Full inverse variances (p = 1) take
    too much of strong sources, whose own residuals are large as well because of the priors: p is 1/2 where 15 % of the
    field or more is error (living brains: 15 %) and falls to 0 with that share (simulations of isotropic
    susceptibility: 0.2 %).

    Parameters
    ----------
    residual : float32, ``grid.shape``
        Field less that of the map.
    known : bool, ``grid.shape``
        Voxels with a field; others do not count.
    limit : float
        Voxels with larger residuals do not count: they are outliers, and their neighbours need not be.
    explained : float
        Share of the field that a map explains (:attr:`bids_app.qsm.inversion.spectra.Spectra.explained`).
    grid : Grid
        Sampling.
    """
    known = known & (np.abs(residual) < np.float32(limit))
    square = np.square(residual) * known
    around = mean_of_known(square, known, [_AROUND_MM / size for size in grid.voxel_size])
    values = around[known]
    typical = float(np.median(values)) if values.size else 0.0
    if typical <= 0:
        return np.ones_like(residual)
    ratio = np.float32(typical) / np.maximum(around, np.float32(typical))
    power = np.float32(0.5 * min(1.0, (1 - explained) / _ALL_ERROR))
    return np.asarray(np.maximum(ratio**power, np.float32(_MIN_CERTAINTY)), np.float32)
