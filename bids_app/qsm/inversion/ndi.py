"""Nonlinear dipole inversion (NDI): gradient descent on the signal's phase, regularised by stopping early."""

from dataclasses import dataclass

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.device import namespace, to_device, to_host
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.problem import counted, prepare
from bids_app.qsm.method import Inversion, Method
from bids_app.qsm.operators.dipole import DipoleConvolution
from bids_app.qsm.operators.vectors import dot
from bids_app.qsm.params import Params, param
from bids_app.qsm.signatures import Info, Progress


@dataclass(frozen=True)
class NdiParams(Params):
    """Parameters of NDI."""

    iterations: int = param(
        100, low=1, high=2000, doc="Maximum number of iterations; fewer leave less noise and fewer streaks"
    )
    tolerance: float = param(1e-2, low=0.0, high=1.0, doc="Relative change that ends the iteration")
    step: float = param(2.0, low=0.01, high=4.4, doc="Step of the gradient descent; above 4.5 it would diverge")
    phase_scale: float = param(16.0, low=0.1, high=1000.0, unit="rad/ppm", doc="Phase of one ppm: 2 pi gamma B0 TE")
    padding: float = param(12.0, low=0.0, high=200.0, unit="mm", doc="Empty space around the object")


def ndi(
    local_field_ppm: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: NdiParams = NdiParams(),
    weights: FloatArray | None = None,
    magnitude: FloatArray | None = None,
    progress: Progress | None = None,
    info: Info | None = None,
) -> FloatArray:
    """Estimate susceptibility by nonlinear dipole inversion (NDI), stopped before noise and streaks grow.

    Minimises 1/2 ||w (exp(i s D chi) - exp(i s f))||^2 / s^2 with s = ``phase_scale`` by gradient descent from zero:
    chi <- chi - step D^T w^2 sin(s (D chi - f)) / s. The parts of chi that the data determine well come first, so the
    number of iterations is the regularisation. The data term is that of the complex signal: it does not see phase
    wraps. The descent is stable for a step below 4.5, as w is at most 1 and the dipole kernel at most 2/3.

    Parameters
    ----------
    local_field_ppm : float32, ``grid.shape``
        Local field in ppm.
    mask : bool, ``grid.shape``
        Where the field is known.
    grid : Grid
        Sampling and direction of B0.
    params : NdiParams
        Step, phase scale in rad/ppm, stopping rule, and padding in mm.
    weights : float32, ``grid.shape``, optional
        Relative reliability w of the field, about 1; above 1 it counts as 1.
    magnitude : float32, ``grid.shape``, optional
        Not used: the weights contain it.
    progress : callable, optional
        Called as ``progress(done, total)`` after each iteration.
    info : dict, optional
        Receives the number of iterations.

    Returns
    -------
    float32, ``grid.shape``
        Susceptibility in ppm, zero outside the mask.

    Raises
    ------
    ValueError
        If the mask is empty or the shapes differ.

    References
    ----------
    Polak et al. 2020, 10.1002/nbm.4271.

    Examples
    --------
    >>> import numpy as np
    >>> from bids_app.qsm.grid import Grid
    >>> from bids_app.qsm.operators.dipole import forward_field
    >>> grid, chi = Grid((24, 24, 24)), np.zeros((24, 24, 24), np.float32)
    >>> chi[9:15, 9:15, 9:15] = 0.1
    >>> estimate = ndi(forward_field(chi, grid), np.ones(chi.shape, bool), grid)
    >>> bool(estimate[chi > 0].mean() - estimate[chi == 0].mean() > 0.07)
    True
    """
    problem = prepare(local_field_ppm, mask, grid, params.padding, weights)
    dipole, report = DipoleConvolution(problem.grid).on_device(), counted(progress, info)
    scale = np.float32(params.phase_scale * problem.scale)
    # The few weights far above the median voxel's would force a small step on all others.
    step = to_device(np.minimum(problem.weight, 1) ** 2 * np.float32(params.step / scale))
    field = to_device(problem.field)
    xp = namespace(field)
    chi = xp.zeros_like(field)
    for iteration in range(1, params.iterations + 1):
        residual = dipole.field(chi)
        residual -= field
        residual *= float(scale)
        residual = xp.sin(residual)
        residual *= step
        change = dipole.adjoint(residual)
        chi -= change
        report(iteration, params.iterations)
        if dot(change, change) <= params.tolerance**2 * dot(chi, chi):
            break
    return problem.finish(to_host(chi))


NDI: Inversion[NdiParams] = Method(
    name="ndi",
    kind="inversion",
    label="NDI",
    function=ndi,
    params=NdiParams,
    sentence="Susceptibility was estimated by nonlinear dipole inversion (NDI) [polak2020]{parameters}.",
    uses=frozenset({"weights"}),
    on_device=True,
)
