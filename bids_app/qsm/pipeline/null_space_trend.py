"""The smooth trend of a map that no field determines, estimated from tissue of like appearance and removed."""

from dataclasses import dataclass, replace

import numpy as np

from bids_app.qsm.arrays import FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.null_space_trend import appearance, field_of_trend, null_space_trend
from bids_app.qsm.pipeline.inversion import Susceptibility


@dataclass(frozen=True)
class Detrended:
    """A map without its null-space trend.

    Attributes
    ----------
    susceptibility : Susceptibility
        Map and local field without the trend.
    trend : float32, ``[x, y, z]``
        What was removed from the map, in ppm; 0 everywhere where no trend was found.
    sd : float
        Its standard deviation over the valid mask in ppm.
    """

    susceptibility: Susceptibility
    trend: FloatArray
    sd: float

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods that ran: none where no trend was found."""
        return ("null_space_trend",) if self.sd else ()


def remove_null_space_trend(susceptibility: Susceptibility, magnitude: FloatArray, grid: Grid) -> Detrended:
    r"""Remove the smooth trend of a map that no field distinguishes from a background.

    A map :math:`\chi + p` with a polynomial :math:`p` whose field is harmonic inside the mask,
    :math:`\nabla^2 (D p) = 0`, fits the local field as well as :math:`\chi` does. Tissue of like appearance has one
    susceptibility: the trend that it shows over the mask is removed from the map, and its field from the local field.

    Parameters
    ----------
    susceptibility : Susceptibility
        Map of :func:`susceptibility`.
    magnitude : float32, ``[x, y, z]``
        Combined magnitude, by which tissue is recognised.
    grid : Grid
        Sampling of the images.

    Returns
    -------
    Detrended
        Map and local field without the trend, and the trend.

    Examples
    --------
    >>> import numpy as np
    >>> from bids_app import qsm
    >>> grid = qsm.Grid((24, 24, 24), (6.0, 6.0, 6.0))
    >>> x, y, z = np.meshgrid(*[np.linspace(-1, 1, 24, dtype=np.float32)] * 3, indexing="ij")
    >>> mask = x**2 + y**2 + z**2 < 0.9
    >>> tissue = np.random.default_rng(0).random(grid.shape) < 0.5
    >>> chi = np.where(mask, np.where(tissue, 0.02, -0.02) + 0.05 * z, 0).astype(np.float32)
    >>> maps = qsm.Susceptibility(chi, mask, None, chi, mask)
    >>> without = qsm.remove_null_space_trend(maps, np.where(tissue, 100, 80).astype(np.float32), grid)
    >>> bool(np.std((without.trend - 0.05 * z)[mask]) < 0.01)
    True
    """
    trend = null_space_trend(
        susceptibility.chi, susceptibility.mask, grid, appearance(magnitude, susceptibility.mask, grid)
    )
    sd = float(trend.std(where=susceptibility.mask, dtype=np.float64))
    if not sd:
        return Detrended(susceptibility, trend, 0.0)
    local = susceptibility.local_field
    if local is not None:
        local = local - field_of_trend(trend, susceptibility.single_mask, grid)
    chi, single = susceptibility.chi - trend, susceptibility.single_chi - trend * susceptibility.single_mask
    return Detrended(replace(susceptibility, chi=chi, single_chi=single, local_field=local), trend, sd)
