"""How strongly to regularise, read from the data: error and signal spectra by way of the magic-angle cone.

Where the dipole kernel is (nearly) zero, the spectrum of a local field holds no susceptibility: what is there is
error, be it thermal noise, remnants of the background, field that no isotropic susceptibility explains, or leakage
through the mask's edge. Its power per shell of |k| is the error spectrum N. Where the kernel is large, the power is
that of the signal filtered by the kernel, plus the same error; the difference gives the signal spectrum P. With both
known, the expected error of a linear inversion can be written down for every regularisation weight, and the weight of
a total-variation term follows from the error variance and the mean gradient. The balance of power between cone and
rest was proposed for the choice of the weight by Milovic et al. 2021, 10.1002/mrm.28435; here it gives the spectra
themselves. All rules follow the scale of the field: chi of ``a * field`` is ``a * chi``.

White noise has the same power at all angles to B0. Structured error has not: in living brains, what a COSMOS map leaves
of the field of one orientation has most power in the cone and less the larger the kernel D is, about as
1 / (1 + (D / 0.2)^2). An error that is the same at all angles would overrate it threefold where the signal is strong.
So N(k, D) = flat(|k|) + structured(|k|) / (1 + (D / 0.2)^2); the flat part is read from the finest detail.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt
import scipy.fft

from bids_app.qsm.arrays import ComplexArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.kernels import jit

#: Kernel magnitude below which k-space counts as cone (error alone), above which as well conditioned.
CONE, WELL = 0.05, 0.2
#: Error power over the field's that is assumed at least.
FLOOR = 1e-4
#: Power relative to the largest that counts as none.
_NOTHING = 1e-12
#: Shells, as shares of the resolved ones, whose error estimates that of white noise.
_FINE = 0.7, 1.0
#: Mean square of the dipole kernel over all directions.
_MEAN_SQUARE = 4 / 45
#: A shell needs this many cone samples for an error estimate of its own.
_MIN_N = 16
#: Kernel magnitude at which structured error has half the power that it has in the cone. Measured on two heads with
#: COSMOS (0.05 to 0.4 cycles/mm): 0.8 of the cone's at |D| = 0.1, 0.6 at 0.17, 0.4 at 0.24, 0.35 above 0.3.
HALF_STRUCTURED = 0.2
#: Share of the power outside the cone that is above the cone's from which on structured error depends on the angle.
_ALL_ANGULAR = 0.5
Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Spectra:
    """Power per shell of |k| of a field of which ``voxels`` samples of ``total`` are inside the object.

    ``noise`` (in the cone) and ``signal`` are mean squared magnitudes of the unnormalised transform, in (field
    unit)^2. ``white`` is the power of white noise, ``angular`` the part of the other error that depends on the angle.
    """

    width: float
    noise: Vector
    signal: Vector
    counts: Vector
    gradient_counts: Vector
    total: int
    voxels: int
    resolved: int  # shells that every axis samples
    white: float = 0.0
    angular: float = 1.0

    @property
    def flat(self) -> Vector:
        """Part of the error's power that is the same at all angles to B0."""
        return self.noise - self.structured

    @property
    def structured(self) -> Vector:
        """Power in the cone of the error that falls with the dipole kernel's magnitude."""
        return self.angular * np.maximum(self.noise - self.white, 0)

    @property
    def noise_sd(self) -> float:
        """Standard deviation of the error inside the object, in the field's unit."""
        noise = self.flat + _MEAN_STRUCTURED * self.structured
        return float(np.sqrt(np.sum(noise * self.counts) / np.sum(self.counts) / self.voxels))

    @property
    def explained(self) -> float:
        """Share of the field's power that a map explains where the signal is, 1 for one with white noise alone.

        Noise of the receiver has a flat spectrum, field that no map explains (anisotropy, microstructure, remnants of
        the background) one like the signal's. So the error's flat part, read from the finest detail, is left out.
        """
        signal = _MEAN_SQUARE * self.signal
        total = signal + np.maximum(self.noise - self.white, 0)
        weight = self.counts * signal
        share = np.divide(signal, total, out=np.ones_like(signal), where=total > 0)
        return float(np.sum(weight * share) / np.sum(weight)) if np.any(weight > 0) else 1.0

    @property
    def gradient_sd(self) -> float:
        """Root mean square of one component of the susceptibility's gradient inside the object, per mm."""
        power = float(np.sum(self.signal * self.gradient_counts) / np.sum(self.counts))
        return float(np.sqrt(power / 3 / self.voxels))


def structured_share(kernel: Vector) -> Vector:
    """Power of structured error at some values of the dipole kernel, relative to that in the cone."""
    return np.asarray(1 / (1 + np.square(kernel / HALF_STRUCTURED)))


def _kernel_values(count: int = 400) -> Vector:
    """Return the dipole kernel 1/3 - u^2 for u = cos(angle to B0) even in [0, 1]: all directions weigh the same."""
    return np.asarray(1 / 3 - ((np.arange(count) + 0.5) / count) ** 2)


_MEAN_STRUCTURED = float(structured_share(_kernel_values()).mean())


def frequencies(grid: Grid) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Frequencies of the half grid along each axis, 1/mm."""
    (nx, ny, nz), (dx, dy, dz) = grid.shape, grid.voxel_size
    axes = (scipy.fft.fftfreq(nx, dx), scipy.fft.fftfreq(ny, dy), scipy.fft.rfftfreq(nz, dz))
    x, y, z = (a.astype(np.float32) for a in axes)
    return x, y, z


@jit
def _shell_sums(spectrum, kernel, laplacian, axes, width, last, half, sums):  # type: ignore[no-untyped-def]
    """Per shell: count and power in the cone; count, power and kernel^2 outside; count and Laplacian of all; kernel^2
    in the cone; share of structured error outside.

    A sample of the half grid stands for two, except in the first plane and, where there is a Nyquist one, the ``last``.
    """
    nx, ny, nz = spectrum.shape
    kx, ky, kz = axes
    for i in range(nx):
        for j in range(ny):
            plane = kx[i] ** 2 + ky[j] ** 2
            for k in range(nz):
                shell = int(np.sqrt(plane + kz[k] ** 2) / width)
                value, d = spectrum[i, j, k], abs(kernel[i, j, k])
                count = 1 if k == 0 or k == last else 2
                power = count * (value.real**2 + value.imag**2)
                sums[5, shell] += count
                sums[6, shell] += count * laplacian[i, j, k]
                if shell > 0 and d < CONE:
                    sums[0, shell] += count
                    sums[1, shell] += power
                    sums[7, shell] += count * d * d
                elif d > WELL:
                    sums[2, shell] += count
                    sums[3, shell] += power
                    sums[4, shell] += count * d * d
                    sums[8, shell] += count / (1 + (d / half) ** 2)


def estimate_spectra(
    spectrum: ComplexArray, kernel: FloatArray, laplacian: FloatArray, grid: Grid, voxels: int
) -> Spectra:
    """Error and signal spectra of a local field from its transform on the half grid.

    Parameters
    ----------
    spectrum : complex64, half grid of ``grid``
        Transform of the field, zero (or continued) outside the object.
    kernel, laplacian : float32, half grid
        Dipole kernel; eigenvalues of the Laplacian, 1/mm2.
    grid : Grid
        Working grid.
    voxels : int
        Voxels of the object.
    """
    axes = frequencies(grid)
    width = 1.5 / max(n * v for n, v in zip(grid.shape, grid.voxel_size, strict=True))
    highest = float(np.sqrt(sum(float(np.abs(a).max()) ** 2 for a in axes)))
    last = grid.shape[2] // 2 if grid.shape[2] % 2 == 0 else -1
    sums = np.zeros((9, int(highest / width) + 2))
    _shell_sums(spectrum, kernel, laplacian, axes, np.float32(width), last, HALF_STRUCTURED, sums)
    resolved = int(0.5 / max(grid.voxel_size) / width)
    noise, signal, white, angular = _separate(sums, resolved)
    total = int(np.prod(grid.shape))
    return Spectra(width, noise, signal, sums[5], sums[6], total, voxels, resolved, white, angular)


def _separate(sums: Vector, resolved: int) -> tuple[Vector, Vector, float, float]:
    """Noise (in the cone) and signal power per shell, power of white noise, and the angular part of the other noise.

    Both hold N + D^2 P with their own mean D^2, and the structured part of N with its share there. Shells with too few
    samples in the cone (the innermost) take the noise-to-power ratio of the next one that has enough.
    """
    index = np.arange(sums.shape[1])
    cone, well = sums[0] >= _MIN_N, sums[2] > 0
    power = np.interp(index, index[well], sums[3][well] / sums[2][well]) if well.any() else np.ones(index.size)
    squared = np.interp(index, index[well], sums[4][well] / sums[2][well]) if well.any() else np.ones(index.size)
    power = np.maximum(power, _NOTHING * max(float(power.max()), _NOTHING))
    if not cone.any():
        return 0.5 * power, 0.5 * power / squared, 0.0, 1.0
    counts = np.maximum(sums[0], 1)
    inside, remaining = sums[1] / counts, sums[7] / counts
    signal = np.maximum(power - inside, 0) / (squared - remaining)
    ratio = np.clip((inside - remaining * signal) / power, FLOOR, 1)
    noise = power * np.interp(index, index[cone], ratio[cone])
    finest = noise[int(_FINE[0] * resolved) : max(int(_FINE[1] * resolved), 1)]
    white = float(np.median(finest)) if finest.size else 0.0
    share = np.interp(index, index[well], sums[8][well] / sums[2][well]) if well.any() else 1.0
    # Where the rest has no more power than the cone, there is error alone, and that is the same at all angles.
    above = float(np.sum(sums[2] * np.maximum(power - noise, 0)) / np.sum(sums[2] * power)) if well.any() else 1.0
    angular = min(1.0, above / _ALL_ANGULAR)
    outside = noise - angular * (1 - share) * np.maximum(noise - white, 0)
    return noise, np.maximum(power - outside, 0.02 * power) / squared, white, angular


@jit(parallel=True)
def _spread(values, axes, width, out):  # type: ignore[no-untyped-def]
    nx, ny, nz = out.shape
    kx, ky, kz = axes
    for i in numba.prange(nx):
        for j in range(ny):
            plane = kx[i] ** 2 + ky[j] ** 2
            for k in range(nz):
                out[i, j, k] = values[int(np.sqrt(plane + kz[k] ** 2) / width)]


def spread(values: Vector, spectra: Spectra, grid: Grid) -> FloatArray:
    """Values per shell on the half grid."""
    out = np.empty((grid.shape[0], grid.shape[1], grid.shape[2] // 2 + 1), np.float32)
    _spread(values.astype(np.float32), frequencies(grid), np.float32(spectra.width), out)
    return out


def least_risk(response: Callable[[float, Vector, Vector], Vector], candidates: Vector, spectra: Spectra) -> float:
    """Candidate whose linear inversion ``chi(k) = response * field(k)`` has the smallest expected squared error.

    The expectation over signal and error is the sum over k of (1 - response D)^2 P + response^2 N; per shell, the
    kernel D = 1/3 - u^2 takes its values for u = cos(angle to B0) even in [0, 1]. ``response`` is called with the
    candidate, D as a row and the shells' mean Laplacian as a column.
    """
    kernel = _kernel_values()
    noise = spectra.flat[:, None] + spectra.structured[:, None] * structured_share(kernel)[None]
    counts = np.maximum(spectra.counts, 1)
    laplacian = (spectra.gradient_counts / counts)[:, None]
    risks = []
    for candidate in candidates:
        inverse = response(float(candidate), kernel[None], laplacian)
        expected = (1 - inverse * kernel) ** 2 * spectra.signal[:, None] + inverse**2 * noise
        risks.append(float(np.sum(spectra.counts * expected.mean(axis=1))))
    return float(candidates[int(np.argmin(risks))])


#: Total-variation weight over (error variance / mean gradient); measured on simulated heads and two living ones with
#: COSMOS: 0.05, 0.03 and 0.02 keep 75, 82 and 86 % of the mean of strong sources there.
TV_FACTOR = 0.035


def tv_weight(spectra: Spectra) -> float:
    """Weight of total variation against half the squared residual, in (field unit) mm.

    A Laplacian prior on the gradient's components, of the measured size b, and errors of variance s^2 give s^2 / b;
    both come from the spectra. The data term that knows one variance only overrates the error of the fine detail,
    most error being coarse, so that the weight that is best by measurement is ``TV_FACTOR`` of that.
    """
    gradient = spectra.gradient_sd / np.sqrt(2)
    return TV_FACTOR * spectra.noise_sd**2 / gradient if gradient > 0 else 1.0
