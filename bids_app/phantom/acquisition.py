"""How the scanner sees the head: slab, echoes, receive phase, readout, noise."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy import ndimage

from bids_app.phantom.forward import MARGIN_MM, far_factors
from bids_app.phantom.shapes import rotation_matrix
from bids_app.qsm.arrays import ComplexArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.units import ppm_per_hz

#: Peaks of fat: ppm from water, share of the signal.
FAT_PEAKS = ((-3.80, 0.087), (-3.40, 0.694), (-2.60, 0.128), (-1.94, 0.004), (-0.39, 0.039), (0.60, 0.048))
#: Signal 1 in stored magnitude units.
MAGNITUDE_SCALE = 2500
#: Flip angle of the gradient echoes, degrees.
FLIP_ANGLE = 15
#: Slabs by name, as the directions that the voxel axes point to.
ORIENTATIONS = {"axial": "LAS", "sagittal": "PSR", "coronal": "LSP"}
_DIRECTIONS = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
#: Half axes (mm) and centre of the ellipsoid that a slab must hold, in head mm.
_HEAD_HALF, _HEAD_CENTRE = np.array([94.0, 118.0, 93.0]), np.array([0.0, -12.0, 9.0])


@dataclass(frozen=True)
class Acquisition:
    """Parameters of the gradient-echo scan (times in s, lengths in mm, angles in degrees, field in T).

    ``coil_shading`` is by how much an array of surface coils receives more at the skin than in the middle, relative to
    the middle; ``bandwidth`` is that of the readout in Hz per voxel, which displaces fat.
    """

    voxel_size: tuple[float, float, float] = (2.0, 2.0, 2.0)
    matrix: tuple[int, int, int] | None = None
    orientation: str = "axial"
    oblique: tuple[float, float, float] = (0.0, 0.0, 0.0)
    echo_times: tuple[float, ...] = (0.004, 0.012, 0.020, 0.028)
    field_strength: float = 3.0
    snr: float = 60.0
    phase_offset: float = 4.0
    bipolar: bool = False
    oversampling: int = 2
    coil_shading: float = 0.0
    bandwidth: float = 400.0

    @property
    def repetition_time(self) -> float:
        """Time between excitations, s."""
        return round(max(self.echo_times) + 0.010, 6)


def axis_codes(orientation: str) -> str:
    """Return three letters such as LAS for a named slab or for the letters themselves.

    Raises
    ------
    ValueError
        If the name is unknown, or the letters do not name three different axes.
    """
    codes = ORIENTATIONS.get(orientation.lower(), orientation.upper())
    if len(codes) != 3 or {_DIRECTIONS.get(c, (9, 0))[0] for c in codes} != {0, 1, 2}:
        raise ValueError(
            f"orientation {orientation!r} is none of {', '.join(ORIENTATIONS)} and no three letters like RAS"
        )
    return codes


def slab(
    orientation: str,
    oblique: Sequence[float],
    voxel_size: Sequence[float],
    pose: npt.NDArray[np.float64],
    matrix: Sequence[int] | None = None,
) -> tuple[tuple[int, int, int], npt.NDArray[np.float64]]:
    """Return shape and affine (voxel to scanner mm) of a slab that holds the head as it lies (``pose``)."""
    axes = np.zeros((3, 3))
    for column, code in enumerate(axis_codes(orientation)):
        axis, sign = _DIRECTIONS[code]
        axes[axis, column] = sign
    axes = rotation_matrix(oblique) @ axes
    in_head = pose[:3, :3].T @ axes
    half = np.sqrt(np.sum((in_head * _HEAD_HALF[:, None]) ** 2, axis=0))
    size = np.asarray(voxel_size, float)
    shape = np.asarray(matrix) if matrix is not None else np.ceil(2 * half / size).astype(int)
    affine = np.eye(4)
    affine[:3, :3] = axes * size
    centre = pose[:3, :3] @ _HEAD_CENTRE + pose[:3, 3]
    affine[:3, 3] = centre - affine[:3, :3] @ ((shape - 1) / 2)
    return (int(shape[0]), int(shape[1]), int(shape[2])), affine


def fine_grid(
    shape: Sequence[int], affine: npt.NDArray[np.float64], factor: int
) -> tuple[Grid, npt.NDArray[np.float64], tuple[int, int, int]]:
    """Return the fine grid around the data, its affine, and how many data voxels lie before the data on each axis."""
    voxel = np.linalg.norm(affine[:3, :3], axis=0)
    fine_mm = voxel / factor
    far = far_factors(fine_mm)
    before = np.ceil(MARGIN_MM / voxel).astype(int)
    full = []
    for n, m, f in zip(shape, before, far, strict=True):
        block = math.lcm(factor, f)
        rough = block  # what is left of it after its primes that FFTs like: an oversampling of 7 brings one that stays
        for prime in (2, 3, 5):
            while rough % prime == 0:
                rough //= prime
        count = math.ceil(int(n + 2 * m) * factor / block)
        while scipy.fft.next_fast_len(count * block // rough, real=True) != count * block // rough:
            count += 1
        full.append(count * block)
    fine_affine = affine.copy()
    fine_affine[:3, :3] /= factor
    first = -before - 0.5 + 0.5 / factor
    fine_affine[:3, 3] = affine[:3, :3] @ first + affine[:3, 3]
    grid = Grid.from_affine(tuple(full), fine_affine)
    return grid, fine_affine, (int(before[0]), int(before[1]), int(before[2]))


def receive(signal: ComplexArray, scan: Acquisition, random: np.random.Generator, level: float) -> ComplexArray:
    """Give the signal, (echoes, nx, ny, nz), in place, its receive sensitivity, phase offset, readout phase and noise.

    ``level`` is the mean signal of the brain at the first echo, which ``scan.snr`` refers to: the standard deviation
    of the noise is ``level / snr`` in the real and in the imaginary part.
    """
    x, y, z = np.meshgrid(
        *[np.linspace(-1, 1, n, dtype=np.float32) for n in signal.shape[1:]], indexing="ij", sparse=True
    )
    sensitivity, offset = receive_field((x, y, z), scan.phase_offset, random)
    if scan.coil_shading:
        sensitivity = sensitivity * _array_sensitivity((x, y, z), np.float32(scan.coil_shading))
    coil = sensitivity * np.exp(np.complex64(1j) * offset)
    slope, constant = random.uniform(1.0, 2.0) * random.choice([-1, 1]), random.uniform(-1, 1)
    sigma = np.float32(level / scan.snr)
    for e in range(len(signal)):
        signal[e] *= coil
        if scan.bipolar and e % 2:
            # Odd and even readouts run in opposite directions along the second axis.
            signal[e] *= np.exp(1j * (slope * y + constant)).astype(np.complex64)
        for part in (signal[e].real, signal[e].imag):
            part += sigma * random.standard_normal(part.shape, np.float32)
    return signal


def _array_sensitivity(coordinates: Sequence[FloatArray], shading: np.float32) -> FloatArray:
    """Return the combined sensitivity of surface coils around the head: 1 in the middle, less far below it."""
    x, y, z = coordinates
    distance = (x * x + y * y + np.float32(0.5) * z * z).astype(np.float32)
    # The array ends at the neck: what lies below it is received weakly.
    below = 1 / (1 + np.exp(-(z + np.float32(0.9)) / np.float32(0.12)))
    return np.asarray((1 + shading * distance) * (1 - np.float32(0.5) * (1 - below)), np.float32)


def add_fat(
    signal: ComplexArray, fat: ComplexArray, echo_times: Sequence[float], field_strength: float, shift_voxels: float
) -> None:
    """Add the signal of fat, computed as if it were water, to ``signal`` in place: its peaks and its displacement.

    Parameters
    ----------
    signal, fat : complex64, ``[echo, x, y, z]``
    echo_times : sequence of float
        In s.
    field_strength : float
        In T.
    shift_voxels : float
        Displacement along the second axis, which the readout runs along.

    References
    ----------
    Hamilton et al. 2011, 10.1002/nbm.1622 (the peaks of fat).
    """
    hertz = np.array([peak for peak, _ in FAT_PEAKS]) / ppm_per_hz(field_strength)
    shares = np.array([share for _, share in FAT_PEAKS])
    for time, whole, part in zip(echo_times, signal, fat, strict=True):
        phase = np.complex64(np.sum(shares * np.exp(2j * np.pi * hertz * time)))
        moved = [ndimage.shift(p, (0, shift_voxels, 0), order=1, prefilter=False) for p in (part.real, part.imag)]
        whole += phase * (moved[0] + np.complex64(1j) * moved[1])


def receive_field(
    coordinates: Sequence[FloatArray], amplitude: float, random: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return sensitivity (around 1) and phase offset (rad): polynomials of third order, the phase beyond 2 pi."""
    x, y, z = coordinates
    terms = (x, y, z, x * y, y * z, x * z, x * x, y * y, z * z, x**3, y**3, z**3)
    powers = np.array([1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3])
    weights = random.normal(0, 1, (2, len(terms))) / powers
    sensitivity = 1 + 0.12 * sum(np.float32(w) * t for w, t in zip(weights[0], terms, strict=True))
    phase = sum(np.float32(w) * t for w, t in zip(weights[1], terms, strict=True))
    constant = random.uniform(-np.pi, np.pi)
    return (
        np.asarray(np.clip(sensitivity, 0.4, 2.0), np.float32),
        np.asarray(np.float32(amplitude * 0.5) * phase + np.float32(constant * bool(amplitude)), np.float32),
    )
