"""The part of the transmit and receive phase that no background method removes, off a field from one echo.

Several echoes separate the phase at echo time zero from the field; one does not. In tissue of one conductivity the
Laplacian of that phase is a constant (2 x angular frequency x permeability x conductivity,
10.1109/RBME.2013.2297206): a parabola, about 1 rad from the middle to the surface of a head at 3 T; coils that are near
one side add a slope to it. Background methods remove the harmonic part alone, and the transmit/receive phase that can
be ten times as high as the tissue's field is left.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.mask.boundary import remove_unreliable_boundary
from bids_app.qsm.method import Correction, Method
from bids_app.qsm.operators.laplacian import NEIGHBOURS
from bids_app.qsm.params import Params
from bids_app.qsm.solvers.laplace import BoundaryValues

#: Most iterations, tolerance and grids of Laplace's equation.
_ITERATIONS, _TOLERANCE, _LEVELS = 500, 1e-4, 4
#: How much of such a field the tissue of a head has itself (ppm, root mean square): of a constant Laplacian, and of one
#: that grows along a line; and what share of the former a fit takes for the latter next to unreliable voxels.
_OWN_CONSTANT, _OWN_SLOPE, _SHARE = 0.001, 0.0015, 0.1
#: Coordinates are in this many mm, so that the terms are alike in size.
_UNIT_MM = 60.0


class TransceivePhase(NamedTuple):
    """Field without the transmit/receive phase, and the root mean square of that over the object, both in ppm."""

    field: FloatArray
    removed: float


def remove_transceive_phase(
    total_field_ppm: FloatArray, mask: BoolArray, grid: Grid, *, weights: FloatArray | None = None
) -> TransceivePhase:
    """Take the field whose Laplacian is a constant, and grows along a line, off a total field.

    The fields inside a surface of zero are solved for (LBV, 10.1002/nbm.3064), of the total field and of each term, and
    the terms' amplitudes are those whose gradients fit best: the field without them has a mean and first moments of
    zero. Tissue has some of each itself; what is no larger than that stays (James and Stein's positive part).

    Parameters
    ----------
    total_field_ppm : float32, ``[x, y, z]``
        Total field of one echo, finite inside the mask.
    mask : bool, ``[x, y, z]``
        Object; the field outside stays as it is.
    grid : Grid
        Sampling.
    weights : float32, ``[x, y, z]``, optional
        Weights of the field; voxels without weight at the boundary are left out of the fit.

    Returns
    -------
    TransceivePhase
        ``field`` (float32, ppm, the input itself where nothing is removed) and ``removed`` (ppm).

    Raises
    ------
    ValueError
        If no voxel of the mask has weight.
    """
    total = np.asarray(total_field_ppm, np.float32)
    known = remove_unreliable_boundary(mask, weights)
    if not ndimage.binary_erosion(known, NEIGHBOURS).any():
        return TransceivePhase(total, 0.0)  # nothing lies within its surface
    local, valid = _inside_zero_surface(total, known, grid)
    potentials, laplacians = _terms(valid, grid)
    parabolas = [_inside_zero_surface(term, known, grid)[0] for term in potentials]
    amplitudes = _amplitudes(local[valid], [d[valid] for d in parabolas], [p[valid] for p in laplacians])
    if not amplitudes.any():
        return TransceivePhase(total, 0.0)
    corrected, parabola = total.copy(), np.zeros(int(valid.sum()), np.float32)
    for amplitude, term, single in zip(amplitudes, potentials, parabolas, strict=True):
        corrected -= np.float32(amplitude) * term
        parabola += np.float32(amplitude) * single[valid]
    return TransceivePhase(
        np.where(mask, corrected, total), float(np.sqrt(np.mean(np.square(parabola, dtype=np.float64))))
    )


def _inside_zero_surface(field: FloatArray, mask: BoolArray, grid: Grid) -> tuple[FloatArray, BoolArray]:
    """Return a field less the harmonic one of the same surface, and where it is known; the mask has an interior."""
    split = BoundaryValues.of(field, mask & np.isfinite(field), grid)
    if split is None:
        raise ValueError("the mask has no interior where the field is finite: it is too thin")
    local = split.field - split.harmonic(split.field, _ITERATIONS, _TOLERANCE, _LEVELS)
    return split.crop.put(local, grid.shape), split.crop.put(split.interior, grid.shape)


def _terms(mask: BoolArray, grid: Grid) -> tuple[list[FloatArray], list[FloatArray]]:
    """Return potentials around the middle of the mask, and their Laplacians in ``1 / _UNIT_MM**2``: 1, x, y and z."""
    axes = []
    for axis, (count, size) in enumerate(zip(grid.shape, grid.voxel_size, strict=True)):
        across = mask.sum(axis=tuple(a for a in range(3) if a != axis))
        middle = float(np.average(np.arange(count), weights=across))
        axes.append(((np.arange(count) - middle) * (size / _UNIT_MM)).astype(np.float32))
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    square = np.asarray(x * x + y * y + z * z, np.float32)
    ones = np.ones(grid.shape, np.float32)
    laplacians = [ones, *(np.broadcast_to(a, grid.shape) for a in (x, y, z))]
    return [np.asarray(a * square, np.float32) for a in (ones / 6, x / 10, y / 10, z / 10)], laplacians


def _amplitudes(
    local: FloatArray, parabolas: list[FloatArray], laplacians: list[FloatArray]
) -> npt.NDArray[np.float64]:
    """Return the amplitudes of the terms, values inside the mask, as far as they exceed what tissue has itself."""

    def product(first: FloatArray, other: FloatArray) -> float:
        return -float(np.sum(first * other, dtype=np.float64))  # of the gradients: both vanish at the surface

    gram = np.array([[product(parabola, term) for term in laplacians] for parabola in parabolas])
    try:
        inverse = np.linalg.inv(np.linalg.cholesky((gram + gram.T) / 2))
    except np.linalg.LinAlgError:
        return np.zeros(len(parabolas))  # an object of few voxels, all of them surface
    modes = inverse @ [product(local, term) for term in laplacians]
    sizes = [np.sqrt(np.mean(np.square(sum(w * d for w, d in zip(row, parabolas, strict=True))))) for row in inverse]
    size = np.abs(modes) * sizes
    slope = np.hypot(_OWN_SLOPE, _SHARE * size[0])
    kept = [_beyond(size[0], _OWN_CONSTANT), *[_beyond(float(np.linalg.norm(size[1:])), slope)] * 3]
    return np.asarray(inverse.T @ (modes * kept), np.float64)


def _beyond(size: float, unexplained: float) -> float:
    """Return the share of an amplitude that exceeds what is there without it."""
    return max(0.0, 1.0 - (unexplained / size) ** 2) if size > 0 else 0.0


TRANSMIT_RECEIVE_PHASE: Correction = Method(
    name="transmit_receive_phase",
    kind="correction",
    label="Removal of the transmit and receive phase",
    function=remove_transceive_phase,
    params=Params,
    sentence=(
        "The constant Laplacian of the transmit and receive phase [zhang2014] was fitted to the "
        "field of the single echo and removed."
    ),
    maturity="this software's own",
    uses=frozenset({"weights"}),
)
