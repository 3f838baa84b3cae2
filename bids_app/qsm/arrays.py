"""Types of the arrays that the library takes and returns: ``[x, y, z]`` in voxel axes, C-contiguous."""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
ComplexArray = npt.NDArray[np.complex64]
#: Numbers of any type, or truth values.
NumericArray = npt.NDArray[np.generic]
#: The type of an array that a function returns as it takes it.
Scalar = TypeVar("Scalar", bound=np.generic)
