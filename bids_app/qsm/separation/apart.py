"""Separation with a decay kernel that differs from voxel to voxel (APART-QSM)."""

from dataclasses import dataclass

import numpy as np

from bids_app.qsm.arrays import FloatArray
from bids_app.qsm.inversion.problem import note
from bids_app.qsm.method import Method, Separation
from bids_app.qsm.operators.smoothing import mean_of_known
from bids_app.qsm.params import Params, param
from bids_app.qsm.results import Sources
from bids_app.qsm.separation.calibration import relaxivity_of
from bids_app.qsm.separation.sources import R2PRIME_PER_PPM, SeparationData, separated
from bids_app.qsm.signatures import Info, Progress

#: Error of R2' as a share of itself, against which the spread of the kernel is weighed.
_MODEL_ERROR = 0.1


@dataclass(frozen=True)
class ApartParams(Params):
    """Parameters of APART-QSM."""

    relaxivity: float = param(
        R2PRIME_PER_PPM, low=1.0, high=5000.0, unit="Hz/ppm", doc="R2' per ppm at 3 T where the iteration starts"
    )
    calibrate: bool = param(False, doc="Start from the relaxivity of iron-rich voxels instead")
    spread: float = param(0.3, low=0.01, high=2.0, doc="Standard deviation of the kernel over the start, as a share")
    smoothing: float = param(4.0, low=0.5, high=30.0, unit="mm", doc="Gaussian over which the kernel is alike")
    iterations: int = param(20, low=1, high=500, doc="Most iterations")
    tolerance: float = param(1e-3, low=0.0, high=1.0, doc="Relative change of the kernel that ends them")


def apart(
    data: SeparationData,
    *,
    params: ApartParams = ApartParams(),
    progress: Progress | None = None,
    info: Info | None = None,
) -> Sources:
    """Separate by estimating, in turn, the decay kernel a(r) of R2' and both sources.

    R2'(r) = a(r) (chi+ + abs(chi-)), chi = chi+ + chi-. Given a, the sources follow voxel by voxel as in closed form.
    Given the sources, a is the least-squares slope of R2' over chi+ + abs(chi-) in a Gaussian neighbourhood, held near
    its start a0 by a prior of relative width ``spread``. Where a source was clipped at zero (R2' smaller than
    a abs(chi)), the neighbourhood asks for a smaller kernel, and the iteration moves there. What multi-echo data add in
    the paper, an R2' of each voxel, enters here as the R2' map.

    Parameters
    ----------
    data : SeparationData
        Needs ``chi`` (ppm) and ``r2prime`` (1/s).
    params : ApartParams
    progress : callable, optional
        Called with iterations done and most iterations.
    info : dict, optional
        Receives the relaxivity of the start and the median kernel.

    Returns
    -------
    Sources

    Raises
    ------
    ParameterError
        If a map is missing.

    References
    ----------
    Li et al. 2023, 10.1016/j.neuroimage.2023.120148.
    """
    data.require("chi", "r2prime")
    chi, rate, valid = data.clean("chi"), data.clean("r2prime"), data.valid
    start = np.float32(relaxivity_of(data, chi, rate, params.relaxivity, params.calibrate, info))
    kernel: FloatArray = np.full(chi.shape, start, np.float32)
    sigma = [params.smoothing / size for size in data.grid.voxel_size]
    positive, negative = separated(chi, np.where(valid, rate / kernel, np.abs(chi)), data.mask)
    for iteration in range(1, params.iterations + 1):
        total = np.where(valid, positive - negative, np.float32(0))
        power = float(np.mean(total[valid] ** 2, dtype=np.float64)) if valid.any() else 0.0
        prior = np.float32(power * (_MODEL_ERROR / params.spread) ** 2 + 1e-12)
        top = mean_of_known(total * rate, valid, sigma) + prior * start
        bottom = mean_of_known(total * total, valid, sigma) + prior
        old, kernel = kernel, np.maximum(top / bottom, np.float32(0.1) * start)
        positive, negative = separated(chi, np.where(valid, rate / kernel, np.abs(chi)), data.mask)
        if progress is not None:
            progress(iteration, params.iterations)
        change = float(np.linalg.norm((kernel - old)[valid])) if valid.any() else 0.0
        if change <= params.tolerance * float(np.linalg.norm(kernel[valid])):
            break
    note(info, kernel_median=float(np.median(kernel[valid])) if valid.any() else float(start))
    left = np.where(valid, rate - kernel * (positive - negative), np.float32(0))
    return Sources(positive, negative, left.astype(np.float32))


APART: Separation[ApartParams] = Method(
    name="apart",
    kind="separation",
    label="APART-QSM",
    function=apart,
    params=ApartParams,
    sentence=(
        "Paramagnetic and diamagnetic susceptibility were estimated in turn with a decay kernel that varies over "
        "space (APART-QSM) [li2023]{parameters}."
    ),
    needs=("chi", "r2prime"),
)
