"""What joint fits of local field and R2' share: their data terms in one unit, and the solution with an edge prior."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.inversion.bayes import bayes
from bids_app.qsm.inversion.edges import edge_bits
from bids_app.qsm.inversion.problem import Prepared, note, prepare, spectra_of
from bids_app.qsm.inversion.spectra import tv_weight
from bids_app.qsm.separation.sources import SeparationData
from bids_app.qsm.signatures import Info, Progress
from bids_app.qsm.solvers.two_sources import TwoSourceProblem, minimise_two_sources

#: The weight of total variation grows with the noise of R2' over that of the field (both in ppm) times this: the rule
#: for the field alone leaves the noise that R2' brings into both sources.
_NOISE_RATIO = 1.5


class JointParams(Protocol):
    """The parameters that every joint fit has."""

    @property
    def lambda_(self) -> float:
        """Weight of total variation in ppm mm; 0: from the data."""

    @property
    def rate_error(self) -> float:
        """Error of R2' in addition to its noise, as a share of its root mean square."""

    @property
    def edges(self) -> float:
        """Share of the magnitude's differences that count as edges."""

    @property
    def iterations(self) -> int:
        """Most iterations."""

    @property
    def tolerance(self) -> float:
        """Relative change that ends them."""

    @property
    def padding(self) -> float:
        """Empty space around the object in mm."""


@dataclass(frozen=True)
class JointInput:
    """The two data terms of a joint fit in one unit, on the working grid."""

    prepared: Prepared
    rate: FloatArray
    rate_weight: FloatArray
    inside: BoolArray
    regularisation: float


def initial_chi(data: SeparationData) -> FloatArray:
    """Return the susceptibility in ppm that was given, or the inversion of the local field."""
    if data.chi is not None:
        return data.clean("chi")
    return bayes(data.clean("local_field"), data.mask, data.grid, weights=data.weights)


def joint_input(
    data: SeparationData, total_ppm: FloatArray, relaxivity: float, params: JointParams, info: Info | None
) -> JointInput:
    """Return both data terms, each weighted by the inverse of its error variance (relative to the field's).

    ``total_ppm`` is R2' over the relaxivity. The field's error comes from its spectrum in the cone of the dipole
    kernel; that of R2' from its standard deviation where there is one, and the share ``params.rate_error`` of its size.
    """
    prepared = prepare(data.clean("local_field"), data.mask, data.grid, params.padding, data.weights)
    spectra = spectra_of(prepared)
    regularisation = params.lambda_ / prepared.scale if params.lambda_ > 0 else tv_weight(spectra)
    crop, scale = prepared.crop, np.float32(1 / prepared.scale)
    inside = crop.take(data.mask, np.bool_)
    rate = crop.take(total_ppm) * scale
    valid = crop.take(data.valid, np.bool_)
    rms = float(np.sqrt(np.mean(rate[valid].astype(np.float64) ** 2))) if valid.any() else 1.0
    variance = np.full(rate.shape, (params.rate_error * rms) ** 2, np.float32)
    noise = max(spectra.noise_sd, 1e-3)
    if data.r2prime_sd is not None:
        sd = crop.take_clean(data.r2prime_sd, data.mask) * np.float32(1 / (relaxivity * prepared.scale))
        variance += sd**2
        if params.lambda_ == 0 and valid.any():
            regularisation *= max(1.0, _NOISE_RATIO * float(np.median(sd[valid])) / noise)
    rate_weight = np.where(valid, np.float32(noise**2) / np.maximum(variance, np.float32(1e-12)), np.float32(0))
    note(info, noise_ppm=noise * prepared.scale, regularisation=regularisation * prepared.scale)
    return JointInput(prepared, rate, rate_weight.astype(np.float32), inside, regularisation)


def solve_joint(
    data: SeparationData,
    joint: JointInput,
    start: tuple[FloatArray, FloatArray],
    ratio: FloatArray,
    prior_weight: FloatArray,
    params: JointParams,
    progress: Progress | None,
    prior: FloatArray | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Return p and n in ppm of the joint fit; ``ratio`` and the prior are on the working grid, in its unit."""
    prepared, crop = joint.prepared, joint.prepared.crop
    free = None
    if data.magnitude is not None and params.edges > 0:
        image = crop.take_clean(data.magnitude[0], data.mask)
        free = edge_bits(image, joint.inside, crop.grid, params.edges)
    problem = TwoSourceProblem(
        crop.grid,
        prepared.field,
        prepared.weight,
        joint.rate,
        joint.rate_weight,
        np.ascontiguousarray(ratio, np.float32),
        np.zeros_like(joint.rate) if prior is None else prior,
        np.ascontiguousarray(prior_weight, np.float32),
        joint.inside,
        joint.regularisation,
        free,
    )
    first = tuple(crop.take(s) * np.float32(1 / prepared.scale) for s in start)
    p, n = minimise_two_sources(
        problem, (first[0], first[1]), iterations=params.iterations, tolerance=params.tolerance, progress=progress
    )
    return prepared.finish(p), prepared.finish(n)
