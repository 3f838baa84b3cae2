"""Whether the phase of the echoes lies on a line at all."""

from collections.abc import Sequence

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.results import FieldFit

#: Median residual from which the line is doubted, rad: noise of bright tissue leaves a third of it, while 2 pi
#: miscounted between echoes whose times have no simple ratio leaves 0.36 and more.
_HIGH_RAD = 0.3
#: Robust standard deviation of the residual over its median up to which it is uniform: that of noise has 0.4 and more.
_UNIFORM = 0.3
#: Voxels that are enough for medians.
_SAMPLE = 100_000
#: Standard deviation of normal numbers over their median absolute deviation.
_NORMAL = 1.4826


def uniform_residual(
    unwrapped: FloatArray, magnitude: FloatArray, echo_times: Sequence[float], fit: FieldFit, support: BoolArray
) -> str:
    """Return a sentence where the fit's residual is high and the same nearly everywhere, else an empty text.

    Neither noise nor anatomy leaves such a residual: the echoes do not belong on one line.

    Parameters
    ----------
    unwrapped : float32, ``[echo, x, y, z]``
        Unwrapped phase in rad.
    magnitude : float32, like ``unwrapped``
        Magnitude; the brighter half of the support is looked at.
    echo_times : sequence of float
        Echo times in s.
    fit : FieldFit
        The fit over the echoes.
    support : bool, ``[x, y, z]``
        Voxels with signal.
    """
    inside = np.flatnonzero(support & (fit.sd_hz > 0))
    if len(echo_times) < 2 or not inside.size:
        return ""
    inside = inside[:: max(1, inside.size // _SAMPLE)]
    strength = magnitude[0].reshape(-1)[inside]
    inside = inside[strength >= np.median(strength)]
    residual = fit.residual_rad.reshape(-1)[inside]
    middle = float(np.median(residual))
    spread = _NORMAL * float(np.median(np.abs(residual - middle)))
    if middle < _HIGH_RAD or spread > _UNIFORM * middle:
        return ""
    line = fit.intercept_rad.reshape(-1)[inside]
    field = 2 * np.pi * fit.field_hz.reshape(-1)[inside]
    rests = [
        float(np.median(echo.reshape(-1)[inside] - line - field * np.float32(time)))
        for echo, time in zip(unwrapped, echo_times, strict=True)
    ]
    worst = int(np.argmax(np.abs(rests)))
    return (
        f"the phase of the echoes lies on no line: {middle:.2f} rad are left in nearly every voxel, most in echo "
        f"{worst + 1} ({rests[worst]:+.2f} rad); this is neither noise nor anatomy. Check the echo times in the "
        "sidecars, that all echoes are of one series, and that no echo has another sign or offset of its phase "
        "(field.offsets, field.sign)"
    )
