"""Background removal from the field's Laplacian (HARPERELLA)."""

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy import ndimage
from scipy.sparse.linalg import LinearOperator, cg

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.mask.boundary import known_object
from bids_app.qsm.method import Background, Method
from bids_app.qsm.operators.crop import Crop
from bids_app.qsm.operators.laplacian import NEIGHBOURS, inverse_laplacian_spectrum, laplacian
from bids_app.qsm.operators.sphere import sphere_kernel
from bids_app.qsm.params import Params, param
from bids_app.qsm.signatures import Progress
from bids_app.qsm.threads import current_threads

_Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class HarperellaParams(Params):
    """Parameters of HARPERELLA."""

    radius: float = param(5.0, low=1.0, high=40.0, unit="mm", doc="Radius of the sphere")
    iterations: int = param(10, low=1, high=2000, doc="Maximum number of conjugate-gradient iterations")
    tolerance: float = param(1e-3, low=0.0, high=1.0, doc="Residual of the normal equations, relative, that ends them")
    padding: float = param(20.0, low=0.0, high=300.0, unit="mm", doc="Empty space around the object")


def harperella(
    total_field_ppm: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: HarperellaParams = HarperellaParams(),
    weights: FloatArray | None = None,
    progress: Progress | None = None,
) -> tuple[FloatArray, BoolArray]:
    """Remove the background field by HARPERELLA: the Laplacian inside decides, that outside is estimated.

    A background field has no Laplacian inside the object, so the local field has that of the total field. The inverse
    Laplacian, taken in k-space, gives the local field if the Laplacian outside the object is known. It is chosen so
    that the spherical mean values of the resulting field, in the object, are least in the 2-norm: a linear
    least-squares problem, solved by conjugate gradients. Few iterations are enough: the solution of the problem itself
    removes a part of the local field, too.

    The published method takes the Laplacian from the sine and cosine of wrapped phase, so that it unwraps at the same
    time. Here it takes the total field, as all methods of the family do. The stencil of 19 points, the whole mask as
    the place of the spherical means, and the number of iterations are this software's choice.

    Parameters
    ----------
    total_field_ppm : float32, ``grid.shape``
        Total field in ppm.
    mask : bool, ``grid.shape``
        Object.
    grid : Grid
        Sampling and direction of B0.
    params : HarperellaParams
        Radius in mm, stopping rule, and padding in mm.
    weights : float32, ``grid.shape``, optional
        The method does not weight the data, but where the weight is 0 at the boundary, the object ends.
    progress : callable, optional
        Called as ``progress(done, total)`` after each iteration.

    Returns
    -------
    local_field_ppm : float32, ``grid.shape``
        Local field in ppm, zero outside the returned mask.
    mask : bool, ``grid.shape``
        Voxels whose 18 neighbours belong to the object, and these neighbours.

    Raises
    ------
    ValueError
        If the mask is empty or too thin, or the shapes differ.

    References
    ----------
    Li et al. 2014, 10.1002/nbm.3056.

    Examples
    --------
    A background that is linear in space is harmonic:

    >>> import numpy as np
    >>> from bids_app.qsm.grid import Grid
    >>> grid = Grid((24, 24, 24))
    >>> x, y, z = np.indices(grid.shape, np.float32) - 12
    >>> local, valid = harperella(z, x**2 + y**2 + z**2 < 100, grid)
    >>> bool(np.abs(local[valid]).max() < 0.1)
    True
    """
    mask = known_object(total_field_ppm, mask, grid, weights)
    crop = Crop.around(mask, grid, params.padding)
    inside = crop.take(mask, np.bool_)
    interior = ndimage.binary_erosion(inside, NEIGHBOURS)
    if not interior.any():
        raise ValueError("the mask has no interior: it is too thin for HARPERELLA")
    field = crop.take_clean(total_field_ppm, mask)
    field -= field[inside].mean(dtype=np.float64).astype(np.float32) * inside
    sources = laplacian(field, crop.grid) * interior
    problem = _Outside(sources, inside, interior, crop.grid, params.radius)
    local = problem.solve(params, progress)
    valid = inside & ndimage.binary_dilation(interior, NEIGHBOURS)
    local *= valid
    return crop.put(local, grid.shape), crop.put(valid, grid.shape)


class _Outside:
    """The Laplacian outside the interior that makes the spherical mean values of the field least.

    The working grid is periodic, so that a Laplacian on it sums to zero, and a constant field has none: the unknown
    sums to zero, and the mean over the object is removed from the spherical means. Double precision: the weight of the
    slowest change is a million times that of the fastest, and rounding would decide from the sixth iteration on.

    Parameters
    ----------
    sources : float32, ``grid.shape``
        Laplacian of the total field in ppm/mm2, zero outside ``interior``.
    inside, interior : bool, ``grid.shape``
        Object, and the voxels where the Laplacian is known.
    grid : Grid
        Working grid.
    radius : float
        Radius of the sphere in mm.
    """

    def __init__(self, sources: FloatArray, inside: BoolArray, interior: BoolArray, grid: Grid, radius: float) -> None:
        self._shape, self._inside, self._outside = grid.shape, inside, ~interior
        self._inverse = inverse_laplacian_spectrum(grid).astype(np.float64)
        self._means = self._inverse * sphere_kernel(radius, grid)
        self._sources = self._sum_to_zero(sources.astype(np.float64))

    def _sum_to_zero(self, array: _Doubles) -> _Doubles:
        """Change an array outside the interior by a constant, so that it sums to zero; in place."""
        array[self._outside] -= array.sum() / np.count_nonzero(self._outside)
        return array

    def _apply(self, spectrum: _Doubles, array: _Doubles) -> _Doubles:
        """Return the array multiplied in k-space."""
        workers = current_threads()
        product = scipy.fft.rfftn(array, workers=workers)
        product *= spectrum
        result: _Doubles = scipy.fft.irfftn(product, s=self._shape, workers=workers, overwrite_x=True)
        return result

    def _spherical_means(self, array: _Doubles) -> _Doubles:
        """Return the spherical means of the field whose Laplacian is ``array``, in the object, less their mean."""
        means = self._apply(self._means, array)
        means -= means.mean(where=self._inside)
        means *= self._inside
        return means

    def _normal(self, array: _Doubles) -> _Doubles:
        """Return the adjoint of the spherical means of an unknown outside the interior, as an unknown."""
        adjoint = self._apply(self._means, self._spherical_means(array))
        adjoint *= self._outside
        return self._sum_to_zero(adjoint)

    def solve(self, params: HarperellaParams, progress: Progress | None) -> FloatArray:
        """Return the field in ppm, less the mean of its spherical means over the object."""
        size, count = self._sources.size, itertools.count(1)
        normal = LinearOperator(
            (size, size), matvec=lambda flat: self._normal(flat.reshape(self._shape)).ravel(), dtype=np.float64
        )
        outside, _ = cg(
            normal,
            self._normal(self._sources).ravel(),
            rtol=params.tolerance,
            maxiter=params.iterations,
            callback=lambda _: progress(next(count), params.iterations) if progress else None,
        )
        sources = self._sources - outside.reshape(self._shape)
        field = self._apply(self._inverse, sources)
        field -= self._apply(self._means, sources).mean(where=self._inside)
        return field.astype(np.float32)


HARPERELLA: Background[HarperellaParams] = Method(
    name="harperella",
    kind="background",
    label="HARPERELLA",
    function=harperella,
    params=HarperellaParams,
    sentence="The background field was removed by HARPERELLA [li2014harperella]{parameters}.",
)
