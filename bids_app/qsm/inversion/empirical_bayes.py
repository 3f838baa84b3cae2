"""The steps of the empirical-Bayes inversion, and the field that it lets expect at the boundary.

What :func:`bids_app.qsm.inversion.bayes.bayes` and :func:`bids_app.qsm.background.lbv.lbv` share.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from bids_app.qsm.arrays import BoolArray, ComplexArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.field_error import local_certainty, prior_trust
from bids_app.qsm.inversion.problem import prepare
from bids_app.qsm.inversion.spectra import HALF_STRUCTURED, Spectra, estimate_spectra, frequencies
from bids_app.qsm.kernels import bayes as kernels
from bids_app.qsm.operators.dipole import DipoleConvolution
from bids_app.qsm.operators.fft import irfftn, rfftn
from bids_app.qsm.operators.gradient import laplacian_spectrum
from bids_app.qsm.params import Params, param
from bids_app.qsm.solvers.split_gradient import SplitGradient

#: SD of normally distributed values over the median of their magnitudes, and how many voxels estimate it.
_SD_OF_MEDIAN, _MEDIAN_OF = 1.4826, 200_000
#: Share of the residual's power that voxels beyond the limit of outliers hold, from which on the linear estimate is
#: made again without them, and how often at most. Living brains have 0.03, strong sources 0.01, gross errors 0.2 and
#: more.
_GROSS, _RESTARTS = 0.15, 3


@dataclass(frozen=True)
class BayesParams(Params):
    """Parameters of the empirical-Bayes inversion: shares of the measured spectra, not weights of one data set."""

    gaussian: float = param(0.5, low=0.0, high=10.0, doc="Weight of the Gaussian prior; 1 is the measured spectrum's")
    sparsity: float = param(0.1, low=0.0, high=10.0, doc="Weight of the gradient's Laplacian prior; 1 as measured")
    edge: float = param(1.0, low=0.0, high=100.0, doc="Differences beyond this many gradient SDs are not penalised")
    outer_iterations: int = param(
        4, low=1, high=50, doc="Maximum number of times that spectra and missing data are estimated; see text"
    )
    iterations: int = param(3, low=1, high=200, doc="ADMM iterations in each outer iteration")
    tolerance: float = param(2e-2, low=0.0, high=1.0, doc="Relative change between outer iterations that ends them")
    outside: float = param(0.5, low=0.0, high=1.0, doc="Share of the map outside the mask that makes field; see text")
    amplitude: float = param(0.9, low=0.0, high=1.0, doc="Share of the shrinkage by the priors that is restored")
    relief: float = param(
        0.5, low=0.0, high=4.0, doc="How much weaker the priors are where no map explains the field; see text, 0: not"
    )
    outliers: float = param(
        10.0, low=0.0, high=100.0, doc="Residuals beyond this many SDs are taken for errors of the field; 0: none are"
    )
    detail: int = param(50, low=0, high=10000, doc="Iterations of TGV that improve the fine detail; see text, 0: none")
    padding: float = param(20.0, low=0.0, high=200.0, unit="mm", doc="Empty space around the object")


class Estimate:
    """The map of the running inversion, its spectra, and the steps that refine it.

    Parameters
    ----------
    grid : Grid
        Working grid.
    field, weight : float32, ``grid.shape``
        Local field in units of its standard deviation, and its weights; 0 outside the object.
    inside : bool, ``grid.shape``
        Object.
    """

    def __init__(self, grid: Grid, field: FloatArray, weight: FloatArray, inside: BoolArray) -> None:
        self.grid, self.field = grid, field
        self.weight = weight
        self.certainty = np.minimum(2 * weight, 1) ** 2
        self.inside = inside
        self.voxels = int(np.count_nonzero(weight))
        self.dipole, self.laplacian = DipoleConvolution(grid), laplacian_spectrum(grid)
        self.kernel = self.dipole.kernel
        self.axes = frequencies(grid)
        self.filled = field
        self.chi = np.zeros_like(field)
        self.noise_sd = 0.0
        self.trust = 0.0  # in the priors; not known yet
        self.judged = False  # the weights by the residual
        self.explained = 1.0  # share of the field, by the first iteration
        self._expected: FloatArray | None = None  # field of the map, if it is known
        certain = np.flatnonzero(2 * weight >= 1)
        self._sample = certain[:: max(1, certain.size // _MEDIAN_OF)]  # enough for a median

    def forward(self, outside: float) -> FloatArray:
        """Return the field of the present map, which counts less outside the mask.

        Its arbitrary level (k = 0 is unknown) is subtracted first, so that the mask's edge is no step.
        """
        if outside < 1:
            relative = self.chi - np.float32(self.chi.mean(where=self.inside, dtype=np.float64))
            np.multiply(relative, np.float32(outside), out=relative, where=~self.inside)
            return self.dipole.field(relative)
        return self.dipole.field(self.chi)

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

    def fill(self, outside: float, outliers: float) -> float:
        """Replace the field by that of the present map to the extent that voxels are uncertain (outside: wholly).

        The second time, the voxels' weights fall where the residual is large around them: the first map is not free of
        what outliers make. Returns the misfit of the map, by the certainty that the voxels now have.
        """
        self.filled = self.forward(outside) if self._expected is None else self._expected
        self._expected = None
        limit = np.float32(self._limit(outliers))
        if not self.trust:
            limit = self._start_without_gross_errors(outside, outliers, limit)
        if self.trust and not self.judged:
            known = 2 * self.weight >= 1
            residual = self.field - self.filled
            certainty = local_certainty(residual, known, float(limit), self.explained, self.grid)
            self.weight = np.minimum(self.weight, np.float32(0.5)) * np.sqrt(certainty)
            self.judged = True
        # What the map predicts where nothing is measured holds the map's error as well, and counts as far as maps
        # explain the field. Without that, error grows outside from iteration to iteration.
        share = np.float32(self.explained)
        return float(kernels.mix(self.field, self.filled, share, self.weight, limit, self.certainty))

    def misfit(self, outside: float) -> float:
        """Return the sum over voxels of certainty times the squared residual of the present map."""
        self._expected = self.forward(outside)
        both, alone, measured, _ = kernels.products(self._expected, self.field, self.certainty)
        return float(measured - 2 * both + alone)

    def undo(self, chi: FloatArray) -> None:
        """Go back to a map of the iteration before."""
        self.chi, self._expected = chi, None

    def _limit(self, outliers: float) -> float:
        """Return the residual from which on the field is doubted: so many robust SDs of those in certain voxels."""
        if not outliers or not self._sample.size:
            return float(np.finfo(np.float32).max)
        residual = np.abs(self.field.ravel()[self._sample] - self.filled.ravel()[self._sample])
        return max(outliers * _SD_OF_MEDIAN * float(np.median(residual)), float(np.finfo(np.float32).tiny))

    def _start_without_gross_errors(self, outside: float, outliers: float, limit: np.float32) -> np.float32:
        """Make the linear estimate again while outliers dominate what it leaves; return the limit that then holds.

        The estimate fits gross errors in part, and what it makes of them hides them from later rounds.
        """
        for _ in range(_RESTARTS):
            square = np.square(self.field.ravel()[self._sample] - self.filled.ravel()[self._sample])
            beyond = float(square.sum(where=square > np.square(np.float64(limit)), dtype=np.float64))
            if beyond <= _GROSS * float(square.sum(dtype=np.float64)):
                break
            kernels.mix(self.field, self.filled, np.float32(1), self.weight, limit, self.certainty)
            self.start()
            self.filled = self.forward(outside)
            limit = np.float32(self._limit(outliers))
        return limit

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

    def refine(self, split: SplitGradient, params: BayesParams, advance: Callable[[], None]) -> Spectra:
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
        gain = np.empty_like(self.kernel)
        error, width = (*variances, np.float32(HALF_STRUCTURED)), np.float32(spectra.width)
        kernels.normal_equations(fixed, self.kernel, self.laplacian, self.axes, width, error, prior, penalty, gain)
        split.spare_edges(self.chi, params.edge * spectra.gradient_sd)
        for _ in range(params.iterations):
            self.chi = split.iterate(self.chi, scale, fixed, gain)
            advance()
        return spectra


def expected_field(
    local_field_ppm: FloatArray, mask: BoolArray, grid: Grid, weights: FloatArray, params: BayesParams
) -> FloatArray:
    """Estimate the field of the sources inside from a local field that is not known everywhere.

    One iteration of :func:`bids_app.qsm.inversion.bayes.bayes` gives a map, and the map the field.

    Parameters
    ----------
    local_field_ppm : float32, ``grid.shape``
        Local field in ppm.
    mask : bool, ``grid.shape``
        Object.
    grid : Grid
        Sampling.
    weights : float32, ``grid.shape``
        Relative reliability. Where it is 0 inside the mask, the field is the map's alone, so that it is also estimated
        where it could not be measured.
    params : BayesParams
        Parameters of the map.

    Returns
    -------
    float32, ``grid.shape``
        Field in ppm in the mask's box; zero elsewhere.
    """
    problem = prepare(local_field_ppm, mask, grid, params.padding, weights)
    if not problem.field.any():
        return np.zeros(grid.shape, np.float32)
    inside = problem.crop.take(mask, np.bool_)
    estimate = Estimate(problem.grid, problem.field, problem.weight, inside)
    estimate.start()
    estimate.fill(1.0, params.outliers)
    estimate.refine(SplitGradient(problem.grid), replace(params, iterations=1), lambda: None)
    relative = estimate.chi - np.float32(estimate.chi.mean(where=inside, dtype=np.float64))
    field = estimate.dipole.field(np.where(inside, relative, np.float32(0)))
    return problem.crop.put(field * np.float32(problem.scale), grid.shape)
