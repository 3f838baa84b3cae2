"""iLSQR: least squares, then the streaks inside the magic-angle cone are estimated and removed."""

from dataclasses import dataclass

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.problem import Prepared, note, prepare
from bids_app.qsm.method import Inversion, Method
from bids_app.qsm.operators.dipole import DipoleConvolution
from bids_app.qsm.operators.fft import irfftn, rfftn
from bids_app.qsm.operators.gradient import gradient, gradient_adjoint
from bids_app.qsm.params import Params, param
from bids_app.qsm.signatures import Info, Progress
from bids_app.qsm.solvers.cg import solve_least_squares


@dataclass(frozen=True)
class IlsqrParams(Params):
    """Parameters of iLSQR."""

    iterations: int = param(50, low=1, high=1000, doc="Maximum number of iterations of either least-squares problem")
    tolerance: float = param(1e-2, low=0.0, high=1.0, doc="Relative residual of the normal equations that ends either")
    cone: float = param(0.1, low=0.01, high=0.33, doc="Kernel magnitude below which streaks are looked for")
    smooth: float = param(0.5, low=0.0, high=1.0, doc="Share of the smallest gradients that count fully as smooth")
    edge: float = param(0.7, low=0.0, high=1.0, doc="Share of the smallest gradients beyond which all are edges")
    padding: float = param(20.0, low=0.0, high=200.0, unit="mm", doc="Empty space around the object")


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
    steps = np.abs(gradient(image, grid))
    low, high = np.quantile(steps[:, inside], (min(params.smooth, params.edge), params.edge))
    weight = np.clip((high - steps) / max(float(high - low), 1e-30), 0, 1)
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
    info: Info | None = None,
) -> FloatArray:
    """Estimate susceptibility by iLSQR, least squares, from which the streaks are removed.

    1. Weighted least squares, ||w (D chi - f)||, with few iterations. 2. A fast estimate with the sign of the
    dipole response shows where the map is smooth. 3. The part of the map inside the magic-angle cone that makes
    gradients where it should be smooth is estimated by least squares and subtracted.

    Parameters
    ----------
    local_field_ppm : float32, ``grid.shape``
        Local field in ppm.
    mask : bool, ``grid.shape``
        Where the field is known.
    grid : Grid
        Sampling and direction of B0.
    params : IlsqrParams
        Stopping rule, cone, limits of smoothness, and padding in mm.
    weights : float32, ``grid.shape``, optional
        Relative reliability w of the field, about 1.
    magnitude : float32, ``grid.shape``, optional
        Not used.
    progress : callable, optional
        Called as ``progress(done, total)`` after each iteration.
    info : dict, optional
        Receives the number of iterations of steps 1 and 3.

    Returns
    -------
    float32, ``grid.shape``
        Susceptibility in ppm, zero outside the mask; its level is arbitrary.

    Raises
    ------
    ValueError
        If the mask is empty or the shapes differ.

    References
    ----------
    Li et al. 2015, 10.1016/j.neuroimage.2014.12.043.

    Examples
    --------
    >>> import numpy as np
    >>> from bids_app.qsm.grid import Grid
    >>> from bids_app.qsm.operators.dipole import forward_field
    >>> grid, chi = Grid((24, 24, 24)), np.zeros((24, 24, 24), np.float32)
    >>> chi[9:15, 9:15, 9:15] = 0.1
    >>> estimate = ilsqr(forward_field(chi, grid), np.ones(chi.shape, bool), grid)
    >>> bool(estimate[chi > 0].mean() - estimate[chi == 0].mean() > 0.05)
    True
    """
    problem = prepare(local_field_ppm, mask, grid, params.padding, weights)
    working, shape, weight = problem.grid, problem.grid.shape, problem.weight
    dipole, total, counts = DipoleConvolution(working), 2 * params.iterations, [0, 0]
    kernel = dipole.kernel

    def report(part: int, count: int) -> None:
        counts[part] = count
        note(info, iterations=sum(counts))
        if progress is not None:
            progress(sum(counts), total)

    chi = solve_least_squares(
        lambda x: weight * dipole.field(x),
        lambda r: dipole.adjoint(weight * r),
        weight * problem.field,
        params.iterations,
        params.tolerance,
        lambda n, _: report(0, n),
    )
    inside = weight > 0
    if not inside.any():
        return problem.finish(chi)
    smooth = _smoothness(_fast_estimate(problem, kernel, chi, params.cone), inside, working, params)
    cone = (np.abs(kernel) < params.cone).astype(np.float32)

    def streaks(array: FloatArray) -> FloatArray:
        return irfftn(rfftn(array) * cone, shape)

    artefact = solve_least_squares(
        lambda x: smooth * gradient(streaks(x), working),
        lambda r: streaks(gradient_adjoint(smooth * r, working)),
        smooth * gradient(chi * inside, working),
        params.iterations,
        params.tolerance,
        lambda n, _: report(1, n),
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
