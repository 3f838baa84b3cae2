"""What the methods of each family return: frozen records of arrays ``[x, y, z]``."""

from dataclasses import dataclass

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray


@dataclass(frozen=True)
class OffsetResult:
    """Corrected phase of every echo (rad, wrapped, echoes first) and the offset (rad, wrapped)."""

    phase: FloatArray
    offset: FloatArray


@dataclass(frozen=True)
class FieldFit:
    """Field (Hz), its standard error (Hz), intercept (rad) and weighted root-mean-square residual (rad)."""

    field_hz: FloatArray
    sd_hz: FloatArray
    intercept_rad: FloatArray
    residual_rad: FloatArray
    #: Most iterations that any voxel took; 1 for the line fit.
    iterations: int = 1


@dataclass(frozen=True)
class Relaxation:
    """R2* (1/s), T2* (s; 0 where R2* is 0) and S0 (units of the magnitude)."""

    r2star: FloatArray
    t2star: FloatArray
    s0: FloatArray


@dataclass(frozen=True)
class SpinEchoFit:
    """R2 of multi-echo spin echoes, ``[x, y, z]``, 0 outside the mask.

    ``r2`` and its standard deviation ``r2_sd`` in 1/s, ``s0`` and ``residual`` (root mean square over the echoes) in
    units of the magnitude, ``angle`` in degrees (180 where it is not fitted).
    """

    r2: FloatArray
    r2_sd: FloatArray
    s0: FloatArray
    angle: FloatArray
    residual: FloatArray

    @property
    def t2(self) -> FloatArray:
        """T2 in s; 0 where R2 is 0."""
        return np.divide(np.float32(1), self.r2, out=np.zeros_like(self.r2), where=self.r2 > 0)


@dataclass(frozen=True)
class CorrectedDecay:
    """R2* without macroscopic field gradients, ``[x, y, z]``, 0 outside the mask.

    ``r2star``, its standard deviation ``r2star_sd`` and what the gradient had added (``gradient_rate``: the
    uncorrected less the corrected R2*) in 1/s; ``valid`` is false where fewer than three echoes (two of a train of two)
    keep enough signal for the correction.
    """

    r2star: FloatArray
    r2star_sd: FloatArray
    gradient_rate: FloatArray
    valid: BoolArray


@dataclass(frozen=True)
class Swi:
    """Susceptibility-weighted image, and its sliding minimum over slabs (0 outside the mask)."""

    swi: FloatArray
    minip: FloatArray


@dataclass(frozen=True)
class Sources:
    """The two susceptibilities in ppm, ``[x, y, z]``, zero outside the mask.

    ``paramagnetic`` is 0 or more, ``diamagnetic`` 0 or less; their sum is the susceptibility. ``residual`` is what the
    model leaves of R2' (or R2*, for the methods that fit it) in 1/s, measured less modelled; None where nothing is
    fitted. ``orientation`` is the diamagnetic R2' of a voxel over that of spheres (white-matter method), else None.
    """

    paramagnetic: FloatArray
    diamagnetic: FloatArray
    residual: FloatArray | None = None
    orientation: FloatArray | None = None
