"""Products and norms of arrays on the processor or on a device."""

import numpy as np

from bids_app.qsm.arrays import ComplexArray, FloatArray
from bids_app.qsm.device import is_host, namespace
from bids_app.qsm.kernels import spectrum as fused
from bids_app.qsm.plain import spectrum as plain


def dot(a: FloatArray, b: FloatArray) -> float:
    """Return the inner product of two real arrays of one shape."""
    if is_host(a):
        return float(np.vdot(a, b))
    xp = namespace(a)
    return float(xp.sum(a * b, dtype=xp.float64))


def change_of(new: FloatArray, old: FloatArray) -> tuple[float, float]:
    """Return the squared norms of (new - old) and of new."""
    change, size = fused.change_of(new, old) if is_host(new) else plain.change_of(new, old)
    return float(change), float(size)


def blend(spectrum: ComplexArray, fixed: ComplexArray, gain: FloatArray) -> None:
    """Set ``spectrum`` to ``fixed + gain * spectrum``."""
    (fused if is_host(spectrum) else plain).blend(spectrum, fixed, gain)


def deconvolve(spectrum: ComplexArray, kernel: FloatArray, threshold: float) -> None:
    """Divide by the kernel where its magnitude exceeds ``threshold``, else set zero; in place on the half grid."""
    (fused if is_host(spectrum) else plain).deconvolve(spectrum, kernel, np.float32(threshold))
