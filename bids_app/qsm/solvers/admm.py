"""Total-variation inversion with a spatially weighted data term: one ADMM serves every method of that family."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bids_app.qsm.arrays import FloatArray
from bids_app.qsm.device import copy_of, is_host, namespace, to_device, to_host
from bids_app.qsm.grid import Grid
from bids_app.qsm.kernels import admm as fused
from bids_app.qsm.operators.dipole import DipoleConvolution
from bids_app.qsm.operators.fft import irfftn, rfftn
from bids_app.qsm.operators.gradient import laplacian_spectrum
from bids_app.qsm.operators.vectors import change_of
from bids_app.qsm.plain import admm as plain
from bids_app.qsm.signatures import Progress
from bids_app.qsm.solvers.split_gradient import SplitGradient

_KINDS = {"linear": 0, "nonlinear": 1, "l1": 2, "nonlinear-l1": 3}


class WeakHarmonic:
    """A field whose Laplacian is nearly zero in the mask, fitted along with the susceptibility.

    References
    ----------
    Milovic et al. 2019, 10.1002/mrm.27483.
    """

    def __init__(self, mask: FloatArray, laplacian: FloatArray, weight: float, penalty: float) -> None:
        xp = namespace(mask)
        self.field, self._dual, self._split = xp.zeros_like(mask), xp.zeros_like(mask), xp.zeros_like(mask)
        self._laplacian = laplacian
        self._shrink = penalty / (penalty + weight * mask)
        self._penalty = penalty

    def update(self, target: FloatArray, data_penalty: float) -> None:
        """Fit the harmonic field to ``target`` = (y - dual) - D chi."""
        spectrum = rfftn(self._split - self._dual)
        spectrum *= self._laplacian * self._penalty
        spectrum += data_penalty * rfftn(target)
        spectrum /= data_penalty + self._penalty * self._laplacian**2
        curved = spectrum * self._laplacian
        self.field = irfftn(spectrum, target.shape)
        curvature = irfftn(curved, target.shape) + self._dual
        self._split = curvature * self._shrink
        self._dual = curvature - self._split


@dataclass
class Problem:
    """What the ADMM minimises: loss(weight (D chi - field)) + regularisation ||grad chi||_1 + ridge/2 ||chi||^2.

    Everything lives on the (padded) working grid. ``loss`` is ``linear`` (half the square), ``nonlinear`` (the same
    of the complex signal, ``phase_scale`` radians per unit of the field), ``l1`` (the absolute value) or
    ``nonlinear-l1`` (that of the complex signal). ``penalty`` couples the split gradient, ``data_penalty`` the split
    field.
    """

    grid: Grid
    field: FloatArray
    weight: FloatArray
    regularisation: float
    loss: str = "linear"
    phase_scale: float = 1.0
    penalty: float = 0.0
    data_penalty: float = 1.0
    ridge: float = 0.0
    free: npt.NDArray[np.uint8] | None = None
    harmonic: tuple[float, float] | None = None

    def on_device(self) -> "Problem":
        """Return the problem with its arrays on the current device."""
        free = None if self.free is None else to_device(self.free)
        return replace(self, field=to_device(self.field), weight=to_device(self.weight), free=free)


def minimise(
    problem: Problem,
    *,
    iterations: int,
    tolerance: float,
    start: FloatArray | None = None,
    progress: Progress | None = None,
) -> FloatArray:
    """Susceptibility that minimises ``problem``, on its working grid; the iterations run on the current device.

    Stops when chi changes by less than ``tolerance`` (relative) from one iteration to the next, never before the
    third: the first iterates say nothing about convergence.
    """
    grid, shape, problem = problem.grid, problem.grid.shape, problem.on_device()
    dipole, laplacian = DipoleConvolution(grid).on_device(), to_device(laplacian_spectrum(grid))
    penalty = np.float32(problem.penalty or 100 * problem.regularisation)
    data_penalty, ridge = np.float32(problem.data_penalty), np.float32(problem.ridge)
    kind, scale = _KINDS[problem.loss], np.float32(problem.phase_scale)
    gradient = SplitGradient.on_device(grid, problem.free)
    bound = problem.regularisation / float(penalty)
    xp, kernels = namespace(problem.field), fused if is_host(problem.field) else plain
    chi = xp.zeros_like(problem.field) if start is None else copy_of(to_device(start))
    dual = xp.zeros_like(problem.field)
    image = xp.zeros_like(problem.field) if start is None else dipole.field(chi)
    harmonic = None
    if problem.harmonic is not None:
        inside = xp.astype(problem.weight > 0, xp.float32)
        harmonic = WeakHarmonic(inside, laplacian, *problem.harmonic)
    for iteration in range(1, iterations + 1):
        if harmonic is not None:
            image += harmonic.field
        kernels.fit_data(image, dual, problem.field, problem.weight, data_penalty, kind, scale)
        split_field = image
        data = rfftn(split_field if harmonic is None else split_field - harmonic.field)
        spectrum = rfftn(gradient.step(chi, bound))
        kernels.combine(spectrum, data, dipole.kernel, laplacian, data_penalty, penalty, ridge)
        old, chi = chi, irfftn(data, shape)
        change, size = change_of(chi, old)
        if progress is not None:
            progress(iteration, iterations)
        if iteration == iterations or (iteration > 2 and change <= tolerance**2 * size):
            break
        image = irfftn(spectrum, shape)
        if harmonic is not None:
            harmonic.update(split_field - image, problem.data_penalty)
    return to_host(chi)
