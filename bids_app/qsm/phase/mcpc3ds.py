"""Phase at echo time zero by MCPC-3D-S."""

from collections.abc import Sequence

from bids_app.qsm.arrays import BoolArray, FloatArray, as_mask
from bids_app.qsm.grid import Grid
from bids_app.qsm.method import Method, Offsets
from bids_app.qsm.phase.offsets import OffsetParams, remove_offset
from bids_app.qsm.results import OffsetResult


def mcpc3ds(
    phase: FloatArray,
    magnitude: FloatArray | None,
    echo_times: Sequence[float],
    mask: BoolArray | None,
    grid: Grid,
    *,
    params: OffsetParams = OffsetParams(),
) -> OffsetResult:
    """Remove the phase offset that does not grow with echo time (receive coils, transmit field).

    The Hermitian inner product of the first two echoes is unwrapped and extrapolated to the first echo; what
    remains of the first echo's phase is the offset, smoothed as a complex image.

    Parameters
    ----------
    phase : float32, ``[echo, x, y, z]``
        Wrapped phase in rad, at least two echoes of one readout polarity.
    magnitude : float32, like ``phase``, optional
        Weights of the smoothing and of the unwrapping.
    echo_times : sequence of float
        Echo times in s, ascending.
    mask : bool, ``[x, y, z]``, optional
        Where the offset is estimated; it is smoothly continued near it.
    grid : Grid
        Voxel size for the smoothing.
    params : OffsetParams
        Smoothing of the offset.

    Returns
    -------
    OffsetResult
        Phase without the offset, wrapped, and the offset, in rad.

    Raises
    ------
    ValueError
        For fewer than two echoes, or echo times that do not ascend.

    References
    ----------
    Eckstein et al. 2018, 10.1002/mrm.26963.
    """
    mask = None if mask is None else as_mask(mask)
    return remove_offset(phase, magnitude, echo_times, mask, grid, params.sigma)


MCPC3DS: Offsets[OffsetParams] = Method(
    name="mcpc3ds",
    kind="offsets",
    label="MCPC-3D-S",
    function=mcpc3ds,
    params=OffsetParams,
    sentence=(
        "The phase at echo time zero was estimated from the first echoes, smoothed and removed "
        "(MCPC-3D-S) [eckstein2018]{parameters}."
    ),
    uses=frozenset({"magnitude"}),
    min_echoes=2,
)
