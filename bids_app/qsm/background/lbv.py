"""Background removal by the Laplace equation with boundary values (LBV)."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numba
import numpy as np
from scipy import ndimage

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.field.reliability import remove_unreliable_boundary
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.bayes import BayesParams, expected_field
from bids_app.qsm.kernels.rows import Layout
from bids_app.qsm.method import Background, Correction, Method
from bids_app.qsm.operators.crop import Crop, clean
from bids_app.qsm.operators.laplacian import NEIGHBOURS, point_weights
from bids_app.qsm.params import Params, param
from bids_app.qsm.threads import threads


@dataclass(frozen=True)
class LbvParams(Params):
    """Parameters of LBV."""

    iterations: int = param(500, low=1, high=5000, doc="Most conjugate-gradient iterations on the finest grid")
    tolerance: float = param(
        1e-4, low=0.0, high=1.0, doc="Residual, relative to that without background, that ends them"
    )
    levels: int = param(4, low=1, high=8, doc="Grids, each twice as coarse as the one before, that give the start")
    corrections: int = param(
        3,
        low=0,
        high=20,
        doc="Times that the surface's values are freed of the field of the sources inside; 0 as published",
    )
    relaxation: float = param(
        1.5, low=1.0, high=2.0, doc="Length of the steps that corrections after the first take; 1 is what the map says"
    )


# Sums are not left to the compiler ("reassoc"): it ordered them in one way when the kernels were just compiled and in
# another when they came from the cache. Each place of a row has a sum of its own, which vectorises as well.
_OPTIONS = {"cache": True, "nogil": True, "fastmath": {"contract", "nsz"}, "error_model": "numpy"}
_ONE = np.uint64(1)
#: The map behind the surface's own field is smoother than the final one, and spares more edges: on simulated heads the
#: susceptibility's error falls by 1 to 3 points by it.
_OWN = BayesParams(gaussian=0.25, sparsity=0.5, edge=1.0, relief=0.0)
#: Voxels up to which one thread does the work.
SMALL = 40_000


@numba.njit(**_OPTIONS)
def _sum(values):  # type: ignore[no-untyped-def]
    total = 0.0
    for value in values:
        total += value
    return total


@numba.njit(**_OPTIONS)
def _laplacian_row(array, a, b, rows, weights, out, sums):  # type: ignore[no-untyped-def]
    """Negative 19-point Laplacian of a row of voxels; its product with the array is added to the sums."""
    xm, xp, ym, yp = rows[0], rows[1], rows[2], rows[3]
    mm, pp, pm, mp = rows[4], rows[5], rows[6], rows[7]
    centre, x, y, z, xy, xz, yz = weights
    for i in range(a, b):
        out[i] = (
            centre * array[i]
            - x * (array[i + xm] + array[i + xp])
            - y * (array[i + ym] + array[i + yp])
            - xy * (array[i + mm] + array[i + pp] + array[i + mp] + array[i + pm])
        )
    for i in range(a, b):
        out[i] -= (
            z * (array[i - _ONE] + array[i + _ONE])
            + xz * (array[i + xm - _ONE] + array[i + xm + _ONE] + array[i + xp - _ONE] + array[i + xp + _ONE])
            + yz * (array[i + ym - _ONE] + array[i + ym + _ONE] + array[i + yp - _ONE] + array[i + yp + _ONE])
        )
    for i in range(a, b):
        sums[i - a] += out[i] * array[i]


@numba.njit(parallel=True, **_OPTIONS)
def _laplacian(array, spans, weights, out):  # type: ignore[no-untyped-def]
    """Negative Laplacian over the spans; returns <array, out>."""
    start, stop, pieces, longest, beside = spans
    partial = np.zeros(pieces.size - 1)
    for piece in numba.prange(pieces.size - 1):
        sums = np.zeros(longest)
        for row in range(pieces[piece], pieces[piece + 1]):
            _laplacian_row(array, start[row], stop[row], beside[row], weights, out, sums)
        partial[piece] = _sum(sums)
    return _sum(partial)


@numba.njit(**_OPTIONS)
def _advance_row(solution, residual, direction, image, a, b, step, sums):  # type: ignore[no-untyped-def]
    for i in range(a, b):
        solution[i] += step * direction[i]
    for i in range(a, b):
        residual[i] -= step * image[i]
    for i in range(a, b):
        sums[i - a] += residual[i] * residual[i]


@numba.njit(parallel=True, **_OPTIONS)
def _advance(solution, residual, direction, image, spans, step):  # type: ignore[no-untyped-def]
    """Take a step; returns the new squared norm of the residual."""
    start, stop, pieces, longest, _ = spans
    partial = np.zeros(pieces.size - 1)
    for piece in numba.prange(pieces.size - 1):
        sums = np.zeros(longest)
        for row in range(pieces[piece], pieces[piece + 1]):
            _advance_row(solution, residual, direction, image, start[row], stop[row], step, sums)
        partial[piece] = _sum(sums)
    return _sum(partial)


@numba.njit(**_OPTIONS)
def _turn_row(direction, residual, a, b, factor):  # type: ignore[no-untyped-def]
    for i in range(a, b):
        direction[i] = residual[i] + factor * direction[i]


@numba.njit(parallel=True, **_OPTIONS)
def _turn(direction, residual, spans, factor):  # type: ignore[no-untyped-def]
    start, stop, pieces, _, _ = spans
    for piece in numba.prange(pieces.size - 1):
        for row in range(pieces[piece], pieces[piece + 1]):
            _turn_row(direction, residual, start[row], stop[row], factor)


def _halve(array: FloatArray) -> FloatArray:
    """Sums over blocks of two voxels along each axis; the last block may be cut."""
    for axis in range(3):
        every_second = np.moveaxis(array, axis, 0)
        halved = every_second[::2].copy()
        halved[: array.shape[axis] // 2] += every_second[1::2]
        array = np.moveaxis(halved, 0, axis)
    return np.ascontiguousarray(array)


def _double(array: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Linear interpolation between the middles of coarse voxels."""
    for axis, n in enumerate(shape):
        place = (np.arange(n) - 0.5) / 2
        low = np.clip(np.floor(place).astype(int), 0, array.shape[axis] - 1)
        high = np.minimum(low + 1, array.shape[axis] - 1)
        share = np.clip(place - low, 0, 1).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        array = array.take(low, axis=axis) * (1 - share) + array.take(high, axis=axis) * share
    return array


def solve_laplace(
    values: FloatArray,
    interior: BoolArray,
    boundary: BoolArray,
    spacing: tuple[float, float, float],
    params: LbvParams = LbvParams(),
    progress: Callable[[int, int], None] | None = None,
) -> FloatArray:
    """Return the array that is harmonic in ``interior`` and equals ``values`` on ``boundary``.

    Neither touches the edge of the arrays, and each of the 18 neighbours of the interior is in one of both. Conjugate
    gradients on the 19-point Laplacian (:mod:`bids_app.qsm.operators.laplacian`) start from the interpolated solution
    of a grid twice as coarse (cascadic multigrid).
    """
    solution = np.where(boundary, values, np.float32(0))
    if params.levels > 1 and min(interior.shape) >= 16:
        outer = _halve(boundary.astype(np.float32))
        means = np.divide(_halve(solution), outer, out=np.zeros_like(outer), where=outer > 0)
        inner = np.pad((_halve(interior.astype(np.float32)) > 0) & (outer == 0), 1)
        means, outer = np.pad(means, 1), np.pad(outer > 0, 1)
        inner &= ~ndimage.binary_dilation(~(inner | outer), NEIGHBOURS)
        double = tuple(2 * s for s in spacing)
        coarse = replace(params, levels=params.levels - 1)
        start = solve_laplace(means, inner, outer, double, coarse)[1:-1, 1:-1, 1:-1]  # type: ignore[arg-type]
        np.copyto(solution, _double(start, solution.shape), where=interior)
    # Threads that wait for each other cost more than they save on a small grid; the result is the same.
    with threads(numba.get_num_threads() if np.count_nonzero(interior) > SMALL else 1):
        _relax(solution, interior, boundary, spacing, params, progress)
    return solution


def _relax(
    solution: FloatArray,
    interior: BoolArray,
    boundary: BoolArray,
    spacing: tuple[float, float, float],
    params: LbvParams,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Conjugate gradients from the given start, in place."""
    layout = Layout.of(interior)
    spans = layout.spans(interior).argument
    centre, along, across = point_weights(spacing)
    weights = tuple(np.float32(value) for value in (-centre, *along, *across))
    flat = layout.take(solution)
    residual, direction, image = (np.zeros_like(flat) for _ in range(3))
    _laplacian(np.where(layout.take(boundary), flat, np.float32(0)), spans, weights, residual)
    first = float(np.vdot(residual, residual))
    _laplacian(flat, spans, weights, residual)
    np.negative(residual, out=residual)
    norm = float(np.vdot(residual, residual))
    factor = np.float32(0)
    for iteration in range(1, params.iterations + 1):
        if norm <= first * params.tolerance**2:
            break
        _turn(direction, residual, spans, factor)
        curvature = _laplacian(direction, spans, weights, image)
        before = norm
        norm = _advance(flat, residual, direction, image, spans, np.float32(norm / max(curvature, 1e-30)))
        factor = np.float32(norm / before)
        if progress is not None:
            progress(iteration, params.iterations)
    solution[layout.stored] = flat


def lbv(
    total_field_ppm: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: LbvParams = LbvParams(),
    weights: FloatArray | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[FloatArray, BoolArray]:
    """Local field by the Laplacian boundary value method, its boundary values corrected.

    At the object's surface the background is taken for the whole field; inside it is the solution of Laplace's
    equation with these boundary values, and the local field is what is left, zero at the surface. Where the surface
    runs along tissue (a brain mask, not a mask of the head), the field of the tissue is not zero there, and the error
    reaches inside: on simulated heads the nuclei lose a tenth of their susceptibility by it. So the map that the local
    field lets expect (one round of :func:`bids_app.qsm.inversion.bayes.bayes`) tells the surface's own local field,
    which is taken off the boundary values, and all is done again, ``corrections`` times. Each time comes nearer by a
    part of the way, so that longer steps (``relaxation``) save repetitions.

    A wrong boundary value reaches far inside. So voxels without weight at the rim, as above air, where the signal is
    dephased, give no boundary values: the surface runs below them.

    Parameters
    ----------
    total_field_ppm : float32, ``grid.shape``
        Total field in ppm.
    mask : bool, ``grid.shape``
        Object.
    grid : Grid
        Sampling; anisotropic voxels are honoured.
    params : LbvParams
        Stopping rule, number of grids and of corrections.
    weights : float32, ``grid.shape``, optional
        Relative reliability of the data, for the map behind the corrections; 0 at the rim is outside of the surface.
    progress : callable, optional
        Called as ``progress(done, total)`` after each iteration on the finest grid.

    Returns
    -------
    local_field_ppm : float32, ``grid.shape``; zero outside the returned mask.
    mask : bool, ``grid.shape``; the object where the field is known, without corrections less its surface: voxels
        whose 18 neighbours belong to it.

    Raises
    ------
    ValueError
        If the mask is empty or has no interior, or the shapes differ.

    References
    ----------
    Zhou et al. 2014, 10.1002/nbm.3064.
    """
    mask = remove_unreliable_boundary(mask & np.isfinite(total_field_ppm), weights)
    crop = Crop.around(mask, grid, 0.0)
    inside = np.pad(mask[crop.box], 1)
    interior = ndimage.binary_erosion(inside, NEIGHBOURS)
    if not interior.any():
        raise ValueError("the mask has no interior: it is too thin for LBV")
    boundary = inside & ~interior
    field = np.pad(clean(total_field_ppm[crop.box], mask[crop.box]), 1)
    # A constant is harmonic; without it fewer digits are lost.
    field -= np.float32(field[boundary].mean(dtype=np.float64)) * inside
    reliable = np.pad(clean(weights if weights is not None else mask.astype(np.float32), mask)[crop.box], 1)
    tell = _counted(progress, params)
    box = Grid(field.shape, grid.voxel_size, grid.b0_dir)
    background = solve_laplace(field, interior, boundary, grid.voxel_size, params, tell)
    local, own = field - background, np.zeros_like(field)
    size = float(np.linalg.norm(field[boundary]))
    for correction in range(params.corrections):
        # Nothing is known of the surface's local field at first; later what the map before it says.
        expected = expected_field(local, inside, box, reliable if correction else reliable * interior, _OWN)
        change = np.float32(params.relaxation if correction else 1.0) * (expected - own)
        own += change
        # What changes is harmonic, too: a small field, which needs few digits.
        tolerance = min(1.0, params.tolerance * size / max(float(np.linalg.norm(change[boundary])), 1e-30))
        coarser = replace(params, tolerance=tolerance)
        local += solve_laplace(change, interior, boundary, grid.voxel_size, coarser, tell)
    out, valid = np.zeros(grid.shape, np.float32), np.zeros(grid.shape, bool)
    kept = inside if params.corrections else interior
    out[crop.box], valid[crop.box] = local[1:-1, 1:-1, 1:-1], kept[1:-1, 1:-1, 1:-1]
    return out, valid


def _counted(progress: Callable[[int, int], None] | None, params: LbvParams) -> Any:
    """Return a callback that goes on counting from one correction to the next."""
    if progress is None:
        return None
    count, total = itertools.count(1), params.iterations * (params.corrections + 1)
    return lambda *_: progress(next(count), total)


LBV: Background[LbvParams] = Method(
    name="lbv",
    kind="background",
    label="LBV",
    function=lbv,
    params=LbvParams,
    sentence=(
        "The background field was removed by solving the Laplacian boundary value problem (LBV) [zhou2014]{parameters}."
    ),
    uses=frozenset({"weights"}),
    stages={"corrections": "lbv_corrections"},
)


LBV_CORRECTIONS: Correction = Method(
    name="lbv_corrections",
    kind="correction",
    label="Corrections of LBV's boundary values",
    function=lbv,
    params=Params,
    sentence=(
        "The field of the sources inside the mask was removed from the boundary values of LBV, "
        "as many times as corrections are given."
    ),
    maturity="this software's own",
)
