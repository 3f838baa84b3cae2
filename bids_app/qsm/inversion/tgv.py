"""Single-step total generalised variation: from a field, or one echo's wrapped phase, to susceptibility.

The Laplacian of the data is explained by ``(Laplacian / 3 - (b0 . grad)^2) chi``: the background field is harmonic
inside the mask and drops out (to the fourth order of the voxel size: :mod:`bids_app.qsm.operators.laplacian`), and
the Laplacian of wrapped phase comes from wrapped differences of neighbours, so that neither background removal nor
unwrapping goes before. Among all explanations up to a misfit ``psi`` of the field, the one with the least ``|psi|^2 /
2 + TGV(chi)`` is found by a preconditioned, over-relaxed primal-dual iteration, on coarse grids first. The weights of
TGV follow the noise of the field and the voxel size; with ``noise = 1`` (and 1 mm voxels) they are the plain weights
in ppm.
"""

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.generalised_variation import (
    TgvParams,
    field_problem,
    map_of,
    noise_of,
    solve_coarse_to_fine,
)
from bids_app.qsm.mask.boundary import known_object
from bids_app.qsm.method import Inversion, Method
from bids_app.qsm.operators.crop import Crop
from bids_app.qsm.signatures import Info, Progress
from bids_app.qsm.solvers.domain import MARGIN
from bids_app.qsm.units import ppm_per_hz


def phase_to_ppm(echo_time: float, field_strength: float) -> float:
    """Return the field in ppm that turns the phase by one radian in ``echo_time`` s at ``field_strength`` T."""
    if not np.isfinite(echo_time) or echo_time <= 0:
        raise ValueError(f"the echo time must be a positive number of seconds, got {echo_time}")
    return ppm_per_hz(field_strength) / (2 * np.pi * echo_time)


def _unit(echo_time: float | None, field_strength: float | None) -> tuple[float, float]:
    """Return ppm per unit of the data, and the data's period (0: a field, which has none)."""
    if (echo_time is None) != (field_strength is None):
        raise ValueError("TGV takes phase with echo_time and field_strength together, or a field with neither")
    if echo_time is None or field_strength is None:
        return 1.0, 0.0
    return phase_to_ppm(echo_time, field_strength), 2 * np.pi


def tgv(
    field_ppm_or_phase: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: TgvParams = TgvParams(),
    weights: FloatArray | None = None,
    magnitude: FloatArray | None = None,
    progress: Progress | None = None,
    echo_time: float | None = None,
    field_strength: float | None = None,
    info: Info | None = None,
) -> FloatArray:
    """Estimate susceptibility in one step from a total field, or from the wrapped phase of one echo.

    Minimises 1/2 ||w psi||^2 + TGV(chi) subject to Laplace(f) = (Laplace / 3 - (b0 . grad)^2) chi + Laplace(psi), with
    the misfit psi of the field and TGV(chi) = min_v alpha1 ||grad chi - v||_1 + alpha0 ||sym grad v||_1. The
    background is harmonic and drops out, and the Laplacian of wrapped phase is known: neither unwrapping nor
    background removal is needed before.

    Parameters
    ----------
    field_ppm_or_phase : float32, ``grid.shape``
        Total (or local) field in ppm; or, with ``echo_time`` and ``field_strength``, wrapped phase in rad without
        offset at echo time zero.
    mask : bool, ``grid.shape``
        Object; the data are used where a voxel and its six neighbours lie in it (18 where voxels are long).
    grid : Grid
        Sampling.
    params : TgvParams
        Regularisation and iteration.
    weights : float32, ``grid.shape``, optional
        Relative reliability of the field (inverse of its standard error, any scale); where it is 0 at the boundary,
        the object ends.
    magnitude : float32, optional
        Not used; the argument is there so that all inversions are called alike.
    progress : callable, optional
        Called as ``progress(done, total)`` after each iteration; less than the total is done where it converges.
    echo_time : float, optional
        Echo time in s; with it and ``field_strength`` the data are phase.
    field_strength : float, optional
        Main field in T.
    info : dict, optional
        Receives ``iterations`` (of all grids), ``iterations_finest``, ``levels`` and ``noise_ppm``.

    Returns
    -------
    float32, ``grid.shape``
        Susceptibility in ppm, zero outside the mask; its level is arbitrary.

    Raises
    ------
    ValueError
        If the mask is empty or too thin, the shapes differ, or one of echo time and field strength is missing.

    References
    ----------
    Langkammer et al. 2015, 10.1016/j.neuroimage.2015.02.041; Bredies et al. 2010, 10.1137/090769521; steps: Pock &
    Chambolle 2011, 10.1109/ICCV.2011.6126441; over-relaxation: Condat 2013, 10.1007/s10957-012-0245-9.

    Examples
    --------
    >>> import numpy as np
    >>> from bids_app.qsm.grid import Grid
    >>> from bids_app.qsm.operators.dipole import forward_field
    >>> grid, chi = Grid((24, 24, 24)), np.zeros((24, 24, 24), np.float32)
    >>> chi[9:15, 9:15, 9:15] = 0.1
    >>> mask = np.ones(chi.shape, bool)
    >>> estimate = tgv(forward_field(chi, grid), mask, grid, params=TgvParams(iterations=100))
    >>> bool(estimate[chi > 0].mean() - estimate[chi == 0].mean() > 0.05)
    True
    """
    scale, period = _unit(echo_time, field_strength)
    mask = known_object(field_ppm_or_phase, mask, grid, weights)
    crop = Crop.with_margin(mask, grid, MARGIN)
    problem = field_problem(field_ppm_or_phase, mask, weights, crop, scale, period)
    noise = params.noise or noise_of(problem)
    facts: Info = {"iterations": 0, "iterations_finest": 0, "noise_ppm": noise, "levels": 0}
    chi = np.zeros(grid.shape, np.float32)
    if noise > 0:  # else the field is harmonic to the last digit: nothing inside makes it
        problem.laplacian[:] *= np.float32(1 / noise)
        state, counts = solve_coarse_to_fine(problem, params, progress)
        chi, facts = map_of(state, problem, noise, crop, grid), facts | counts
    if info is not None:
        info |= facts
    return chi


TGV: Inversion[TgvParams] = Method(
    name="tgv",
    kind="inversion",
    label="Single-step TGV",
    function=tgv,
    params=TgvParams,
    sentence=(
        "Susceptibility was estimated in a single step from the phase with total generalised "
        "variation [langkammer2015]{parameters}."
    ),
    single_step=True,
    uses=frozenset({"weights"}),
    on_device=True,
)
