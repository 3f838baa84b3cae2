"""A schematic map of fibre directions in white matter, as the susceptibility of myelin needs it."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bids_app.qsm.kernels import jit


class Fibres(NamedTuple):
    """What the susceptibility of white matter needs to know of the main field."""

    b0: npt.NDArray[np.float64]  # (3,) unit vector along the main field in the head's axes
    anisotropy: float  # ppm: susceptibility along the fibres less that across them; 0: isotropic


NO_ANISOTROPY = Fibres(np.array([0.0, 0.0, 1.0]), 0.0)


@jit
def fibre_cos2(x: float, y: float, z: float, b0: npt.NDArray[np.float64]) -> float:
    """Squared cosine of the angle between the main field and the fibres at a point of the template (mm).

    A schematic brain: callosal fibres run from side to side near the midline, projection fibres fan out from the
    internal capsules, association fibres run from front to back at the sides; they blend smoothly.
    """
    side = 1.0 if x >= 0 else -1.0
    up = z - 12.0
    callosal = np.exp(-((x / 16.0) ** 2)) * np.exp(-(((z - 18.0) / 22.0) ** 2))
    rx, ry, rz = x - side * 22.0, y + 12.0, z + 8.0
    reach = np.sqrt(rx * rx + ry * ry + rz * rz) + 1.0
    fan = 0.7 * np.exp(-(((abs(x) - 26.0) / 16.0) ** 2))
    along = 0.5 * np.exp(-(((abs(x) - 42.0) / 9.0) ** 2) - (up / 30.0) ** 2) + 0.05
    # Fibres have no sign: the tensors add, and the largest of the three decides smoothly by its square.
    cx, cz = 1.0, -0.35 * x / 16.0
    cn = np.sqrt(cx * cx + cz * cz)
    c1 = (b0[0] * cx + b0[2] * cz) / cn
    c2 = (b0[0] * rx + b0[1] * ry + b0[2] * rz) / reach
    wave = 0.3 * np.sin(z / 17.0)
    c3 = (b0[1] + wave * b0[2]) / np.sqrt(1.0 + wave * wave)
    w1, w2, w3 = callosal * callosal, fan * fan, along * along
    return (w1 * c1 * c1 + w2 * c2 * c2 + w3 * c3 * c3) / (w1 + w2 + w3)
