"""Separation that allows for the orientation of myelin: its R2' depends on the fibres' angle to the field."""

from dataclasses import dataclass

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.inversion.problem import note
from bids_app.qsm.method import Method, Separation
from bids_app.qsm.operators.smoothing import gaussian, mean_of_known
from bids_app.qsm.params import Params, param
from bids_app.qsm.results import Sources
from bids_app.qsm.separation.calibration import relaxivity_of
from bids_app.qsm.separation.joint_fit import initial_chi, joint_input, solve_joint
from bids_app.qsm.separation.sources import CYLINDERS_OVER_SPHERES, R2PRIME_PER_PPM, SeparationData, separated
from bids_app.qsm.signatures import Info, Progress

#: Smoothed susceptibility (ppm) between which a voxel counts more and more as white matter, without a segmentation.
_WHITE_FROM, _WHITE_TO = 0.0, -0.012
#: Fraction of white matter from which a voxel helps to estimate its orientation, and that of its core.
_SOME, _CORE = 0.5, 0.9
#: Fewest core voxels for an estimate of iron in white matter; what is known of it beforehand: mean and SD (ppm).
_MIN_CORE, _IRON, _IRON_SD = 500, 0.015, 0.01
#: Least share of core voxels around a voxel that takes over their orientation.
_NEAR = 0.02
#: Standard deviation of the natural logarithm of ``cylinders``, relative to theory, and the largest deviation tried.
_CYLINDER_LOG_SD, _CYLINDER_RANGE = 0.4, 1.2
#: Size of a part of the diamagnetic R2' that does not depend on orientation, relative to spheres; theory has none.
_CONSTANT_SD = 0.1
#: Error of the smoothed susceptibility (ppm): at least this much misfit is no sign of another law.
_MISFIT_SD = 0.003
#: Largest diamagnetic R2' over that of spheres that the data may ask for, and the uncertainty (ppm) of the diamagnetic
#: part that it is divided by.
_LARGEST_RATIO, _DIAMAGNETIC_SD = 4.0, 0.005


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
    grey: float = param(
        0.4,
        low=0.0,
        high=2.0,
        doc="R2' of diamagnetic matter outside white matter over that of spheres of the same susceptibility",
    )
    iron: float = param(
        0.0, low=0.0, high=0.2, unit="ppm", doc="Mean paramagnetic susceptibility of white matter; 0: from the data"
    )
    smoothing: float = param(3.0, low=0.5, high=30.0, unit="mm", doc="Gaussian over which fibres keep their direction")
    passes: int = param(2, low=1, high=10, doc="Times that orientation and sources are estimated in turn")
    lambda_: float = param(0.0, low=0.0, high=1.0, unit="ppm mm", doc="Weight of total variation; 0: from the data")
    rate_error: float = param(
        0.3, low=0.001, high=2.0, doc="Error of R2' in addition to its noise: share of its root mean square in the mask"
    )
    edges: float = param(0.3, low=0.0, high=0.95, doc="Share of the magnitude's differences that count as edges")
    iterations: int = param(60, low=5, high=2000, doc="Most iterations of each pass")
    tolerance: float = param(1e-3, low=0.0, high=1.0, doc="Relative change that ends a pass")
    padding: float = param(20.0, low=0.0, high=200.0, unit="mm", doc="Empty space around the object")


def white_matter_share(data: SeparationData, chi: FloatArray) -> FloatArray:
    """Return the fraction of white matter: the given map, or a guess from where the surroundings are diamagnetic."""
    if data.white_matter is not None:
        return np.clip(data.clean("white_matter"), 0, 1)
    return _diamagnetic_share(data, chi)


def _diamagnetic_share(data: SeparationData, chi: FloatArray) -> FloatArray:
    """Return from 0 to 1 how diamagnetic the surroundings of each voxel are, as myelinated white matter is."""
    sigma = [2.0 / size for size in data.grid.voxel_size]
    smooth = mean_of_known(np.where(data.mask, chi, np.float32(0)), data.mask, sigma)
    share = np.clip((smooth - _WHITE_FROM) / (_WHITE_TO - _WHITE_FROM), 0, 1)
    return np.where(data.mask, share, 0).astype(np.float32)


def iron_of_white_matter(chi: FloatArray, total: FloatArray, core: BoolArray, cylinders: float) -> float:
    """Estimate the paramagnetic susceptibility of white matter (ppm) from the bounds that orientation sets.

    With R2'/Dr = p + c n, chi = p - n and 0 <= c <= C (fibres along the field, fibres across it), p lies between
    (R2'/Dr + C chi) / (1 + C) and R2'/Dr in every voxel. Fibres across the field reach the lower bound, fibres along
    it the upper: robust extremes of both over the core of white matter enclose p. C is known from theory with an
    uncertainty, and so is p from the iron content of white matter: of the pairs that lie on the lower bound and below
    the upper one, the most probable is taken.
    """
    if np.count_nonzero(core) < _MIN_CORE:
        return _IRON
    rate, field = total[core].astype(np.float64), chi[core].astype(np.float64)
    trials = cylinders * np.exp(np.linspace(-1, 1, 41) * _CYLINDER_RANGE)
    lower = np.array([np.quantile((rate + c * field) / (1 + c), 0.95) for c in trials])
    iron = np.clip(lower, 0.0, max(float(np.quantile(rate, 0.05)), 0.0))
    cost = (np.log(trials / cylinders) / _CYLINDER_LOG_SD) ** 2 + ((iron - _IRON) / _IRON_SD) ** 2
    # Below the upper bound alone is possible; beyond it the estimate is the bound, and the distance counts.
    cost += (np.maximum(lower - iron, 0) / _IRON_SD) ** 2
    return float(iron[np.argmin(cost)])


def relaxivity_by_angle(
    maps: tuple[FloatArray, FloatArray, FloatArray, FloatArray], core: BoolArray, cylinders: float, samples: float
) -> tuple[float, float]:
    """Estimate how the diamagnetic R2' depends on a known fibre angle: c = c0 + C sin^2, relative to spheres.

    Least squares of R2'/Dr = p + (c0 + C s) (p - chi), s = sin^2 of the angle, over the core of white matter. ``maps``
    are R2'/Dr, chi, s and s chi, smoothed alike; ``samples`` is the number of independent voxels. Theory has c0 = 0 and
    C = ``cylinders``; where the angles hardly differ, it and the iron content of white matter decide.
    """
    if np.count_nonzero(core) < _MIN_CORE:
        return 0.0, cylinders
    rate, chi, sine2, product = (values[core].astype(np.float64) for values in maps)
    # All misfits are quadratic forms of these moments: (1 + c0, C) of the weight and (1, c0, C) of the value.
    weights, values = np.stack([np.ones_like(rate), sine2]), np.stack([rate, chi, product])
    ww, wv, vv = (a @ b.T / rate.size for a, b in ((weights, weights), (weights, values), (values, values)))
    constant, slope = np.meshgrid(np.linspace(0, 3, 61), np.linspace(0, 4.2 * cylinders, 85), indexing="ij")
    w, v = np.stack([1 + constant, slope]), np.stack([np.ones_like(slope), constant, slope])
    quadratic, linear = (np.einsum("a...,ab,b...->...", *form) for form in ((w, ww, w), (w, wv, v)))
    square = np.einsum("a...,ab,b...->...", v, vv, v)
    best = np.min(square - linear**2 / quadratic)
    spread = max(float(best), _MISFIT_SD**2) / samples
    iron = np.maximum((linear / spread + _IRON / _IRON_SD**2) / (quadratic / spread + 1 / _IRON_SD**2), 0)
    cost = (square - 2 * iron * linear + iron**2 * quadratic) / spread + ((iron - _IRON) / _IRON_SD) ** 2
    cost += ((slope - cylinders) / (_CYLINDER_LOG_SD * cylinders)) ** 2 / (1 + slope / cylinders)
    cost += np.log1p((constant / _CONSTANT_SD) ** 2)  # long tails: other laws are rare and not excluded
    at = np.unravel_index(np.argmin(cost), cost.shape)
    return float(constant[at]), float(slope[at])


def _across(
    data: SeparationData, params: WhiteMatterParams, maps: tuple[FloatArray, FloatArray, FloatArray], core: BoolArray
) -> FloatArray:
    """Return the diamagnetic R2' over that of spheres by the map of fibre angles, not finite where there is none.

    ``maps``: susceptibility, and R2' over the relaxivity and susceptibility after smoothing (ppm).
    """
    angle = np.asarray(data.fibre_angle, np.float32)
    has_angle = data.mask & np.isfinite(angle)
    sine2 = np.sin(np.where(has_angle, angle, np.float32(0))) ** 2
    sigma = [params.smoothing / size for size in data.grid.voxel_size]
    known = core & has_angle
    smooth = [
        mean_of_known(np.where(known, values, np.float32(0)), known, sigma) for values in (sine2, sine2 * maps[0])
    ]
    volume = (4 * np.pi) ** 1.5 * params.smoothing**3 / data.grid.voxel_volume
    samples = max(np.count_nonzero(known) / max(volume, 1.0), 1.0)
    constant, scale = relaxivity_by_angle((maps[1], maps[2], smooth[0], smooth[1]), known, params.cylinders, samples)
    return np.where(has_angle, np.float32(constant) + np.float32(scale) * sine2, np.float32(np.nan))


def _orientation(
    data: SeparationData, params: WhiteMatterParams, maps: tuple[FloatArray, FloatArray, FloatArray], fixed_iron: float
) -> tuple[FloatArray, float]:
    """Return the diamagnetic R2' over that of spheres in every voxel, and the iron of white matter that it rests on.

    ``maps``: susceptibility, R2' over the relaxivity (both ppm) and the fraction of white matter.
    """
    chi, total, share = maps
    core = data.valid & (share > _CORE) & (_diamagnetic_share(data, chi) > _SOME)
    # Partial volume with grey matter, which holds more iron, biases the mean of the surroundings.
    known = core if np.count_nonzero(core) >= _MIN_CORE else data.valid & (share > _SOME)
    sigma = [params.smoothing / size for size in data.grid.voxel_size]
    smooth_chi = mean_of_known(np.where(known, chi, np.float32(0)), known, sigma)
    smooth_total = mean_of_known(np.where(known, total, np.float32(0)), known, sigma)
    iron = fixed_iron or iron_of_white_matter(smooth_chi, smooth_total, core, params.cylinders)
    # Where little is diamagnetic the ratio of both says nothing: it is drawn to that of spheres, 1.
    sd = np.float32(_DIAMAGNETIC_SD)
    diamagnetic = np.maximum(np.float32(iron) - smooth_chi, np.float32(0))
    ratio = np.clip((smooth_total - np.float32(iron) + sd) / (diamagnetic + sd), 0, np.float32(_LARGEST_RATIO))
    near = data.valid & (share > 0) & (gaussian(known.astype(np.float32), sigma) > _NEAR)
    # Without a core of white matter nearby: the mean over fibres of all directions.
    ratio = np.where(near, ratio, np.float32(2 / 3 * params.cylinders))
    if data.fibre_angle is not None:
        across = _across(data, params, (chi, smooth_total, smooth_chi), core)
        ratio = np.where(np.isfinite(across), across, ratio)
    return (params.grey + share * (ratio - params.grey)).astype(np.float32), iron


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

    field = D * (p - n),  R2'/Dr = p + c n,  c = g + w (c_fibre - g),  c_fibre = cylinders sin^2(angle),

    with p = chi+, n = abs(chi-) and the fraction w of white matter. Outside it g = ``grey`` is less than 1: myelin of
    all directions is one part of diamagnetic matter there, and the rest, proteins and membranes, is so small that
    diffusion averages its field. Neither field nor R2' determines g: it scales abs(chi-) outside white matter.

    With a map of fibre angles c_fibre is known but for its size, and a part that does not depend on the angle, which
    the data give (:func:`relaxivity_by_angle`). Without one it is estimated: fibres keep their direction over some
    millimetres, and white matter holds little iron, whose mean value follows from the bounds that 0 <= sin^2 <= 1 sets
    (:func:`iron_of_white_matter`). Smoothed over ``params.smoothing``, c_fibre = (R2'/Dr - iron) / (iron - chi); fine
    detail of both sources then follows voxel by voxel from field and R2'. Estimating c and the joint fit of
    :mod:`bids_app.qsm.separation.joint_fit` (with c in its R2' term) alternate. The estimation of c is this software's
    own.

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
        "Paramagnetic and diamagnetic susceptibility were estimated by a joint fit of local field and R2' [shin2021]. "
        "The relaxivity of myelin depends on the orientation of the fibres as that of cylinders "
        "[yablonskiy1994; wharton2012]{parameters}."
    ),
    maturity="this software's own",
    needs=("local_field", "r2prime"),
)
