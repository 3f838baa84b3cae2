"""Types of the arrays that the library takes and returns: ``[x, y, z]`` in voxel axes, C-contiguous."""

from typing import TypeVar, cast

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
ComplexArray = npt.NDArray[np.complex64]
#: Numbers of any type, or truth values.
NumericArray = npt.NDArray[np.generic]
#: The type of an array that a function returns as it takes it.
Scalar = TypeVar("Scalar", bound=np.generic)


def as_mask(mask: NumericArray) -> BoolArray:
    """Return a mask of truth values, or of the numbers 0 and 1 as image files store it, as truth values.

    Parameters
    ----------
    mask : array of any shape
        Mask; truth values are returned as they are.

    Returns
    -------
    bool, the same shape
        The mask.

    Raises
    ------
    ValueError
        If it holds other values.

    Examples
    --------
    >>> as_mask(np.array([0.0, 1.0]))
    array([False,  True])
    """
    given = np.asarray(mask)
    if given.dtype == np.bool_:
        return cast(BoolArray, given)
    inside = given.astype(np.bool_)
    if not np.array_equal(inside, given):
        raise ValueError("the mask holds values other than 0 and 1: make it one of truth values, as by mask > 0.5")
    return inside
