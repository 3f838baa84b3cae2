"""iLSQR: least squares, then the streaks inside the magic-angle cone estimated and taken off."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.problem import Prepared, Progress, note, prepare
from bids_app.qsm.method import Inversion, Method
from bids_app.qsm.operators.dipole import dipole_kernel
from bids_app.qsm.operators.fft import irfftn, rfftn
from bids_app.qsm.params import Params, param

Operator = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class IlsqrParams(Params):
    """Parameters of iLSQR."""

    iterations: int = param(50, low=1, high=1000, doc="Most iterations of either least-squares problem")
    tolerance: float = param(1e-2, low=0.0, high=1.0, doc="Relative residual of the normal equations that ends either")
    cone: float = param(0.1, low=0.01, high=0.33, doc="Kernel magnitude below which streaks are looked for")
    smooth: float = param(0.5, low=0.0, high=1.0, doc="Share of the smallest gradients that count fully as smooth")
    edge: float = param(0.7, low=0.0, high=1.0, doc="Share of the smallest gradients beyond which all are edges")
    padding: float = param(20.0, low=0.0, high=200.0, unit="mm", doc="Empty space around the object")


def least_squares(
    forward: Operator,
    adjoint: Operator,
    data: FloatArray,
    iterations: int,
    tolerance: float,
    progress: Callable[[int], None],
) -> FloatArray:
    """Conjugate gradients for ||forward(x) - data||, stopped when the normal equations' residual fell to a share.

    The iterates are those of LSQR in exact arithmetic.
    """
    residual = data.copy()
    gradient = adjoint(residual)
    solution = np.zeros_like(gradient)
    direction = gradient.copy()
    norm = first = float(np.vdot(gradient, gradient))
    for iteration in range(1, iterations + 1):
        if norm <= first * tolerance**2:
            break
        image = forward(direction)
        step = np.float32(norm / max(float(np.vdot(image, image)), 1e-30))
        solution += step * direction
        residual -= step * image
        gradient = adjoint(residual)
        norm, previous = float(np.vdot(gradient, gradient)), norm
        direction *= np.float32(norm / previous)
        direction += gradient
        progress(iteration)
    return solution


def _differences(array: FloatArray, grid: Grid) -> FloatArray:
    return np.stack([(np.roll(array, -1, a) - array) / np.float32(v) for a, v in enumerate(grid.voxel_size)])


def _differences_adjoint(fields: FloatArray, grid: Grid) -> FloatArray:
    total = np.zeros(fields.shape[1:], np.float32)
    for axis, size in enumerate(grid.voxel_size):
        total += (np.roll(fields[axis], 1, axis) - fields[axis]) / np.float32(size)
    return total


def _fast_estimate(problem: Prepared, kernel: FloatArray, chi: FloatArray, cone: float) -> FloatArray:
    """Streak-poor estimate: the field's spectrum with the kernel's sign, faded out where the kernel is small.

    Brought to the scale of ``chi`` by regression, and used for its edges alone.
    """
    certainty = np.minimum(np.abs(kernel) / np.float32(2 * cone), 1)
    spectrum = rfftn(problem.field * problem.weight) * (np.sign(kernel) * certainty**2)
    fast = irfftn(spectrum, problem.grid.shape) * (problem.weight > 0)
    size = float(np.vdot(fast, fast))
    return fast * np.float32(float(np.vdot(fast, chi)) / size if size > 0 else 1.0)


def _smoothness(image: FloatArray, inside: BoolArray, grid: Grid, params: IlsqrParams) -> FloatArray:
    """Weight 1 where the image's gradient is small, 0 at its edges, linear in between; 0 outside."""
    gradient = np.abs(_differences(image, grid))
    low, high = np.quantile(gradient[:, inside], (min(params.smooth, params.edge), params.edge))
    weight = np.clip((high - gradient) / max(float(high - low), 1e-30), 0, 1)
    return (weight * inside).astype(np.float32)


def ilsqr(
    local_field_ppm: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: IlsqrParams = IlsqrParams(),
    weights: FloatArray | None = None,
    magnitude: FloatArray | None = None,
    progress: Progress | None = None,
    info: dict[str, Any] | None = None,
) -> FloatArray:
    """Susceptibility by iLSQR.

    1. Weighted least squares for the dipole equation, few iterations. 2. A fast estimate with the kernel's sign tells
    where the map is smooth. 3. The part of the map inside the magic-angle cone that makes gradients where it should
    be smooth is estimated by least squares and subtracted. Parameters and result as in every inversion: float32
    arrays of ``grid.shape``, field in ppm, chi in ppm, zero outside the mask. ``weights`` weigh the data of step 1
    (relative reliability, about 1); ``magnitude`` is not used. ``info`` receives the iterations of steps 1 and 3.

    Raises
    ------
    ValueError
        If the mask is empty or the shapes differ.

    References
    ----------
    Li et al. 2015, 10.1016/j.neuroimage.2014.12.043.
    """
    problem = prepare(local_field_ppm, mask, grid, params.padding, weights)
    working, shape, weight = problem.grid, problem.grid.shape, problem.weight
    kernel, total, counts = dipole_kernel(working), 2 * params.iterations, [0, 0]

    def report(part: int, count: int) -> None:
        counts[part] = count
        note(info, iterations=sum(counts))
        if progress is not None:
            progress(sum(counts), total)

    def convolve(array: FloatArray) -> FloatArray:
        return irfftn(rfftn(array) * kernel, shape)

    chi = least_squares(
        lambda x: weight * convolve(x),
        lambda r: convolve(weight * r),
        weight * problem.field,
        params.iterations,
        params.tolerance,
        lambda n: report(0, n),
    )
    inside = weight > 0
    if not inside.any():
        return problem.finish(chi)
    smooth = _smoothness(_fast_estimate(problem, kernel, chi, params.cone), inside, working, params)
    cone = (np.abs(kernel) < params.cone).astype(np.float32)

    def streaks(array: FloatArray) -> FloatArray:
        return irfftn(rfftn(array) * cone, shape)

    artefact = least_squares(
        lambda x: smooth * _differences(streaks(x), working),
        lambda r: streaks(_differences_adjoint(smooth * r, working)),
        smooth * _differences(chi * inside, working),
        params.iterations,
        params.tolerance,
        lambda n: report(1, n),
    )
    return problem.finish(chi - streaks(artefact))


ILSQR: Inversion[IlsqrParams] = Method(
    name="ilsqr",
    kind="inversion",
    label="iLSQR",
    function=ilsqr,
    params=IlsqrParams,
    sentence="Susceptibility was estimated by iLSQR with removal of streaks [li2015]{parameters}.",
    uses=frozenset({"weights"}),
)
