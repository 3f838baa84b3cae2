"""Steps on spectra of the half grid, and norms; as :mod:`bids_app.qsm.kernels.spectrum`."""

from bids_app.qsm.arrays import ComplexArray, FloatArray
from bids_app.qsm.device import namespace


def blend(spectrum: ComplexArray, fixed: ComplexArray, gain: FloatArray) -> None:
    """Set ``spectrum`` to ``fixed + gain * spectrum``."""
    spectrum *= gain
    spectrum += fixed


def change_of(new: FloatArray, old: FloatArray) -> tuple[float, float]:
    """Return the squared norms of (new - old) and of new."""
    difference = new - old
    return norm_squared(difference), norm_squared(new)


def norm_squared(array: FloatArray) -> float:
    """Return the squared norm of a real array."""
    xp = namespace(array)
    return float(xp.sum(array * array, dtype=xp.float64))


def power(spectrum: ComplexArray, shape: tuple[int, ...]) -> float:
    """Return the squared norm of the real array of ``shape`` whose half-grid transform is ``spectrum``."""
    xp = namespace(spectrum)

    def squared(part: ComplexArray) -> float:
        return norm_squared(xp.real(part)) + norm_squared(xp.imag(part))

    # A sample stands for two, but in the first plane and in that of an even grid's Nyquist frequency.
    total = 2 * squared(spectrum) - squared(spectrum[:, :, 0])
    if shape[2] % 2 == 0:
        total -= squared(spectrum[:, :, shape[2] // 2])
    return total / float(shape[0] * shape[1] * shape[2])


def deconvolve(spectrum: ComplexArray, kernel: FloatArray, threshold: float) -> None:
    """Divide by the kernel where its magnitude exceeds ``threshold``, else set zero; in place."""
    xp = namespace(spectrum)
    kept = xp.abs(kernel) > float(threshold)
    spectrum *= xp.where(kept, 1 / xp.where(kept, kernel, 1.0), 0.0)
