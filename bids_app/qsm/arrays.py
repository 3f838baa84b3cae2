"""Types of the arrays that the library takes and returns: ``[x, y, z]`` in voxel axes, C-contiguous."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
ComplexArray = npt.NDArray[np.complex64]
