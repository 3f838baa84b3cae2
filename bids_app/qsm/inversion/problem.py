"""What every weighted inversion does first: crop, clean and scale the data, choose the weight if none is given."""

from dataclasses import dataclass

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid, checked_mask
from bids_app.qsm.inversion.spectra import Spectra, estimate_spectra, tv_weight
from bids_app.qsm.operators.crop import Crop
from bids_app.qsm.operators.dipole import DipoleConvolution, dipole_kernel
from bids_app.qsm.operators.fft import rfftn
from bids_app.qsm.operators.gradient import laplacian_spectrum
from bids_app.qsm.signatures import Info, Progress

#: Weights above this many times the typical reliability add nothing but numerical errors.
LARGEST_WEIGHT = 3.0


@dataclass(frozen=True)
class Prepared:
    """A field on its working grid in units of its own standard deviation ``scale`` (ppm), with weights."""

    crop: Crop
    mask: BoolArray
    field: FloatArray
    weight: FloatArray
    scale: float

    @property
    def grid(self) -> Grid:
        """The working grid."""
        return self.crop.grid

    def finish(self, chi: FloatArray) -> FloatArray:
        """Susceptibility in ppm on the whole grid, zero outside the mask."""
        full = np.zeros(self.mask.shape, np.float32)
        box = self.crop.box
        np.multiply(chi[self.crop.inner], np.float32(self.scale), out=full[box], where=self.mask[box])
        return full


def prepare(
    local_field_ppm: FloatArray, mask: BoolArray, grid: Grid, padding_mm: float, weights: FloatArray | None = None
) -> Prepared:
    """Crop the field to its mask and scale it; voxels without a finite value get no weight.

    Raises
    ------
    ValueError
        If the mask is empty or the shapes differ.
    """
    mask = checked_mask(mask, grid, field=local_field_ppm, weights=weights)
    crop = Crop.around(mask, grid, padding_mm)
    finite = mask & np.isfinite(local_field_ppm)
    field = crop.take_clean(local_field_ppm, finite)
    weight = crop.take(finite)
    if weights is not None:
        weight *= np.clip(crop.take_clean(weights, finite), 0, LARGEST_WEIGHT)
    field[weight == 0] = 0
    inside = field[weight > 0]
    scale = float(np.std(inside, dtype=np.float64)) if inside.size else 0.0
    scale = scale if scale > 0 else 1.0
    field *= np.float32(1 / scale)
    return Prepared(crop, mask, field, weight, scale)


def spectra_of(problem: Prepared) -> Spectra:
    """Error and signal spectra of the prepared (scaled) field."""
    kernel, laplacian = dipole_kernel(problem.grid), laplacian_spectrum(problem.grid)
    voxels = int(np.count_nonzero(problem.weight))
    return estimate_spectra(rfftn(problem.field), kernel, laplacian, problem.grid, max(voxels, 1))


def total_variation_weight(problem: Prepared, chosen: float, info: Info | None) -> float:
    """Weight of total variation in the scaled problem: ``chosen`` (ppm mm), or by the data where that is 0."""
    if chosen > 0:
        weight = chosen / problem.scale
    else:
        spectra = spectra_of(problem)
        weight = tv_weight(spectra)
        note(info, noise_ppm=spectra.noise_sd * problem.scale)
    note(info, regularisation=weight * problem.scale)
    return weight


def residual_of(problem: Prepared, chi: FloatArray) -> FloatArray:
    """Field of ``chi`` less the measured one where the weight is positive, 0 elsewhere (scaled units)."""
    residual = DipoleConvolution(problem.grid).field(chi)
    residual -= problem.field
    residual *= problem.weight > 0
    return residual


def downweight_outliers(weight: FloatArray, residual: FloatArray, limit: float, min_sd: float = 0.0) -> FloatArray:
    """Weights divided by (|residual| / limit)^2 where the weighted residual exceeds ``limit`` robust SDs.

    ``min_sd`` is the least SD that is assumed: an L1 data term fits most voxels nearly exactly, so that the residuals'
    own spread is far below the field's error, and strong sources would count as outliers.
    """
    weighted = np.abs(weight * residual)
    inside = weighted[weight > 0]
    deviation = max(1.4826 * float(np.median(inside)), min_sd) if inside.size else 0.0
    if deviation <= 0:
        return weight
    return weight / np.maximum(weighted * np.float32(1 / (limit * deviation)), 1) ** 2


def note(info: Info | None, **facts: float | int | str) -> None:
    """Add facts about the solution (weights that were chosen, iterations) to ``info`` if the caller wants them."""
    if info is not None:
        info.update({name: v if isinstance(v, str | int) else float(v) for name, v in facts.items()})


def counted(progress: Progress | None, info: Info | None) -> Progress:
    """Return a progress callback that also notes the iterations done."""

    def count(done: int, total: int) -> None:
        note(info, iterations=done)
        if progress is not None:
            progress(done, total)

    return count
