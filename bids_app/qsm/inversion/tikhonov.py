"""Tikhonov-regularised inversion in closed form."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.device import to_device, to_host
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.problem import note, prepare
from bids_app.qsm.inversion.spectra import estimate_spectra, least_risk
from bids_app.qsm.method import Inversion, Method
from bids_app.qsm.operators.dipole import dipole_kernel
from bids_app.qsm.operators.fft import irfftn, rfftn
from bids_app.qsm.operators.gradient import laplacian_spectrum
from bids_app.qsm.params import Params, param
from bids_app.qsm.signatures import Info, Progress

F = TypeVar("F", np.float32, np.float64)


@dataclass(frozen=True)
class TikhonovParams(Params):
    """Parameters of the Tikhonov inversion."""

    lambda_: float = param(0.0, low=0.0, high=10.0, doc="Weight (mm2 for the gradient); 0: smallest expected error")
    prior: str = param("identity", choices=("identity", "gradient"), doc="What is kept small: chi or its gradient")
    padding: float = param(20.0, low=0.0, high=200.0, unit="mm", doc="Empty space around the object")


def tikhonov(
    local_field_ppm: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: TikhonovParams = TikhonovParams(),
    weights: FloatArray | None = None,
    magnitude: FloatArray | None = None,
    progress: Progress | None = None,
    info: Info | None = None,
) -> FloatArray:
    """Estimate susceptibility by Tikhonov regularisation in closed form.

    Minimises ||D chi - f||^2 + lambda ||G chi||^2 with G the identity or the gradient: chi(k) = D f / (D^2 + lambda
    |G|^2).

    Parameters
    ----------
    local_field_ppm : float32, ``grid.shape``
        Local field in ppm.
    mask : bool, ``grid.shape``
        Where the field is known.
    grid : Grid
        Sampling and direction of B0.
    params : TikhonovParams
        Weight, prior, and padding in mm.
    weights : float32, ``grid.shape``, optional
        Not used: all voxels count alike.
    magnitude : float32, ``grid.shape``, optional
        Not used.
    progress : callable, optional
        Not used: the solution is in closed form.
    info : dict, optional
        Receives the weight that was used and, where the data chose it, the error's SD in ppm.

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
    Bilgic et al. 2014, 10.1002/jmri.24365; choice of the weight: :mod:`bids_app.qsm.inversion.spectra`.

    Examples
    --------
    >>> import numpy as np
    >>> from bids_app.qsm.grid import Grid
    >>> from bids_app.qsm.operators.dipole import forward_field
    >>> grid, chi = Grid((24, 24, 24)), np.zeros((24, 24, 24), np.float32)
    >>> chi[9:15, 9:15, 9:15] = 0.1
    >>> estimate = tikhonov(forward_field(chi, grid), np.ones(chi.shape, bool), grid)
    >>> bool(estimate[chi > 0].mean() - estimate[chi == 0].mean() > 0.05)
    True
    """
    problem = prepare(local_field_ppm, mask, grid, params.padding)
    kernel, laplacian = dipole_kernel(problem.grid), laplacian_spectrum(problem.grid)

    def inverse(weight: float, kernel: npt.NDArray[F], laplacian: npt.NDArray[F]) -> npt.NDArray[F]:
        below: npt.NDArray[F] = kernel**2 + weight * (laplacian if params.prior == "gradient" else 1)
        return np.divide(kernel, below, out=np.zeros_like(below), where=below > 0)

    spectrum = rfftn(to_device(problem.field))
    weight = params.lambda_
    if weight == 0:
        voxels = max(int(np.count_nonzero(problem.weight)), 1)
        spectra = estimate_spectra(to_host(spectrum), kernel, laplacian, problem.grid, voxels)
        weight = least_risk(inverse, np.geomspace(1e-4, 1, 41), spectra)
        note(info, noise_ppm=spectra.noise_sd * problem.scale)
    note(info, regularisation=weight)
    spectrum *= to_device(inverse(weight, kernel, laplacian))
    return problem.finish(to_host(irfftn(spectrum, problem.grid.shape)))


TIKHONOV: Inversion[TikhonovParams] = Method(
    name="tikhonov",
    kind="inversion",
    label="Tikhonov",
    function=tikhonov,
    params=TikhonovParams,
    sentence=("Susceptibility was estimated by inversion with Tikhonov regularisation [bilgic2014l2]{parameters}."),
    on_device=True,
)
