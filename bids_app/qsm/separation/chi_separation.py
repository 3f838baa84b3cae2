"""Separation by a joint fit of local field and R2' with an edge prior (chi-separation)."""

from dataclasses import dataclass

import numpy as np

from bids_app.qsm.method import Method, Separation
from bids_app.qsm.params import Params, param
from bids_app.qsm.results import Sources
from bids_app.qsm.separation.calibration import relaxivity_of
from bids_app.qsm.separation.joint_fit import initial_chi, joint_input, solve_joint
from bids_app.qsm.separation.sources import R2PRIME_PER_PPM, SeparationData, separated
from bids_app.qsm.signatures import Info, Progress


@dataclass(frozen=True)
class ChiSeparationParams(Params):
    """Parameters of chi-separation."""

    relaxivity: float = param(
        R2PRIME_PER_PPM, low=1.0, high=5000.0, unit="Hz/ppm", doc="R2' per ppm at 3 T, of both kinds of sources"
    )
    calibrate: bool = param(False, doc="Estimate the relaxivity from iron-rich voxels instead")
    lambda_: float = param(0.0, low=0.0, high=1.0, unit="ppm mm", doc="Weight of total variation; 0: from the data")
    rate_error: float = param(
        0.3, low=0.001, high=2.0, doc="Error of R2' in addition to its noise: share of its root mean square in the mask"
    )
    edges: float = param(0.3, low=0.0, high=0.95, doc="Share of the magnitude's differences that count as edges")
    iterations: int = param(60, low=5, high=2000, doc="Most iterations")
    tolerance: float = param(1e-3, low=0.0, high=1.0, doc="Relative change that ends them")
    padding: float = param(20.0, low=0.0, high=200.0, unit="mm", doc="Empty space around the object")


def chi_separation(
    data: SeparationData,
    *,
    params: ChiSeparationParams = ChiSeparationParams(),
    progress: Progress | None = None,
    info: Info | None = None,
) -> Sources:
    """Separate by a joint fit: field = D * (chi+ + chi-), R2' = Dr (chi+ + abs(chi-)), with total variation of both.

    Minimises 1/2 ||w (D (p - n) - f)||^2 + 1/2 v ||p + n - R2'/Dr||^2 + lambda (||M grad p||_1 + ||M grad n||_1) over
    p = chi+ >= 0 and n = abs(chi-) >= 0; D is the dipole convolution, M is 0 at edges of the first echo's magnitude
    and 1 elsewhere. The weights v and lambda come from the data: v is the ratio of the error variances of both terms,
    lambda follows from the field's error and mean gradient as for the inversion. The functional is the published one;
    the weights and the solver (ADMM) are this software's own.

    Parameters
    ----------
    data : SeparationData
        Needs ``local_field`` (ppm) and ``r2prime`` (1/s); uses ``chi`` as the start, ``r2prime_sd`` and ``magnitude``.
    params : ChiSeparationParams
    progress : callable, optional
        Called with iterations done and most iterations.
    info : dict, optional
        Receives relaxivity, the field's error and the weight of total variation.

    Returns
    -------
    Sources

    Raises
    ------
    ParameterError
        If a map is missing.

    References
    ----------
    Shin et al. 2021, 10.1016/j.neuroimage.2021.118371; Liu J. et al. 2012, 10.1016/j.neuroimage.2011.08.082 (edges).
    """
    data.require("local_field", "r2prime")
    chi, rate = initial_chi(data), data.clean("r2prime")
    relaxivity = relaxivity_of(data, chi, rate, params.relaxivity, params.calibrate, info)
    total = rate / np.float32(relaxivity)
    joint = joint_input(data, total, relaxivity, params, info)
    positive, negative = separated(chi, np.where(data.valid, total, np.abs(chi)), data.mask)
    ones = np.ones_like(joint.rate)
    zero = np.zeros((1, 1, 1), np.float32)
    p, n = solve_joint(data, joint, (positive, -negative), ones, np.broadcast_to(zero, ones.shape), params, progress)
    left = np.where(data.valid, rate - np.float32(relaxivity) * (p + n), np.float32(0))
    return Sources(p, -n, left.astype(np.float32))


CHI_SEPARATION: Separation[ChiSeparationParams] = Method(
    name="chi_separation",
    kind="separation",
    label="Chi-separation",
    function=chi_separation,
    params=ChiSeparationParams,
    sentence=(
        "Paramagnetic and diamagnetic susceptibility were estimated by a joint fit of local field and R2' with total "
        "variation of both, relaxed at edges of the magnitude (chi-separation) [shin2021; liu2012]{parameters}."
    ),
    needs=("local_field", "r2prime"),
)
