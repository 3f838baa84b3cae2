"""One session of one person: the truth and the complex signal."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bids_app.phantom import forward, sampling, subjects
from bids_app.phantom.acquisition import FAT_PEAKS, Acquisition, add_fat, axis_codes, fine_grid, receive, slab
from bids_app.phantom.fibres import Fibres
from bids_app.phantom.sources import SourceModel, SourceTruth, moved, spin_echoes
from bids_app.phantom.template import Head, Stack
from bids_app.phantom.white_matter import WhiteMatter, fibres_on_grid, field_of_fibres
from bids_app.qsm.arrays import BoolArray, ComplexArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.units import ppm_per_hz

#: chi of air relative to water, ppm.
AIR_PPM = 9.4
#: Fine voxels that are sampled at once (28 bytes each).
_SLAB_VOXELS = 4_000_000


@dataclass(frozen=True)
class Body:
    """A person as he or she lies in the scanner."""

    head: Head
    tissue: FloatArray
    to_template: npt.NDArray[np.float64]
    displacement: Stack
    pose: npt.NDArray[np.float64]
    anisotropy: float = 0.0
    white_matter: WhiteMatter | None = None
    fibres: Stack | None = None  # of white_matter

    @property
    def has_fat(self) -> bool:
        """Whether a tissue has fat, whose signal has frequencies of its own."""
        return bool(self.tissue[:, sampling.FAT_SHARE].any())

    def sample(self, affine: npt.NDArray[np.float64], shape: tuple[int, int, int], width: float) -> FloatArray:
        """Return the properties (nx, ny, nz, 12) on a grid with this affine (voxel to scanner mm)."""
        warp = self._warp(affine)
        fibres = Fibres(np.ascontiguousarray(self.pose[2, :3]), self.anisotropy)
        return sampling.sample(self.head, self.tissue, warp, shape, width, fibres)

    def fibres_on(self, affine: npt.NDArray[np.float64], shape: tuple[int, int, int]) -> FloatArray | None:
        """Return unit vectors ``[3, x, y, z]`` along the fibres in voxel axes; None for isotropic white matter."""
        if self.fibres is None:
            return None
        axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
        return fibres_on_grid(self.fibres, self._warp(affine), axes.T @ self.pose[:3, :3], shape)

    def _warp(self, affine: npt.NDArray[np.float64]) -> sampling.Warp:
        to_head = (np.linalg.inv(self.pose) @ affine)[:3]
        return sampling.Warp(np.ascontiguousarray(to_head), self.to_template, self.displacement)


@dataclass(frozen=True)
class Truth:
    """What the scan should find, on the data's grid."""

    chi: FloatArray  # ppm, water is 0, zero outside the brain
    total_field: FloatArray  # ppm, whole head and air, after the shim
    local_field: FloatArray  # ppm, of the brain alone
    r2star: FloatArray  # 1/s
    density: FloatArray
    mask: BoolArray
    nuclei: npt.NDArray[np.uint8]
    tissue: npt.NDArray[np.uint8]
    sources: SourceTruth | None = None


@dataclass(frozen=True)
class Scan:
    """Signal (echoes, nx, ny, nz), its affine and the truth."""

    signal: ComplexArray
    affine: npt.NDArray[np.float64]
    truth: Truth


def make_body(
    person: subjects.Person, head: Head, tissue: FloatArray, *, age: float, session: int, tilt: tuple[float, ...]
) -> Body:
    """Return a person whose head is shaped already (:func:`subjects.shape_head`) in a session."""
    return Body(head, tissue, *subjects.head_to_template(person, age), subjects.pose(person, session, tilt))


def simulate(body: Body, scan: Acquisition, random: np.random.Generator, model: SourceModel | None = None) -> Scan:
    """Return the scan of a body; the same generator state gives the same bytes.

    With a ``model`` R2* is that of paramagnetic and diamagnetic sources, and the truth holds them.
    """
    shape, affine = slab(scan.orientation, scan.oblique, scan.voxel_size, body.pose, scan.matrix)
    fine, fine_affine, before = fine_grid(shape, affine, scan.oversampling)
    mask, nuclei, tissue = _labels(body, affine, shape)
    factor = scan.oversampling
    box = tuple(slice(b * factor, (b + n) * factor) for b, n in zip(before, shape, strict=True))

    chi = _susceptibility(body, fine, fine_affine)
    field = np.ascontiguousarray(forward.free_field(chi, fine, *_far_chi(body, fine, fine_affine))[box])
    of_fibres = _field_of_fibres(body, fine, fine_affine, box)
    field += of_fibres
    _take_shim(field, factor, mask, affine)

    signal = np.empty((len(scan.echo_times), *shape), np.complex64)
    signal_of_fat = np.zeros_like(signal) if body.has_fat else signal[:0]
    r2star, density = (np.empty(shape, np.float32) for _ in range(2))
    sources = SourceTruth.empty(shape) if model is not None else None
    true_chi = forward.block_mean(chi[box], (factor,) * 3) + np.float32(AIR_PPM)
    chi[:] = 0
    timing = scan.echo_times, scan.field_strength, factor
    for rows, properties in slabs(body, fine, fine_affine, box[0].start, box[0].stop):
        first = (rows.start - box[0].start) // factor
        here = slice(first, first + (rows.stop - rows.start) // factor)
        chi[rows] = properties[..., sampling.CHI] * (properties[..., sampling.BRAIN] >= 0.5)
        part = properties[:, box[1], box[2]]
        local = field[rows.start - box[0].start : rows.stop - box[0].start]
        m0, rate = (np.ascontiguousarray(part[..., c]) for c in (sampling.M0, sampling.R2STAR))
        if model is not None and sources is not None:
            rate = sources.fill(here, part, model, scan.field_strength, factor)
        fat = np.ascontiguousarray(part[..., sampling.FAT_SHARE] * m0)
        signal[:, here] = forward.gradient_echo(m0 - fat, rate, local, *timing)
        if fat.any():
            signal_of_fat[:, here] = forward.gradient_echo(fat, rate, local, *timing)
        density[here], r2star[here] = (forward.block_mean(m, (factor,) * 3) for m in (m0, rate))
    if body.has_fat:
        add_fat(signal, signal_of_fat, scan.echo_times, scan.field_strength, _fat_shift(scan))
        del signal_of_fat
    total = forward.block_mean(field, (factor,) * 3)
    del field
    truth = Truth(
        chi=true_chi * mask,
        total_field=total,
        local_field=forward.block_mean(_field_of_brain(chi, fine)[box] + of_fibres, (factor,) * 3),
        r2star=r2star * mask,
        density=density,
        mask=mask,
        nuclei=nuclei,
        tissue=tissue,
        sources=sources.within(mask) if sources is not None else None,
    )
    return Scan(receive(signal, scan, random, float(np.abs(signal[0])[mask].mean())), affine, truth)


def _susceptibility(body: Body, fine: Grid, affine: npt.NDArray[np.float64]) -> FloatArray:
    """Return the susceptibility of the fine grid in ppm relative to air."""
    chi = np.empty(fine.shape, np.float32)
    for rows, properties in slabs(body, fine, affine, 0, fine.shape[0]):
        chi[rows] = properties[..., sampling.CHI] - np.float32(AIR_PPM)
    return chi


def _field_of_fibres(
    body: Body, fine: Grid, affine: npt.NDArray[np.float64], box: tuple[slice, ...]
) -> FloatArray | np.float32:
    """Return what the fibres of white matter add to the field in the box, ppm; 0 for isotropic white matter."""
    vectors = body.fibres_on(affine, fine.shape)
    if vectors is None or body.white_matter is None:
        return np.float32(0)
    white = np.empty(fine.shape, np.float32)
    for rows, properties in slabs(body, fine, affine, 0, fine.shape[0]):
        white[rows] = properties[..., sampling.MYELINATED] * (properties[..., sampling.BRAIN] >= 0.5)
    return np.ascontiguousarray(field_of_fibres(vectors, white, fine, body.white_matter)[box])


def _field_of_brain(chi: FloatArray, fine: Grid) -> FloatArray:
    """Return the field (ppm) of the brain's susceptibility alone; the brain lies inside the box."""
    alone = forward.FarGrid.around(fine, [(0, 0)] * 3)
    return forward.free_field(chi, fine, alone, np.zeros(alone.grid.shape, np.float32))


def _fat_shift(scan: Acquisition) -> float:
    """Return how many voxels the main peak of fat is displaced along the readout."""
    main_peak = max(FAT_PEAKS, key=lambda peak: peak[1])[0]
    return main_peak / ppm_per_hz(scan.field_strength) / scan.bandwidth


def _labels(
    body: Body, affine: npt.NDArray[np.float64], shape: tuple[int, int, int]
) -> tuple[BoolArray, npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return the brain mask and the labels of nuclei and tissues on the data's grid."""
    mask, nuclei, tissue = np.empty(shape, bool), np.empty(shape, np.uint8), np.empty(shape, np.uint8)
    grid = Grid.from_affine(shape, affine)
    for rows, properties in slabs(body, grid, affine, 0, shape[0]):
        mask[rows] = properties[..., sampling.BRAIN] >= 0.5
        nuclei[rows] = properties[..., sampling.NUCLEUS]
        tissue[rows] = properties[..., sampling.TISSUE]
    return mask, nuclei, tissue


def _width(voxel_size: tuple[float, ...] | npt.NDArray[np.float64]) -> float:
    """Width of a border on a grid: the edge of a cube of the voxel's volume."""
    return float(np.prod(voxel_size) ** (1 / 3))


def slabs(
    body: Body, fine: Grid, affine: npt.NDArray[np.float64], first: int, last: int
) -> Iterator[tuple[slice, FloatArray]]:
    """Give the properties of the fine grid, some planes at a time (a whole number of data voxels)."""
    step = max(1, _SLAB_VOXELS // (fine.shape[1] * fine.shape[2] * 12)) * 12
    for start in range(first, last, step):
        rows = slice(start, min(start + step, last))
        moved = affine.copy()
        moved[:3, 3] += affine[:3, 0] * start
        yield rows, body.sample(moved, (rows.stop - start, *fine.shape[1:]), _width(fine.voxel_size))


def _far_chi(body: Body, fine: Grid, affine: npt.NDArray[np.float64]) -> tuple[forward.FarGrid, FloatArray]:
    """Return a coarse grid that holds head and neck, and their susceptibility (air is 0)."""
    low, high = np.array([-108.0, -140.0, -185.0]), np.array([108.0, 125.0, 110.0])
    corners = np.array([[(low, high)[(c >> a) & 1][a] for a in range(3)] + [1.0] for c in range(8)])
    voxels = (np.linalg.inv(affine) @ body.pose @ corners.T)[:3]
    sizes = np.asarray(fine.voxel_size)
    reach = [(-voxels[a].min() * sizes[a], (voxels[a].max() - fine.shape[a]) * sizes[a]) for a in range(3)]
    far = forward.FarGrid.around(fine, reach)
    factors = np.asarray(far.factors)
    coarse = affine.copy()
    coarse[:3, :3] = affine[:3, :3] * factors
    coarse[:3, 3] = affine[:3, :3] @ ((factors - 1) / 2 - np.asarray(far.before) * factors) + affine[:3, 3]
    chi = body.sample(coarse, far.grid.shape, _width(far.grid.voxel_size))[..., sampling.CHI]
    return far, chi - np.float32(AIR_PPM)


def _take_shim(field: FloatArray, factor: int, mask: BoolArray, affine: npt.NDArray[np.float64]) -> None:
    """Take the harmonics up to second order, fitted over the brain, away from a fine field, in place."""
    scale = 0.01  # decimetres keep the fit well conditioned
    positions = (np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3]) * scale
    coefficients = forward.shim(forward.block_mean(field, (factor,) * 3)[mask], positions)
    # The harmonics are quadratic in the fine index too: get that polynomial from 27 points, then go plane by plane.
    corner = np.array([[i, j, k] for i in range(3) for j in range(3) for k in range(3)], float)
    at = (corner * 10 + 0.5) / factor - 0.5
    values = forward.harmonics((at @ affine[:3, :3].T + affine[:3, 3]) * scale) @ coefficients
    i, j, k = (corner * 10).T
    constant = np.ones_like(i)
    terms = np.stack([constant, i, j, k, i * i, j * j, k * k, i * j, j * k, k * i], axis=1)
    c = np.linalg.lstsq(terms, values, rcond=None)[0]
    y, z = np.arange(field.shape[1], dtype=float)[:, None], np.arange(field.shape[2], dtype=float)
    fixed = c[2] * y + c[3] * z + c[5] * y * y + c[6] * z * z + c[8] * y * z
    for x in range(field.shape[0]):
        field[x] -= (fixed + (c[0] + c[1] * x + c[4] * x * x) + c[7] * x * y + c[9] * x * z).astype(np.float32)


def structural(
    body: Body,
    orientation: str,
    voxel_size: float,
    random: np.random.Generator,
    oblique: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> tuple[FloatArray, npt.NDArray[np.float64]]:
    """Return a T1-weighted image (0 to about 260, with bias field and noise) and its affine."""
    axis_codes(orientation)
    shape, affine = slab(orientation, oblique, (voxel_size,) * 3, body.pose)
    affine[:3, 3] += random.normal(0, 1.0, 3)
    grid = Grid.from_affine(shape, affine)
    image = np.empty(shape, np.float32)
    for rows, properties in slabs(body, grid, affine, 0, shape[0]):
        image[rows] = properties[..., sampling.T1W]
    axes = [np.linspace(-1, 1, n, dtype=np.float32) for n in shape]
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    weights = random.normal(0, 0.08, 5).astype(np.float32)
    image *= 1 + weights[0] * x + weights[1] * y + weights[2] * z + weights[3] * x * y + weights[4] * z * z
    real = image + 4 * random.standard_normal(shape, np.float32)
    return np.hypot(real, 4 * random.standard_normal(shape, np.float32)), affine


def spin_echo_scan(
    body: Body, scan: Acquisition, model: SourceModel, random: np.random.Generator
) -> tuple[FloatArray, npt.NDArray[np.float64]]:
    """Return the multi-echo spin echoes of a body that has moved a little since, and their affine."""
    body = replace(body, pose=moved(body.pose, random))
    shape, affine = slab(scan.orientation, scan.oblique, scan.voxel_size, body.pose, scan.matrix)
    factor = scan.oversampling
    fine_affine = affine.copy()
    fine_affine[:3, :3] /= factor
    fine_affine[:3, 3] += affine[:3, :3] @ np.full(3, 0.5 / factor - 0.5)
    fine = Grid.from_affine(tuple(n * factor for n in shape), fine_affine)
    return spin_echoes(slabs(body, fine, fine_affine, 0, fine.shape[0]), shape, model, factor, random), affine
