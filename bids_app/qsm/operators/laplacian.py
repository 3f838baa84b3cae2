"""Laplacians by second differences (7 points), and by 19 points, zero to the fourth order for harmonic functions.

Second differences alone leave the second order: of a background field, whose sources lie near, they leave a field that
no source in the object makes, the more the longer the voxel is in one direction. With delta_a^2 the second difference
along an axis and h_a the voxel's length there, the operator is

    sum_a delta_a^2 + sum_(a<b) (h_a^2 + h_b^2) / 12 delta_a^2 delta_b^2

(for equal lengths: Collatz, The Numerical Treatment of Differential Equations, 1960).
"""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_app.qsm.arrays import FloatArray
from bids_app.qsm.grid import Grid

#: A voxel and its 18 neighbours, by ``[3, 3, 3]``.
NEIGHBOURS: npt.NDArray[np.bool_] = ndimage.generate_binary_structure(3, 2)
#: Pairs of axes, in the order of the weights.
PAIRS = ((0, 1), (0, 2), (1, 2))

Weights = npt.NDArray[np.float64]


def difference_weights(voxel_size: tuple[float, float, float]) -> tuple[Weights, Weights]:
    """Return the weights of plain second differences and of their products.

    Parameters
    ----------
    voxel_size : 3 floats
        Voxel edges in mm.

    Returns
    -------
    second : float64, ``[3]``
        Weights of the second differences along x, y, z in 1/mm2.
    across : float64, ``[3]``
        Weights of their products across xy, xz, yz in 1/mm2.
    """
    x, y, z = (1 / size**2 for size in voxel_size)
    return np.array([x, y, z]), np.array([x + y, x + z, y + z]) / 12


def by_points(second: Weights, across: Weights) -> tuple[float, Weights]:
    """Return the weights of the voxel and of its neighbours along the axes; those across are ``across`` themselves.

    Parameters
    ----------
    second : float64, ``[3]``
        Weights of the second differences, as of :func:`difference_weights`.
    across : float64, ``[3]``
        Weights of their products.

    Returns
    -------
    centre : float
        Weight of the voxel, in the unit of the given weights.
    along : float64, ``[3]``
        Weights of the neighbours along x, y, z.
    """
    xy, xz, yz = across
    return float(-2 * second.sum() + 4 * across.sum()), second - 2 * np.array([xy + xz, xy + yz, xz + yz])


def point_weights(voxel_size: tuple[float, float, float]) -> tuple[float, Weights, Weights]:
    """Return the weights of the 19 points.

    Parameters
    ----------
    voxel_size : 3 floats
        Voxel edges in mm.

    Returns
    -------
    centre : float
        Weight of the voxel in 1/mm2.
    along : float64, ``[3]``
        Weights of the neighbours along x, y, z in 1/mm2.
    across : float64, ``[3]``
        Weights of the neighbours across xy, xz, yz in 1/mm2.
    """
    second, across = difference_weights(voxel_size)
    return *by_points(second, across), across


def noise_gain(voxel_size: tuple[float, float, float]) -> float:
    """Return the standard deviation of the Laplacian of white noise.

    Parameters
    ----------
    voxel_size : 3 floats
        Voxel edges in mm.

    Returns
    -------
    float
        Standard deviation in 1/mm2, for noise of standard deviation one.
    """
    centre, along, across = point_weights(voxel_size)
    return float(np.sqrt(centre**2 + 2 * (along**2).sum() + 4 * (across**2).sum()))


def stencil(grid: Grid, points: int = 19) -> FloatArray:
    """Return the weights of the Laplacian as an array of 3 x 3 x 3 voxels.

    Parameters
    ----------
    grid : Grid
        Voxel size in mm.
    points : int
        7 for second differences along the axes, 19 for the one of higher order.

    Returns
    -------
    float32, ``[3, 3, 3]``
        Weights in 1/mm2; even along every axis.

    Raises
    ------
    ValueError
        If ``points`` is neither 7 nor 19.
    """
    if points == 19:
        centre, along, across = point_weights(grid.voxel_size)
    elif points == 7:
        along, across = difference_weights(grid.voxel_size)[0], np.zeros(3)
        centre = float(-2 * along.sum())
    else:
        raise ValueError(f"a Laplacian has 7 or 19 points, not {points}")
    weights = np.zeros((3, 3, 3))
    weights[1, 1, 1] = centre
    for axis, weight in enumerate(along):
        np.moveaxis(weights, axis, 0)[::2, 1, 1] = weight
    for weight, (a, b) in zip(across, PAIRS, strict=True):
        np.moveaxis(weights, (a, b), (0, 1))[::2, ::2, 1] = weight
    return weights.astype(np.float32)


def laplacian(array: FloatArray, grid: Grid, *, points: int = 19) -> FloatArray:
    """Return the Laplacian of a volume that is zero beyond its faces; the operator is its own adjoint.

    Parameters
    ----------
    array : float32, ``grid.shape``
        Volume in any unit.
    grid : Grid
        Voxel size in mm.
    points : int
        7 for second differences along the axes, 19 for the one of higher order.

    Returns
    -------
    float32, ``grid.shape``
        The unit of the volume per mm2.

    Raises
    ------
    ValueError
        If ``points`` is neither 7 nor 19.

    Notes
    -----
    The solvers' kernels (:mod:`bids_app.qsm.kernels.laplace`, :mod:`bids_app.qsm.kernels.tgv`) compute the same in
    the rows of a mask.

    References
    ----------
    Collatz 1960, The Numerical Treatment of Differential Equations.

    Examples
    --------
    >>> grid = Grid((5, 5, 5), (1.0, 1.0, 2.0))
    >>> x, y, z = np.indices(grid.shape)
    >>> round(float(laplacian((x**2 + 3 * y**2).astype(np.float32), grid)[2, 2, 2]), 4)
    8.0
    """
    return np.asarray(ndimage.correlate(array, stencil(grid, points), mode="constant"), np.float32)


def inverse_laplacian_spectrum(grid: Grid) -> FloatArray:
    """Return the inverse of the 19-point Laplacian on a periodic grid, in k-space.

    Parameters
    ----------
    grid : Grid
        Shape and voxel size in mm.

    Returns
    -------
    float32, ``(nx, ny, nz // 2 + 1)``
        Factors in mm2 for a spectrum of :func:`bids_app.qsm.operators.fft.rfftn`; 0 for the mean, which a Laplacian
        does not contain.

    Examples
    --------
    >>> inverse_laplacian_spectrum(Grid((2, 1, 1))).ravel().tolist()
    [0.0, -0.25]
    """
    second, across = difference_weights(grid.voxel_size)
    places = (*grid.shape[:2], grid.shape[2] // 2 + 1)
    # Second differences of a wave, free of the cancellation in 2 cos - 2.
    differences = [
        (-4 * np.sin(np.pi * np.arange(count) / size) ** 2).reshape([-1 if a == axis else 1 for a in range(3)])
        for axis, (count, size) in enumerate(zip(places, grid.shape, strict=True))
    ]
    spectrum = sum(weight * difference for weight, difference in zip(second, differences, strict=True))
    for weight, (a, b) in zip(across, PAIRS, strict=True):
        spectrum = spectrum + weight * differences[a] * differences[b]
    spectrum[0, 0, 0] = np.inf
    return np.asarray(1 / spectrum, np.float32)
