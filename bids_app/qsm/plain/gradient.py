"""The step of split-gradient total variation; as :mod:`bids_app.qsm.kernels.gradient`."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bids_app.qsm.arrays import FloatArray
from bids_app.qsm.device import namespace


def split_gradient(
    chi: FloatArray, dual: list[FloatArray], steps: Sequence[float], bound: float, free: npt.NDArray[np.uint8] | None
) -> FloatArray:
    """Clip grad(chi) + dual by ``bound`` and return the adjoint gradient of (shrunk - clipped).

    ``dual`` holds an array for each axis and takes the clipped parts. ``free`` has the bits 1, 2, 4 where the
    difference along x, y, z is not penalised.
    """
    xp = namespace(chi)
    divergence = xp.zeros_like(chi)
    for axis, step in enumerate(steps):
        flux = (xp.roll(chi, -1, axis=axis) - chi) * step
        flux += dual[axis]
        dual[axis] = xp.clip(flux, -bound, bound)
        if free is not None:
            dual[axis] = xp.where((free & (1 << axis)) == 0, dual[axis], 0.0)
        flux -= 2 * dual[axis]
        divergence += (xp.roll(flux, 1, axis=axis) - flux) * step
    return divergence
