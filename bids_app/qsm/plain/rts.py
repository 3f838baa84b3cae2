"""Vector operations of the least-squares start of RTS; as :mod:`bids_app.qsm.kernels.rts`."""

from bids_app.qsm.arrays import ComplexArray, FloatArray
from bids_app.qsm.plain.spectrum import norm_squared


def multiply(spectrum: ComplexArray, kernel: FloatArray, out: ComplexArray) -> None:
    """Set ``out`` to the product of a spectrum and a real kernel."""
    out[...] = spectrum * kernel


def masked_power(image: FloatArray, inside: FloatArray) -> float:
    """Return the squared norm of the image inside the mask (0 or 1)."""
    return norm_squared(image * inside)


def descend(residual: FloatArray, image: FloatArray, inside: FloatArray, length: float) -> None:
    """Subtract ``length`` times the image, inside the mask, from the residual."""
    residual -= float(length) * inside * image


def add(chi: ComplexArray, direction: ComplexArray, length: float, scale: float, gradient: ComplexArray) -> None:
    """Add ``length`` times the direction to chi, then set the direction to gradient + ``scale`` direction."""
    chi += float(length) * direction
    direction *= float(scale)
    direction += gradient
