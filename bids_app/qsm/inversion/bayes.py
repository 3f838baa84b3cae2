"""Empirical-Bayes inversion: error and signal spectra are measured in the data, nothing is tuned by hand."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bids_app.qsm.arrays import BoolArray, ComplexArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.field_error import local_certainty, prior_trust
from bids_app.qsm.inversion.fine_detail import with_fine_detail
from bids_app.qsm.inversion.problem import Progress, counted, note, prepare
from bids_app.qsm.inversion.spectra import HALF_STRUCTURED, Spectra, estimate_spectra, frequencies
from bids_app.qsm.kernels import bayes as kernels
from bids_app.qsm.method import Inversion, Method
from bids_app.qsm.operators.dipole import dipole_kernel
from bids_app.qsm.operators.fft import irfftn, rfftn
from bids_app.qsm.operators.gradient import SplitGradient, blend, change_of, laplacian_spectrum
from bids_app.qsm.params import Params, param

#: SD of normally distributed values over the median of their magnitudes, and how many voxels tell it.
_SD_OF_MEDIAN, _MEDIAN_OF = 1.4826, 200_000


@dataclass(frozen=True)
class BayesParams(Params):
    """Parameters of the empirical-Bayes inversion: shares of the measured spectra, not weights of one data set."""

    gaussian: float = param(0.5, low=0.0, high=10.0, doc="Weight of the Gaussian prior; 1 is the measured spectrum's")
    sparsity: float = param(0.1, low=0.0, high=10.0, doc="Weight of the gradient's Laplacian prior; 1 as measured")
    edge: float = param(1.0, low=0.0, high=100.0, doc="Differences beyond this many gradient SDs are not penalised")
    rounds: int = param(4, low=1, high=50, doc="Most times that spectra and missing data are estimated anew")
    iterations: int = param(3, low=1, high=200, doc="ADMM iterations in each round")
    tolerance: float = param(2e-2, low=0.0, high=1.0, doc="Relative change from round to round that ends them")
    outside: float = param(0.5, low=0.0, high=1.0, doc="Share of the map outside the mask that makes field; see text")
    amplitude: float = param(
        0.9, low=0.0, high=1.0, doc="Share of the shrinkage by the priors that is taken back; see text"
    )
    relief: float = param(
        0.5, low=0.0, high=4.0, doc="How much weaker the priors are where no map explains the field; see text, 0: not"
    )
    outliers: float = param(
        10.0, low=0.0, high=100.0, doc="Residuals beyond this many SDs are taken for errors of the field; 0: none are"
    )
    detail: int = param(50, low=0, high=10000, doc="Iterations of TGV that improve the fine detail; see text, 0: none")
    padding: float = param(20.0, low=0.0, high=200.0, unit="mm", doc="Empty space around the object")


class _Estimate:
    """The map of the running inversion, its spectra, and the steps that refine it."""

    def __init__(self, grid: Grid, field: FloatArray, weight: FloatArray, inside: BoolArray) -> None:
        self.grid, self.field = grid, field
        self.weight = weight
        self.certainty = np.minimum(2 * weight, 1) ** 2
        self.inside = inside
        self.voxels = int(np.count_nonzero(weight))
        self.kernel, self.laplacian = dipole_kernel(grid), laplacian_spectrum(grid)
        self.axes = frequencies(grid)
        self.filled = field
        self.chi = np.zeros_like(field)
        self.noise_sd = 0.0
        self.trust = 0.0  # in the priors; not known yet
        self.judged = False  # the weights by the residual
        self.explained = 1.0  # share of the field, by the first round
        certain = np.flatnonzero(2 * weight >= 1)
        self._sample = certain[:: max(1, certain.size // _MEDIAN_OF)]  # enough for a median
        self._gain = np.empty_like(self.kernel)

    def forward(self, outside: float) -> FloatArray:
        """Return the field of the present map, which counts less outside the mask.

        Its arbitrary level (k = 0 is unknown) is taken off first, so that the mask's edge is no step.
        """
        if outside < 1:
            relative = self.chi - np.float32(self.chi.mean(where=self.inside, dtype=np.float64))
            spectrum = rfftn(np.where(self.inside, relative, np.float32(outside) * relative))
        else:
            spectrum = rfftn(self.chi)
        spectrum *= self.kernel
        return irfftn(spectrum, self.grid.shape)

    def scale(self, expected: FloatArray, amplitude: float) -> np.float32:
        """Scale the map towards the size at which its field ``expected`` explains the measured one best.

        The priors pull the map towards zero, by a few percent in good data and by a quarter in fields that no isotropic
        susceptibility makes. The best factor brings regions nearest to their true means; but what the map holds of the
        error asks for a larger one too, without end where there is error alone. So the share that is taken back is
        ``amplitude`` times the squared part of the field's power that is no error. Returns the factor.
        """
        if not amplitude:
            return np.float32(1)
        both, alone, measured, certain = kernels.products(expected, self.field, self.certainty)
        best = both / alone if alone > 0 else 1.0
        signal = max(0.0, 1 - self.noise_sd**2 * certain / measured) if measured > 0 else 0.0
        factor = np.float32(1 + amplitude * signal**2 * (best - 1))
        self.chi = factor * self.chi
        return factor

    def fill(self, outside: float, outliers: float) -> None:
        """Replace the field by that of the present map to the extent that voxels are uncertain (outside: wholly).

        The second time, the voxels' weights fall where the residual is large around them: the first map is not free of
        what outliers make.
        """
        self.filled = self.forward(outside)
        limit = np.float32(self._limit(outliers))
        if self.trust and not self.judged:
            known = 2 * self.weight >= 1
            residual = self.field - self.filled
            certainty = local_certainty(residual, known, float(limit), self.explained, self.grid)
            self.weight = np.minimum(self.weight, np.float32(0.5)) * np.sqrt(certainty)
            self.judged = True
        # What the map predicts where nothing is measured holds the map's error as well, and counts as far as maps
        # explain the field. Without that, error grows outside from round to round.
        self.filled *= np.float32(self.explained)
        kernels.mix(self.field, self.filled, self.weight, limit, self.certainty)

    def _limit(self, outliers: float) -> float:
        """Return the residual from which on the field is doubted: so many robust SDs of those in certain voxels."""
        if not outliers or not self._sample.size:
            return float(np.finfo(np.float32).max)
        residual = np.abs(self.field.ravel()[self._sample] - self.filled.ravel()[self._sample])
        return max(outliers * _SD_OF_MEDIAN * float(np.median(residual)), float(np.finfo(np.float32).tiny))

    def measure(self, spectrum: ComplexArray) -> Spectra:
        """Measure the spectra of error and signal in the field's transform."""
        spectra = estimate_spectra(spectrum, self.kernel, self.laplacian, self.grid, self.voxels)
        self.noise_sd = spectra.noise_sd
        return spectra

    def start(self) -> Spectra:
        """Measure the spectra and take the linear estimate."""
        spectrum = rfftn(self.filled)
        spectra = self.measure(spectrum)
        error = (spectra.flat.astype(np.float32), spectra.structured.astype(np.float32), np.float32(HALF_STRUCTURED))
        signal = spectra.signal.astype(np.float32)
        kernels.wiener(spectrum, self.kernel, *error, signal, self.axes, np.float32(spectra.width))
        self.chi = irfftn(spectrum, self.grid.shape)
        return spectra

    def refine(self, split: SplitGradient, params: BayesParams, advance: Any) -> Spectra:
        """Measure the spectra of the filled field anew and take ADMM iterations for both priors together."""
        fixed = rfftn(self.filled)
        spectra = self.measure(fixed)
        scale = spectra.gradient_sd / np.sqrt(2)
        # Power is that of the unnormalised transform: Parseval's factor turns it into a variance per voxel.
        variances = ((part / spectra.total).astype(np.float32) for part in (spectra.flat, spectra.structured))
        if not self.trust:
            self.trust = prior_trust(spectra.explained)
            self.explained = spectra.explained
        trust = self.trust**params.relief
        prior = (params.gaussian * trust**2 * spectra.total / np.maximum(spectra.signal, 1e-30)).astype(np.float32)
        penalty = np.float32(params.sparsity * trust**3 / scale**2)
        error, width = (*variances, np.float32(HALF_STRUCTURED)), np.float32(spectra.width)
        kernels.normal_equations(
            fixed, self.kernel, self.laplacian, self.axes, width, error, prior, penalty, self._gain
        )
        split.spare_edges(self.chi, params.edge * spectra.gradient_sd)
        for _ in range(params.iterations):
            spectrum = rfftn(split.step(self.chi, scale))
            blend(spectrum, fixed, self._gain)
            self.chi = irfftn(spectrum, self.grid.shape)
            advance()
        return spectra


def expected_field(
    local_field_ppm: FloatArray, mask: BoolArray, grid: Grid, weights: FloatArray, params: BayesParams
) -> FloatArray:
    """Field in ppm of the sources inside that a local field lets expect, in the mask's box; zero elsewhere.

    One round of :func:`bayes` with one ADMM iteration. Where ``weights`` is 0 inside the mask, the field is the map's
    alone, so that it is told where it could not be measured. Arguments as there.
    """
    problem = prepare(local_field_ppm, mask, grid, params.padding, weights)
    if not problem.field.any():
        return np.zeros(grid.shape, np.float32)
    inside = problem.crop.take(mask, bool)
    estimate = _Estimate(problem.grid, problem.field, problem.weight, inside)
    estimate.start()
    estimate.fill(1.0, params.outliers)
    estimate.refine(SplitGradient(problem.grid), replace(params, iterations=1), lambda: None)
    relative = estimate.chi - np.float32(estimate.chi.mean(where=inside, dtype=np.float64))
    spectrum = rfftn(np.where(inside, relative, np.float32(0)))
    spectrum *= estimate.kernel
    return problem.crop.put(irfftn(spectrum, problem.grid.shape) * np.float32(problem.scale), grid.shape)


def bayes(
    local_field_ppm: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: BayesParams = BayesParams(),
    weights: FloatArray | None = None,
    magnitude: FloatArray | None = None,
    progress: Progress | None = None,
    info: dict[str, Any] | None = None,
) -> FloatArray:
    """Susceptibility that is most probable under priors and errors whose spectra the data tell.

    1. The field's power inside the magic-angle cone is error, and outside it error and signal; this gives both
       spectra per shell of |k| (:mod:`bids_app.qsm.inversion.spectra`). The linear (Wiener) estimate starts.
    2. Outside the mask, and where ``weights`` (relative reliability, about 1) are below one half, the
       field is replaced, the more the less certain it is, by that of the present map; so it is where both are more than
       ``outliers`` robust SDs apart: no map explains that (dephasing, flow, wrong unwrapping). The spectra are measured
       again, now with little leakage through the mask's edge. From the second round on, the certainty of a voxel also
       falls with the residual around it (:func:`bids_app.qsm.inversion.field_error.local_certainty`): at the surface
       and beside sinuses the field has several times its typical error. The replacement counts by the share of the
       field that a map explains. The sources of a local field are in the mask, so that
       the map outside counts by ``outside`` only: 0 is best for a local field that is free of other errors. A
       background method that takes the local field at the surface for background (LBV without corrections) leaves
       the field of sources outside, and 1 is better.
    3. The map minimises sum |F - D X|^2 / N + ``gaussian`` sum |X|^2 / P, both halved, + ``sparsity`` / b
       ||grad chi||_1 with b the measured scale of the gradient, by ADMM in k-space; then again from step 2. N depends
       on |k| and on the angle to B0: its structured part is strongest in the cone.
       Differences that exceed ``edge`` times the gradient's SD in the present map are edges and not penalised, so
       that nuclei and veins keep their contrast. Both weights fall with the share of the field that a map explains
       (:attr:`bids_app.qsm.inversion.spectra.Spectra.explained`, measured in the first round), with its 2nd and 3rd
       power for ``relief`` 1: anisotropy, microstructure and remnants of the background are error in the cone, and
       full priors would take half of the nuclei's susceptibility in a field that is full of them. What the nuclei
       keep, the error keeps too: against COSMOS of simulated heads the map is nearer, against an isotropic truth up to
       a tenth farther. White noise does not count.
    4. The priors pull the map towards zero. The factor by which its field explains the measured one best (least
       squares over certain voxels) takes this back at the end: to the share ``amplitude``
       where the field is free of error, and the less the more error it has.
    5. Before that end, fine detail and what lies in the cone are improved by ``detail`` iterations of total
       generalised variation that start at the map (:mod:`bids_app.qsm.inversion.fine_detail`).

    Every weight follows the data's scale, resolution and error, coarse or fine, so that the parameters need no
    change from one data set to another. Parameters and result as in every inversion: float32 arrays of
    ``grid.shape``, field in ppm, chi in ppm, zero outside the mask. ``magnitude`` is not used. ``info`` receives the
    error's SD in ppm, the gradient's SD in ppm/mm and the iterations.

    Raises
    ------
    ValueError
        If the mask is empty or the shapes differ.

    References
    ----------
    The parts: cone as a measure of error, Milovic et al. 2021, 10.1002/mrm.28435; total variation by ADMM, Bilgic et
    al. 2014, 10.1002/mrm.25029; total generalised variation, Langkammer et al. 2015,
    10.1016/j.neuroimage.2015.02.041; empirical Bayes, Robbins 1956; Wiener 1949.
    """
    problem = prepare(local_field_ppm, mask, grid, params.padding, weights)
    if not problem.field.any():
        return problem.finish(problem.field)
    inside = problem.crop.take(mask, bool)
    estimate = _Estimate(problem.grid, problem.field, problem.weight, inside)
    split, total, done = SplitGradient(problem.grid), params.rounds * params.iterations, [0]
    report = counted(progress, info)

    def advance() -> None:
        done[0] += 1
        report(done[0], total)

    spectra = estimate.start()
    for _ in range(params.rounds):
        before = estimate.chi
        estimate.fill(params.outside, params.outliers)
        spectra = estimate.refine(split, params, advance)
        change, size = change_of(estimate.chi, before)
        if change <= params.tolerance**2 * size:
            break
    if params.detail:
        estimate.chi = with_fine_detail(
            estimate.chi,
            estimate.filled,
            inside,
            problem.grid,
            estimate.kernel,
            problem.weight,
            params.detail,
            estimate.noise_sd,
        )
    if params.amplitude:
        estimate.scale(estimate.forward(params.outside), params.amplitude)
    note(info, noise_ppm=spectra.noise_sd * problem.scale, gradient_ppm_per_mm=spectra.gradient_sd * problem.scale)
    return problem.finish(estimate.chi)


BAYES: Inversion[BayesParams] = Method(
    name="bayes",
    kind="inversion",
    label="Empirical Bayes",
    function=bayes,
    params=BayesParams,
    sentence=(
        "Susceptibility was estimated by an empirical Bayes inversion with Gaussian and total-"
        "variation priors, whose weights follow from the spectrum of the data, built on the "
        "methods of [bilgic2014] and [milovic2021]; the given share of the amplitude that the "
        "priors take was restored, and the fine detail improved by as many iterations of total "
        "generalised variation as given [langkammer2015]{parameters}."
    ),
    maturity="this software's own",
    uses=frozenset({"weights"}),
)
