"""Separation that allows for the orientation of myelin: its R2' depends on the fibres' angle to the field."""

from dataclasses import dataclass

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.inversion.problem import note
from bids_app.qsm.method import Method, Separation
from bids_app.qsm.operators.smoothing import mean_of_known
from bids_app.qsm.params import Params, param
from bids_app.qsm.results import Sources
from bids_app.qsm.separation.calibration import relaxivity_of
from bids_app.qsm.separation.chi_separation import initial_chi, joint_input, solve_joint
from bids_app.qsm.separation.sources import CYLINDERS_OVER_SPHERES, R2PRIME_PER_PPM, SeparationData, separated
from bids_app.qsm.signatures import Info, Progress

#: Smoothed susceptibility (ppm) between which a voxel counts more and more as white matter, without a segmentation.
_WHITE_FROM, _WHITE_TO = 0.0, -0.012
#: Fraction of white matter from which a voxel helps to estimate its orientation, and that of its core.
_SOME, _CORE = 0.5, 0.9
#: Fewest core voxels for an estimate of iron in white matter, and its value without one (ppm).
_MIN_CORE, _IRON = 500, 0.01
#: Largest diamagnetic R2' over that of spheres that the data may ask for, and smallest diamagnetic part (ppm) that has
#: an orientation.
_LARGEST_RATIO, _SMALLEST = 4.0, 0.005


@dataclass(frozen=True)
class WhiteMatterParams(Params):
    """Parameters of the separation with oriented white matter."""

    relaxivity: float = param(
        R2PRIME_PER_PPM, low=1.0, high=5000.0, unit="Hz/ppm", doc="R2' per ppm of paramagnetic sources at 3 T"
    )
    calibrate: bool = param(True, doc="Estimate the relaxivity from iron-rich voxels where there are enough")
    cylinders: float = param(
        round(CYLINDERS_OVER_SPHERES, 4),
        low=0.2,
        high=5.0,
        doc="R2' of fibres across the field over that of spheres of the same susceptibility",
    )
    iron: float = param(
        0.0, low=0.0, high=0.2, unit="ppm", doc="Mean paramagnetic susceptibility of white matter; 0: from the data"
    )
    smoothing: float = param(5.0, low=0.5, high=30.0, unit="mm", doc="Gaussian over which fibres keep their direction")
    passes: int = param(2, low=1, high=10, doc="Times that orientation and sources are estimated in turn")
    lambda_: float = param(0.0, low=0.0, high=1.0, unit="ppm mm", doc="Weight of total variation; 0: from the data")
    rate_error: float = param(
        0.15, low=0.001, high=2.0, doc="Error of R2' beside its noise: share of its root mean square in the mask"
    )
    edges: float = param(0.3, low=0.0, high=0.95, doc="Share of the magnitude's differences that count as edges")
    iterations: int = param(60, low=5, high=2000, doc="Most iterations of each pass")
    tolerance: float = param(1e-3, low=0.0, high=1.0, doc="Relative change that ends a pass")
    padding: float = param(20.0, low=0.0, high=200.0, unit="mm", doc="Empty space around the object")


def white_matter_share(data: SeparationData, chi: FloatArray) -> FloatArray:
    """Return the fraction of white matter: the given map, or a guess from where the surroundings are diamagnetic."""
    if data.white_matter is not None:
        return np.clip(data.clean("white_matter"), 0, 1)
    sigma = [2.0 / size for size in data.grid.voxel_size]
    smooth = mean_of_known(np.where(data.mask, chi, np.float32(0)), data.mask, sigma)
    share = np.clip((smooth - _WHITE_FROM) / (_WHITE_TO - _WHITE_FROM), 0, 1)
    return np.where(data.mask, share, 0).astype(np.float32)


def iron_of_white_matter(chi: FloatArray, total: FloatArray, core: BoolArray, cylinders: float) -> float:
    """Estimate the paramagnetic susceptibility of white matter (ppm) from the bounds that orientation sets.

    With R2'/Dr = p + c n, chi = p - n and 0 <= c <= ``cylinders`` (fibres along the field, fibres across it), p lies
    between (R2'/Dr + cylinders chi) / (1 + cylinders) and R2'/Dr in every voxel. Fibres across the field reach the
    lower bound, fibres along it the upper: robust extremes of both over the core of white matter enclose p.
    """
    if np.count_nonzero(core) < _MIN_CORE:
        return _IRON
    rate, field = total[core].astype(np.float64), chi[core].astype(np.float64)
    lower = np.quantile((rate + cylinders * field) / (1 + cylinders), 0.95)
    upper = np.quantile(rate, 0.05)
    return max(min(float(lower), float(upper)), 0.0)


def _orientation(
    data: SeparationData, params: WhiteMatterParams, maps: tuple[FloatArray, FloatArray, FloatArray], fixed_iron: float
) -> tuple[FloatArray, float]:
    """Return the diamagnetic R2' over that of spheres in every voxel, and the iron of white matter that it rests on.

    ``maps``: susceptibility, R2' over the relaxivity (both ppm) and the fraction of white matter.
    """
    chi, total, share = maps
    known = data.valid & (share > _SOME)
    sigma = [params.smoothing / size for size in data.grid.voxel_size]
    smooth_chi = mean_of_known(np.where(known, chi, np.float32(0)), known, sigma)
    smooth_total = mean_of_known(np.where(known, total, np.float32(0)), known, sigma)
    iron = fixed_iron
    if iron == 0:
        iron = iron_of_white_matter(smooth_chi, smooth_total, known & (share > _CORE), params.cylinders)
    diamagnetic = np.maximum(np.float32(iron) - smooth_chi, np.float32(_SMALLEST))
    ratio = np.clip((smooth_total - np.float32(iron)) / diamagnetic, 0, np.float32(_LARGEST_RATIO))
    ratio = np.where(known, ratio, np.float32(1))
    if data.fibre_angle is not None:
        there = data.mask & np.isfinite(data.fibre_angle)
        across = np.float32(params.cylinders) * np.sin(np.where(there, data.fibre_angle, np.float32(0))) ** 2
        ratio = np.where(there, across, ratio)
    return (1 + share * (ratio - 1)).astype(np.float32), iron


def white_matter(
    data: SeparationData,
    *,
    params: WhiteMatterParams = WhiteMatterParams(),
    progress: Progress | None = None,
    info: Info | None = None,
) -> Sources:
    """Separate by a joint fit in which the relaxivity of myelin depends on the orientation of the fibres.

    Myelin sheaths are long cylinders: in the static dephasing limit their R2' is proportional to sin^2 of the angle
    between fibre and main field, whereas spheres (iron stores) have no direction. The model is

    field = D * (p - n),  R2'/Dr = p + c n,  c = 1 + w (c_fibre - 1),  c_fibre = cylinders sin^2(angle),

    with p = chi+, n = abs(chi-) and the fraction w of white matter. With a map of fibre angles c is known. Without one
    it is estimated: fibres keep their direction over some millimetres, and white matter holds little iron, whose mean
    value follows from the bounds that 0 <= sin^2 <= 1 sets (:func:`iron_of_white_matter`). Smoothed over
    ``params.smoothing``, c_fibre = (R2'/Dr - iron) / (iron - chi); fine detail of both sources then follows voxel by
    voxel from field and R2'. Estimating c and the joint fit of :mod:`bids_app.qsm.separation.chi_separation` (with c
    in its R2' term) alternate. The estimation of c is this software's own.

    Parameters
    ----------
    data : SeparationData
        Needs ``local_field`` (ppm) and ``r2prime`` (1/s); uses ``chi`` as the start, ``r2prime_sd``, ``magnitude``,
        ``white_matter`` and ``fibre_angle``. Without ``white_matter``, voxels whose surroundings are diamagnetic count.
    params : WhiteMatterParams
    progress : callable, optional
        Called with iterations done and most iterations.
    info : dict, optional
        Receives relaxivity, iron of white matter, the field's error and the weight of total variation.

    Returns
    -------
    Sources
        With the map ``orientation`` of c.

    Raises
    ------
    ParameterError
        If a map is missing.

    References
    ----------
    Wharton and Bowtell 2012, 10.1073/pnas.1211075109 (hollow cylinders); Yablonskiy and Haacke 1994,
    10.1002/mrm.1910320610 (cylinders and spheres); Shin et al. 2021, 10.1016/j.neuroimage.2021.118371 (joint fit).
    """
    data.require("local_field", "r2prime")
    chi, rate = initial_chi(data), data.clean("r2prime")
    relaxivity = relaxivity_of(data, chi, rate, params.relaxivity, params.calibrate, info)
    total = rate / np.float32(relaxivity)
    joint = joint_input(data, total, relaxivity, params, info)
    share = white_matter_share(data, chi)
    positive, negative = separated(chi, np.where(data.valid, total, np.abs(chi)), data.mask)
    p, n = positive, -negative
    ratio, none = np.ones_like(chi), np.broadcast_to(np.zeros((1, 1, 1), np.float32), joint.rate.shape)
    for number in range(params.passes):
        ratio, iron = _orientation(data, params, (chi, total, share), params.iron)
        if number == 0:
            p, n = _at_ratio(chi, total, ratio, data.valid, (p, n))
        report = _part_of(progress, number, params)
        p, n = solve_joint(data, joint, (p, n), joint.prepared.crop.take(ratio), none, params, report)
        chi = p - n
        share = white_matter_share(data, chi)
        note(info, iron_white_matter=iron)
    left = np.where(data.valid, rate - np.float32(relaxivity) * (p + ratio * n), np.float32(0))
    return Sources(p, -n, left.astype(np.float32), np.where(data.mask, ratio, np.float32(0)))


def _at_ratio(
    chi: FloatArray, total: FloatArray, ratio: FloatArray, valid: BoolArray, other: tuple[FloatArray, FloatArray]
) -> tuple[FloatArray, FloatArray]:
    """Return p and n of p - n = chi, p + ratio n = total where R2' is valid, else the others."""
    n = np.maximum((total - chi) / (1 + ratio), 0)
    p = np.maximum(chi + n, 0)
    return np.where(valid, p, other[0]).astype(np.float32), np.where(valid, n, other[1]).astype(np.float32)


def _part_of(progress: Progress | None, number: int, params: WhiteMatterParams) -> Progress | None:
    if progress is None:
        return None

    def report(done: int, total: int) -> None:
        progress(number * params.iterations + done, params.passes * params.iterations)

    return report


WHITE_MATTER: Separation[WhiteMatterParams] = Method(
    name="white_matter",
    kind="separation",
    label="Oriented white matter",
    function=white_matter,
    params=WhiteMatterParams,
    sentence=(
        "Paramagnetic and diamagnetic susceptibility were estimated by a joint fit of local field and R2' [shin2021] "
        "in which the relaxivity of myelin depends on the orientation of the fibres as that of cylinders "
        "[yablonskiy1994; wharton2012]{parameters}."
    ),
    maturity="this software's own",
    needs=("local_field", "r2prime"),
)
