"""Background removal without erosion: PDF, and spherical means of what it leaves at the boundary (mSMV)."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.background.outside_sources import subtract_outside_sources
from bids_app.qsm.grid import Grid
from bids_app.qsm.mask.erosion import erode_by_sphere
from bids_app.qsm.method import Background, Method
from bids_app.qsm.operators.crop import Crop
from bids_app.qsm.operators.sphere import sphere_weights
from bids_app.qsm.params import Params, param
from bids_app.qsm.signatures import Progress


@dataclass(frozen=True)
class MsmvParams(Params):
    """Parameters of mSMV."""

    radius: float = param(5.0, low=1.0, high=40.0, unit="mm", doc="Radius of the sphere that fits inside the boundary")
    filters: int = param(5, low=0, high=100, doc="Maximum number of filters at the boundary; 0: PDF alone")
    percentile: float = param(
        99.0, low=50.0, high=100.0, unit="%", doc="Percentile of the magnitude inside that is the limit at the boundary"
    )
    iterations: int = param(
        20, low=1, high=2000, doc="Maximum number of conjugate-gradient iterations of PDF on the finest grid"
    )
    tolerance: float = param(
        0.01, low=0.0, high=1.0, doc="Gradient of PDF, relative to that without sources, that ends"
    )
    padding: float = param(
        20.0, low=0.0, high=300.0, unit="mm", doc="Empty space around the object for outside sources"
    )


def msmv(
    total_field_ppm: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: MsmvParams = MsmvParams(),
    weights: FloatArray | None = None,
    progress: Progress | None = None,
) -> tuple[FloatArray, BoolArray]:
    """Remove the background field by PDF and maximum spherical mean value filtering (mSMV); the mask stays whole.

    PDF leaves some background. It is harmonic, so that its largest values lie at the boundary (maximum principle), and
    its mean over a sphere removes it. At the boundary, where the sphere of ``radius`` does not fit into the mask,
    values whose magnitude exceeds that of the local field inside are therefore background. Their mean over the smallest
    sphere is subtracted, again until none is left or ``filters`` times.

    The publication filters the field inside by the larger sphere before, for inversions whose dipole kernel is
    filtered in the same way. Here the field inside stays as it is, because every inversion takes the result. The limit
    (``percentile``), the mean over the part of the sphere in the mask and the missing vessel filter, which spares
    veins at the boundary, are this software's choice.

    Parameters
    ----------
    total_field_ppm : float32, ``grid.shape``
        Total field in ppm.
    mask : bool, ``grid.shape``
        Object.
    grid : Grid
        Sampling and direction of B0.
    params : MsmvParams
        Radius in mm, number of filters, and limit; stopping rule and padding (mm) of PDF.
    weights : float32, ``grid.shape``, optional
        Relative reliability for PDF, for example the inverse of the standard error; where it is 0 at the boundary, the
        object ends.
    progress : callable, optional
        Called as ``progress(done, total)`` after each iteration of PDF.

    Returns
    -------
    local_field_ppm : float32, ``grid.shape``
        Local field in ppm, zero outside the returned mask.
    mask : bool, ``grid.shape``
        The object where the field is known.

    Raises
    ------
    ValueError
        If the mask is empty or too thin, or the shapes differ.

    References
    ----------
    Roberts et al. 2024, 10.1002/mrm.29963; PDF: Liu et al. 2011, 10.1002/nbm.1670.

    Examples
    --------
    A background that is linear in space is harmonic:

    >>> import numpy as np
    >>> from bids_app.qsm.grid import Grid
    >>> grid = Grid((24, 24, 24))
    >>> x, y, z = np.indices(grid.shape, np.float32) - 12
    >>> local, valid = msmv(z, x**2 + y**2 + z**2 < 100, grid)
    >>> bool(np.abs(local[valid]).max() < 1)
    True
    """
    limits = (params.iterations, params.tolerance, params.padding)
    local, mask = subtract_outside_sources(total_field_ppm, mask, grid, limits, weights, (0.0, 1.0, 0.0), progress)
    crop = Crop.with_margin(mask, grid, 1)
    inside, field = crop.take(mask, np.bool_), crop.take(local)
    deep = erode_by_sphere(inside, params.radius, grid.voxel_size)
    if not deep.any():
        raise ValueError(f"no sphere of {params.radius:g} mm fits into the mask: it is too thin for mSMV")
    limit = float(np.percentile(np.abs(field[deep]), params.percentile))
    smallest = sphere_weights(min(grid.voxel_size), grid.voxel_size)
    part = ndimage.correlate(inside.astype(np.float32), smallest, mode="constant")
    for _ in range(params.filters):
        large = inside & ~deep & (np.abs(field) > limit)
        if not large.any():
            break
        field[large] -= ndimage.correlate(field, smallest, mode="constant")[large] / part[large]
    return crop.put(field, grid.shape), mask


MSMV: Background[MsmvParams] = Method(
    name="msmv",
    kind="background",
    label="mSMV",
    function=msmv,
    params=MsmvParams,
    sentence=(
        "The background field was removed by projection onto dipole fields [liu2011], and what it left at the boundary "
        "by maximum spherical mean value filtering (mSMV) [roberts2024]{parameters}."
    ),
    uses=frozenset({"weights"}),
    on_device=True,
)
