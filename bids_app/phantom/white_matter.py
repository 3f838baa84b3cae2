"""White matter as in life: a susceptibility tensor along its fibres, and a frequency of the water around myelin.

A living brain's field is not that of an isotropic susceptibility. Two effects of the fibres add to it, and both depend
on the angle between fibres and main field:

* the susceptibility of myelin is a tensor (Liu 2010, 10.1002/mrm.22482);
* water inside and around hollow cylinders of myelin has a frequency of its own, which has no sources outside (Wharton
  and Bowtell 2012, 10.1073/pnas.1211075109).
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_app.phantom.forward import FarGrid, add_smooth, block_mean
from bids_app.phantom.sampling import Warp, trilinear
from bids_app.phantom.template import Stack
from bids_app.qsm.arrays import ComplexArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.spectra import frequencies
from bids_app.qsm.kernels import jit
from bids_app.qsm.operators.dipole import dipole_kernel
from bids_app.qsm.operators.fft import irfftn, rfftn

#: Standard deviations (mm) of the Gaussians over which directions of fibres change: tracts, and detail within them.
TRACT_MM, DETAIL_MM = 8.0, 2.5
#: Box of the fibres in template space, and their voxels (mm).
_LOW, _HIGH, _STEP_MM = np.array([-84.0, -116.0, -84.0]), np.array([84.0, 84.0, 96.0]), 2.0


@dataclass(frozen=True)
class WhiteMatter:
    """How the fibres of white matter change the field.

    Parameters
    ----------
    anisotropy : float
        Susceptibility along the fibres less that across them, ppm. Its mean over all directions stays.
    frequency : float
        Frequency of fibres across the main field less that of fibres along it, ppm of the main field.
    fine_fibres : float
        Weight of directions that change within 2.5 mm, relative to those that change within 8 mm.
    """

    anisotropy: float = 0.0
    frequency: float = 0.0
    fine_fibres: float = 0.7


def turning_fibres(shape: Sequence[int], voxel_mm: float, random: np.random.Generator, fine: float = 0.0) -> FloatArray:
    """Return unit vectors ``[3, x, y, z]`` that turn smoothly from place to place, in part (``fine``) within 2.5 mm."""
    noise = [random.standard_normal(tuple(shape), np.float32) for _ in range(3)]
    vectors = np.stack([ndimage.gaussian_filter(n, TRACT_MM / voxel_mm) for n in noise])
    if fine:
        detail = np.stack([ndimage.gaussian_filter(n, DETAIL_MM / voxel_mm) for n in noise])
        vectors += np.float32(fine * vectors.std() / detail.std()) * detail
    return np.asarray(vectors / np.linalg.norm(vectors, axis=0), np.float32)


def head_fibres(random: np.random.Generator, fine: float) -> Stack:
    """Return the directions of a person's fibres in template space, as unit vectors in its three channels."""
    shape = np.ceil((_HIGH - _LOW) / _STEP_MM).astype(int)
    vectors = turning_fibres(shape.tolist(), _STEP_MM, random, fine)
    return Stack(np.ascontiguousarray(np.moveaxis(vectors, 0, -1)), _LOW, 1 / _STEP_MM)


@jit
def _fibre_rows(
    warp: Warp, fibres: Stack, rotation: npt.NDArray[np.float64], out: FloatArray, first: int, last: int
) -> None:
    A, B = warp.to_head, warp.to_template
    move, vector = np.empty(3, np.float32), np.empty(3, np.float32)
    for i in range(first, last):
        for j in range(out.shape[2]):
            for k in range(out.shape[3]):
                hx = A[0, 0] * i + A[0, 1] * j + A[0, 2] * k + A[0, 3]
                hy = A[1, 0] * i + A[1, 1] * j + A[1, 2] * k + A[1, 3]
                hz = A[2, 0] * i + A[2, 1] * j + A[2, 2] * k + A[2, 3]
                trilinear(warp.displacement, hx, hy, hz, move)
                x = B[0, 0] * hx + B[0, 1] * hy + B[0, 2] * hz + B[0, 3] + move[0]
                y = B[1, 0] * hx + B[1, 1] * hy + B[1, 2] * hz + B[1, 3] + move[1]
                z = B[2, 0] * hx + B[2, 1] * hy + B[2, 2] * hz + B[2, 3] + move[2]
                trilinear(fibres, x, y, z, vector)
                size = np.sqrt(vector[0] ** 2 + vector[1] ** 2 + vector[2] ** 2) + 1e-6
                for a in range(3):
                    turned = rotation[a, 0] * vector[0] + rotation[a, 1] * vector[1] + rotation[a, 2] * vector[2]
                    out[a, i, j, k] = turned / size


def fibres_on_grid(
    fibres: Stack, warp: Warp, rotation: npt.NDArray[np.float64], shape: tuple[int, int, int]
) -> FloatArray:
    """Return unit vectors ``[3, x, y, z]`` in voxel axes on a grid; ``rotation`` turns head axes into voxel axes."""
    out, turn = np.empty((3, *shape), np.float32), np.ascontiguousarray(rotation)
    with ThreadPoolExecutor(numba.get_num_threads()) as pool:
        starts = range(0, shape[0], 4)
        list(pool.map(lambda i: _fibre_rows(warp, fibres, turn, out, i, min(i + 4, shape[0])), starts))
    return out


def magnetisation(
    vectors: FloatArray, white: FloatArray, b0: Sequence[float], anisotropy: float
) -> Iterator[FloatArray]:
    """Yield the three components of the tensor's product with the main field's direction b, in ppm.

    The tensor of fibres along n is ``anisotropy`` (n n^T - 1/3), times the fraction of white matter ``white``; its
    product with b is ``anisotropy`` ((n.b) n - b / 3). All vectors are in voxel axes.
    """
    scale = np.float32(anisotropy) * white
    cosine = np.tensordot(np.asarray(b0, np.float32), vectors, 1)
    for component, along in zip(vectors, b0, strict=True):
        yield scale * (cosine * component - np.float32(along / 3))


def cylinder_frequency(vectors: FloatArray, white: FloatArray, b0: Sequence[float], frequency: float) -> FloatArray:
    """Return the frequency of white matter, ``frequency`` (sin^2 - 2/3) of the fibres' angle to the main field, ppm.

    It goes with the squared sine of the angle, as that of hollow cylinders; its mean over all directions is 0.
    """
    cosine = np.tensordot(np.asarray(b0, np.float32), vectors, 1)
    return np.asarray(np.float32(frequency) * white * (np.float32(1 / 3) - cosine**2), np.float32)


def tensor_spectrum(product: Iterable[FloatArray], grid: Grid) -> ComplexArray:
    """Return the half spectrum of a tensor's field, in the unit of ``product``.

    With v the product of tensor and main field's direction b (:func:`magnetisation`), the field along b is
    b.v / 3 - (k.b) (k.v) / k^2 in k-space. One component is transformed at a time.

    References
    ----------
    Liu 2010, 10.1002/mrm.22482.
    """
    axes = [np.asarray(f, np.float64) for f in frequencies(grid)]
    # At a Nyquist frequency the sign of a cross term is undefined; cross terms are dropped there.
    odd = [np.where(np.isclose(np.abs(f), 0.5 / size), 0, f) for f, size in zip(axes, grid.voxel_size, strict=True)]
    total: ComplexArray | None = None
    for axis, component in enumerate(product):
        spectrum = rfftn(np.asarray(component, np.float32))
        for i, plane in enumerate(spectrum):
            k, crossed = ([f[0][i], f[1][:, None], f[2][None]] for f in (axes, odd))
            square = k[0] ** 2 + k[1] ** 2 + k[2] ** 2
            square[square == 0] = 1
            along = sum(b * f for b, f in zip(grid.b0_dir, crossed, strict=True)) * crossed[axis]
            along = along + grid.b0_dir[axis] * (k[axis] ** 2 - crossed[axis] ** 2)
            plane *= (grid.b0_dir[axis] / 3 - along / square).astype(np.float32)
        total = spectrum if total is None else np.add(total, spectrum, out=total)
    if total is None:
        raise ValueError("a tensor's product with the main field has three components, got none")
    total[0, 0, 0] = 0
    return total


def free_tensor_field(vectors: FloatArray, white: FloatArray, fine: Grid, anisotropy: float) -> FloatArray:
    """Return the field (ppm) of anisotropic white matter in empty space, on a fine grid that holds it all.

    The fine box is convolved as if periodic. The difference to empty space is smooth, and comes from a coarse grid that
    is twice as large (as in :func:`bids_app.phantom.forward.free_field`).
    """
    product = np.stack(list(magnetisation(vectors, white, fine.b0_dir, anisotropy)))
    field = irfftn(tensor_spectrum(product, fine), fine.shape)
    half = [n * size / 2 for n, size in zip(fine.shape, fine.voxel_size, strict=True)]
    far = FarGrid.around(fine, [(size, size) for size in half])
    blocks = [block_mean(component, far.factors) for component in product]
    inner = tuple(slice(b, b + n) for b, n in zip(far.before, blocks[0].shape, strict=True))
    around = [(b, n - b - m) for b, n, m in zip(far.before, far.grid.shape, blocks[0].shape, strict=True)]
    box = Grid(blocks[0].shape, far.grid.voxel_size, fine.b0_dir)
    padded = irfftn(tensor_spectrum((np.pad(block, around) for block in blocks), far.grid), far.grid.shape)
    add_smooth(field, padded[inner] - irfftn(tensor_spectrum(blocks, box), box.shape), far)
    return field


def field_of_fibres(vectors: FloatArray, white: FloatArray, fine: Grid, model: WhiteMatter) -> FloatArray:
    """Return what fibres add to the field that isotropic susceptibility makes, ppm; arguments as above."""
    field = cylinder_frequency(vectors, white, fine.b0_dir, model.frequency)
    if model.anisotropy:
        field += free_tensor_field(vectors, white, fine, model.anisotropy)
    return field


def periodic_head_field(
    isotropic: ComplexArray, vectors: FloatArray, white: FloatArray, grid: Grid, model: WhiteMatter
) -> FloatArray:
    """Return the field (ppm) of a head on a periodic grid, from the half spectrum of its isotropic susceptibility."""
    product = magnetisation(vectors, white, grid.b0_dir, model.anisotropy)
    field = irfftn(dipole_kernel(grid) * isotropic + tensor_spectrum(product, grid), grid.shape)
    return field + cylinder_frequency(vectors, white, grid.b0_dir, model.frequency)
