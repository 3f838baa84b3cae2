"""Tissue contrast of the gradient-echo magnitude: the steady state of spoiled echoes."""

import numpy as np
import numpy.typing as npt

from bids_app.phantom import sampling
from bids_app.qsm.arrays import FloatArray

#: T1 at 3 T, s. White and grey matter: Wansapura et al. 1999; fat, marrow and muscle: Gold et al. 2004,
#: 10.2214/ajr.183.2.1830343. The others are textbook values.
_T1 = {
    sampling.AIR: 1.0,
    sampling.FAT: 0.371,
    sampling.MUSCLE: 1.42,
    sampling.BONE: 0.4,
    sampling.VITREOUS: 4.0,
    sampling.CSF: 4.3,
    sampling.GREY: 1.331,
    sampling.WHITE: 0.832,
    sampling.VEIN: 1.6,
    sampling.CALCIFICATION: 1.3,
    sampling.MARROW: 0.365,
}
#: R1 of nuclei (1/s) without iron, and its rise with their susceptibility (ppm): 1.2 s in the putamen, 1.0 s in the
#: pallidum.
_R1_OF_NUCLEI, _R1_PER_PPM = 0.68, 2.4
#: Tissues whose T1 does not change with the field strength.
_FLUID = (sampling.AIR, sampling.VITREOUS, sampling.CSF)
#: Proton density of fat. Its row of a head as in vivo holds a brightness instead.
_FAT_DENSITY = 0.85


def steady_state(t1: npt.ArrayLike, flip_angle: float, repetition_time: float) -> npt.NDArray[np.float64]:
    """Return the signal of spoiled echoes per proton density, sin a (1 - E) / (1 - E cos a) with E = exp(-TR / T1).

    ``t1`` and ``repetition_time`` in s, ``flip_angle`` in degrees.

    References
    ----------
    Ernst and Anderson 1966, 10.1063/1.1719961.
    """
    decay = np.exp(-repetition_time / np.asarray(t1, np.float64))
    angle = np.deg2rad(flip_angle)
    return np.asarray(np.sin(angle) * (1 - decay) / (1 - decay * np.cos(angle)), np.float64)


def relaxation_times(tissue: FloatArray, field_strength: float) -> npt.NDArray[np.float64]:
    """Return T1 (s) of the rows of a tissue table; that of solid tissue goes with the cube root of the field (T)."""
    iron = np.maximum(tissue[:, sampling.CHI] - tissue[:, sampling.DIAMAGNETIC], 0)
    t1: npt.NDArray[np.float64] = 1 / (_R1_OF_NUCLEI + _R1_PER_PPM * iron.astype(np.float64))
    for row, value in _T1.items():
        if row < len(t1):
            t1[row] = value
    solid = np.setdiff1d(np.arange(len(t1)), _FLUID)
    t1[solid] *= np.cbrt(field_strength / 3)
    return t1


def with_t1_weighting(
    tissue: FloatArray, field_strength: float, flip_angle: float, repetition_time: float
) -> FloatArray:
    """Return the tissue table with the signal of spoiled echoes for proton density; white matter keeps its value."""
    weighted = tissue.copy()
    weighted[sampling.FAT, sampling.M0] = _FAT_DENSITY
    signal = steady_state(relaxation_times(tissue, field_strength), flip_angle, repetition_time)
    weighted[:, sampling.M0] *= (signal / signal[sampling.WHITE]).astype(np.float32)
    return weighted
