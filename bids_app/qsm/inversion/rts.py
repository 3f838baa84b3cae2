"""Rapid two-step dipole inversion (RTS)."""

from dataclasses import dataclass

import numpy as np

from bids_app.qsm.arrays import BoolArray, ComplexArray, FloatArray
from bids_app.qsm.device import copy_of, is_host, namespace, to_device, to_host
from bids_app.qsm.grid import Grid, checked_mask
from bids_app.qsm.inversion.problem import counted
from bids_app.qsm.kernels import rts as fused
from bids_app.qsm.method import Inversion, Method
from bids_app.qsm.operators.crop import Crop
from bids_app.qsm.operators.dipole import dipole_kernel
from bids_app.qsm.operators.fft import irfftn, power, rfftn
from bids_app.qsm.operators.gradient import laplacian_spectrum
from bids_app.qsm.operators.vectors import change_of
from bids_app.qsm.params import Params, param
from bids_app.qsm.plain import rts as plain
from bids_app.qsm.signatures import Info, Progress
from bids_app.qsm.solvers.cg import conjugate_gradients
from bids_app.qsm.solvers.split_gradient import SplitGradient


@dataclass(frozen=True)
class RtsParams(Params):
    """Parameters of RTS."""

    delta: float = param(0.15, low=0.01, high=0.6, doc="Kernel magnitude above which k-space is well conditioned")
    mu: float = param(1e5, low=1.0, high=1e9, doc="Weight of the well-conditioned data against total variation")
    rho: float = param(10.0, low=1e-3, high=1e4, doc="ADMM penalty")
    iterations: int = param(12, low=2, high=1000, doc="Maximum number of ADMM iterations")
    tolerance: float = param(1e-2, low=0.0, high=1.0, doc="Relative change that ends the iteration")
    first_step: int = param(4, low=1, high=50, doc="Iterations of the least-squares start")
    padding: float = param(12.0, low=0.0, high=200.0, unit="mm", doc="Empty space around the object")


class _StartSystem:
    """The normal equations of mask(D chi) = field with chi in k-space, where D is a product.

    So an iteration takes one pair of transforms. The field is zero outside the mask. A step of chi is taken with the
    next turn.
    """

    def __init__(self, field: FloatArray, inside: FloatArray, kernel: FloatArray) -> None:
        self._inside, self._kernel = inside, kernel
        self._kernels, xp = fused if is_host(field) else plain, namespace(field)
        self._residual = copy_of(field)
        self._gradient: ComplexArray | None = None
        self._direction = self._project()
        self.norm = power(self._direction, field.shape)
        self._chi, self._work = xp.zeros_like(self._direction), xp.empty_like(self._direction)
        self._step, self._image = np.float32(0), field

    def _project(self) -> ComplexArray:
        spectrum = rfftn(self._residual)
        self._kernels.multiply(spectrum, self._kernel, spectrum)
        return spectrum

    def turn(self, factor: np.float32) -> None:
        if self._gradient is not None:  # the first direction is the gradient itself
            self._kernels.add(self._chi, self._direction, self._step, factor, self._gradient)
            self._gradient = None

    def curvature(self) -> float:
        self._kernels.multiply(self._direction, self._kernel, self._work)
        self._image = irfftn(self._work, self._inside.shape)
        return float(self._kernels.masked_power(self._image, self._inside))

    def advance(self, step: np.float32, last: bool) -> float:
        self._step = step
        if last:
            return self.norm
        self._kernels.descend(self._residual, self._image, self._inside, step)
        self._gradient = self._project()
        return power(self._gradient, self._inside.shape)

    def spectrum(self) -> ComplexArray:
        """Return the spectrum of chi."""
        self._chi += float(self._step) * self._direction
        return self._chi


def _least_squares_start(field: FloatArray, inside: FloatArray, kernel: FloatArray, steps: int) -> ComplexArray:
    """Spectrum of chi after few steps of least squares, so that streaks stay out."""
    system = _StartSystem(field, inside, kernel)
    conjugate_gradients(system, system.norm, 0.0, steps)
    return system.spectrum()


def rts(
    local_field_ppm: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: RtsParams = RtsParams(),
    weights: FloatArray | None = None,
    magnitude: FloatArray | None = None,
    progress: Progress | None = None,
    info: Info | None = None,
) -> FloatArray:
    """Estimate susceptibility by rapid two-step inversion (RTS).

    Step 1 solves the well-conditioned part of k-space, |D| > ``delta``, by few least-squares iterations. Step 2
    keeps that part and fills the rest by total variation: it minimises mu/2 ||P (chi - chi_1)||^2 + ||grad chi||_1
    by ADMM, with P the projection onto the well-conditioned part.

    Parameters
    ----------
    local_field_ppm : float32, ``grid.shape``
        Local field in ppm.
    mask : bool, ``grid.shape``
        Where the field is known.
    grid : Grid
        Sampling and direction of B0.
    params : RtsParams
        Limit of the well-conditioned part, weights, stopping rule, and padding in mm.
    weights : float32, ``grid.shape``, optional
        Not used: all voxels count alike.
    magnitude : float32, ``grid.shape``, optional
        Not used.
    progress : callable, optional
        Called as ``progress(done, total)`` after each iteration.
    info : dict, optional
        Receives the number of iterations.

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
    Kames et al. 2018, 10.1016/j.neuroimage.2017.11.018.

    Examples
    --------
    >>> import numpy as np
    >>> from bids_app.qsm.grid import Grid
    >>> from bids_app.qsm.operators.dipole import forward_field
    >>> grid, chi = Grid((24, 24, 24)), np.zeros((24, 24, 24), np.float32)
    >>> chi[9:15, 9:15, 9:15] = 0.1
    >>> estimate = rts(forward_field(chi, grid), np.ones(chi.shape, bool), grid)
    >>> bool(estimate[chi > 0].mean() - estimate[chi == 0].mean() > 0.05)
    True
    """
    mask = checked_mask(mask, grid, field=local_field_ppm) & np.isfinite(local_field_ppm)
    crop = Crop.around(mask, grid, params.padding)
    shape = crop.grid.shape
    kernel = dipole_kernel(crop.grid)
    inside, field = to_device(crop.take(mask)), to_device(crop.take_clean(local_field_ppm, mask))
    fixed = _least_squares_start(field, inside, to_device(kernel), params.first_step)
    chi = irfftn(copy_of(fixed), shape)
    well = np.float32(params.mu) * (np.abs(kernel) > params.delta)
    below: FloatArray = well + np.float32(params.rho) * laplacian_spectrum(crop.grid)
    below[0, 0, 0] = 1
    fixed *= to_device(well / below)
    gain = to_device(np.float32(params.rho) / below)
    fixed[0, 0, 0] = gain[0, 0, 0] = 0
    gradient, report = SplitGradient.on_device(crop.grid), counted(progress, info)
    for iteration in range(1, params.iterations + 1):
        previous, chi = chi, gradient.iterate(chi, 1 / params.rho, fixed, gain)
        change, size = change_of(chi, previous)
        report(iteration, params.iterations)
        # The first iterates nearly equal the start, which says nothing about convergence.
        if iteration > 2 and change <= params.tolerance**2 * size:
            break
    chi *= inside
    return crop.put(to_host(chi), grid.shape)


RTS: Inversion[RtsParams] = Method(
    name="rts",
    kind="inversion",
    label="RTS",
    function=rts,
    params=RtsParams,
    sentence=("Susceptibility was estimated by rapid two-step inversion (RTS) [kames2018]{parameters}."),
    on_device=True,
)
