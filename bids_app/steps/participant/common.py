"""What the steps over a gradient-echo run share: its files, grid and data."""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from bids_app.derivatives.files import read_grid, read_image, read_into
from bids_app.errors import QsmAppError
from bids_app.model.records import Anatomical, GreRun, Record
from bids_app.model.settings import Section, Settings
from bids_app.model.step import StepInput
from bids_app.qsm.arrays import FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.params import Params
from bids_app.qsm.threads import current_threads
from bids_app.qsm.units import hz_to_ppm

if TYPE_CHECKING:
    from bids_app.qsm import EchoPhase

#: Longest side (mm) of the smallest image that is taken as a head's, and of a common image of a head.
SMALLEST_HEAD, HEAD_LENGTH = 100.0, 200.0
#: Growth of a head's volume by the padding of the inversion, which the numbers of volumes of the estimates include.
_PADDED_HEAD = 1.4
#: A process with all libraries loaded and kernels compiled, and what it keeps of earlier steps (measured at 3 mm).
_PROCESS_BYTES = 400_000_000
#: Products of the step that combines coils, echoes first: other steps take them in place of the images.
COMBINED = ("coil_phase", "coil_magnitude")


def echo_files(run: GreRun, settings: object = None) -> dict[str, Path]:
    """Return the images of all echoes by name: ``magnitude1``, ``phase1``, ``magnitude2`` ... (``phase1_coil2``)."""
    files: dict[str, Path] = {}
    for echo in run.echoes:
        for part in ("magnitude", "phase", "real", "imag"):
            for coil, path in enumerate(echo.files(part), start=1):
                files[f"{part}{echo.number}" + (f"_coil{coil}" if coil > 1 else "")] = path
    return files


def single_files(run: GreRun, settings: object = None) -> dict[str, Path]:
    """Return the images of all echoes, none where these are of single coils: see :func:`combined`."""
    return echo_files(run) if run.coils == 1 else {}


def combined(run: GreRun) -> tuple[str, ...]:
    """Return the products that stand for the echoes' images where these are of single coils, else none."""
    return COMBINED if run.coils > 1 else ()


def like_of(run: GreRun) -> Path:
    """Return an image whose affine the run's maps take: of an echo, or the map of another dataset where none is."""
    images = (path for echo in run.echoes for path in (echo.magnitude, echo.phase, echo.real, echo.imag) if path)
    return next(chain(images, (given.path for given in run.given_maps)))


def grid_image(run: GreRun, settings: object = None) -> dict[str, Path]:
    """Return the image whose header :func:`grid_of` reads, for ``Step.headers``."""
    return {"image": like_of(run)}


def grid_of(run: GreRun, shape: tuple[int, ...]) -> Grid:
    """Return the sampling on which a run is computed, with the lengths of a head.

    B0 in voxel axes is the sidecar's ``B0_dir``, or follows from the affine. The field of a susceptibility does not
    depend on the scale, but all parameters in mm are a head's. An image whose longest side is shorter than
    ``SMALLEST_HEAD`` (an animal, a specimen) is therefore computed as if it were enlarged to ``HEAD_LENGTH``; use
    :func:`true_grid_of` for volumes and lengths that are reported.
    """
    grid = true_grid_of(run, shape)
    factor = enlargement(grid)
    x, y, z = (factor * size for size in grid.voxel_size)
    return replace(grid, voxel_size=(x, y, z))


def true_grid_of(run: GreRun, shape: tuple[int, ...]) -> Grid:
    """Return the sampling of the run, voxel sizes in mm of the scanner."""
    grid = Grid.from_affine(shape, read_grid(like_of(run))[1])
    return replace(grid, b0_dir=run.b0_dir) if run.b0_dir else grid


def enlargement(grid: Grid) -> float:
    """Return the factor by which lengths of an image smaller than a head are enlarged; 1 for a head."""
    longest = max(count * size for count, size in zip(grid.shape, grid.voxel_size, strict=True))
    return HEAD_LENGTH / longest if longest < SMALLEST_HEAD else 1.0


def stack_images(paths: Sequence[Path]) -> FloatArray:
    """Return images stacked along a new first axis; each thread has one of them in memory twice."""
    first = read_image(paths[0])[0]
    out = np.empty((len(paths), *first.shape), np.float32)
    out[0] = first
    del first
    with ThreadPoolExecutor(current_threads()) as pool:
        list(pool.map(read_into, paths[1:], out[1:]))
    return out


def finite(array: FloatArray, what: str, notes: list[str]) -> FloatArray:
    """Set what is not finite to 0, in place, and note it."""
    lost = 0
    for part in array:
        good = np.isfinite(part)
        if not good.all():
            lost += int(part.size - np.count_nonzero(good))
            part[~good] = 0
    if lost:
        notes.append(f"{lost} voxels of the {what} were not finite (NaN or infinite) and are set to 0")
    return array


def memory(
    volumes: float, volumes_per_echo: float = 0.0, programs: int = 0, padding: Callable[[Settings], float] | None = None
) -> Callable[[Record, Settings], int]:
    """Return an estimate of a step's peak memory for ``Step.memory``, in float32 volumes of the record's grid.

    ``volumes`` count once, ``volumes_per_echo`` for each echo; what an empty process takes is added, and ``programs``,
    the bytes of what the step starts and whose grids are not the record's. A step that works on a grid with ``padding``
    (mm, from the settings) around the image counts the padded volume: a thin slab grows by a multiple of itself.
    """

    def estimate(record: Record, settings: Settings) -> int:
        path, echoes = (
            (like_of(record), len(record.echoes)) if isinstance(record, GreRun) else (cast(Anatomical, record).path, 1)
        )
        around = padding(settings) if padding else 0.0
        volume = 4 * max(_voxels(path), _padded_voxels(path, around) / _PADDED_HEAD if around else 0)
        return int(_PROCESS_BYTES + programs + volume * (volumes + echoes * volumes_per_echo))

    return estimate


def padding_of(section: Section[Params]) -> float:
    """Return the padding (mm) of a section's method, 0 where it has none."""
    return float(getattr(section.methods.get(getattr(section.choice, "method", "")), "padding", 0.0))


#: Every step of a record asks; the plan of 10,000 participants would read each header ten times.
_grid_of_file = lru_cache(maxsize=64)(read_grid)


@lru_cache(maxsize=64)
def _voxels(path: Path) -> int:
    return math.prod(_grid_of_file(path)[0][:3])


@lru_cache(maxsize=64)
def _padded_voxels(path: Path, padding: float) -> int:
    shape, affine = _grid_of_file(path)
    grid = Grid.from_affine(shape[:3], affine)
    lengths = [enlargement(grid) * size for size in grid.voxel_size]
    return math.prod(n + math.ceil(padding / length) for n, length in zip(grid.shape, lengths, strict=True))


def has_magnitude(run: GreRun) -> bool:
    """Return whether every echo has a magnitude, or the parts that make one."""
    return bool(run.echoes) and all(echo.magnitude or echo.real for echo in run.echoes)


def starts_after_background(run: GreRun) -> bool:
    """Return whether another dataset has the local field or the map itself: the background field is removed already."""
    return run.given("local_field") is not None or run.given("chimap") is not None


def magnitude_files(run: GreRun, settings: object = None) -> dict[str, Path]:
    """Return the images that the magnitude of the echoes is made of, none where there is none or coils are combined."""
    return {name: path for name, path in single_files(run).items() if not name.startswith("phase")}


def read_array(path: Path) -> FloatArray:
    """Return the values of an image or a working file."""
    return read_image(path)[0]


def total_field_ppm(step: StepInput[GreRun]) -> FloatArray:
    """Return the total field in ppm."""
    return hz_to_ppm(read_array(step.inputs["total_field"]), field_strength(step.record))


def field_strength(run: GreRun) -> float:
    """Return the main field in tesla, which the checks of the input have made sure of."""
    if run.field_strength is None:
        raise QsmAppError(f"{run.basename}: MagneticFieldStrength is missing in the sidecars; add it")
    return run.field_strength


def echo_magnitude(step: StepInput[GreRun], place: int) -> FloatArray:
    """Return the magnitude of one echo, of real and imaginary part where these are stored."""
    echo = step.record.echoes[place]
    if step.record.coils > 1:
        every: FloatArray = np.load(step.inputs["coil_magnitude"], mmap_mode="r")
        magnitude: FloatArray = every[place]
        return magnitude
    if echo.magnitude:
        return read_image(echo.magnitude)[0]
    assert echo.real is not None and echo.imag is not None
    return np.hypot(read_image(echo.real)[0], read_image(echo.imag)[0])


def load_magnitude(step: StepInput[GreRun]) -> FloatArray:
    """Return the magnitude of all echoes, echoes first."""
    if step.record.coils > 1:
        every: FloatArray = np.load(step.inputs["coil_magnitude"])
        return every
    first = echo_magnitude(step, 0)
    out = np.empty((len(step.record.echoes), *first.shape), np.float32)
    out[0] = first
    for place in range(1, len(out)):
        out[place] = echo_magnitude(step, place)
    return out


def finite_magnitude(step: StepInput[GreRun]) -> FloatArray | None:
    """Return the magnitude of all echoes as the field is fitted with it, None where there is none."""
    run = step.record
    if run.coils > 1:
        return load_magnitude(step)
    if run.echoes[0].phase is None:
        return polar(run, [])[0]
    return stored_magnitude(run, [])


def stored_magnitude(run: GreRun, notes: list[str]) -> FloatArray | None:
    """Return the magnitude images of all echoes, None where one has none."""
    paths = [echo.magnitude for echo in run.echoes if echo.magnitude]
    return finite(stack_images(paths), "magnitude", notes) if len(paths) == len(run.echoes) else None


class _EchoMagnitudes:
    """The magnitudes of a run, one echo in memory at a time."""

    def __init__(self, step: StepInput[GreRun]) -> None:
        self._step = step

    def __getitem__(self, place: int) -> FloatArray:
        return echo_magnitude(self._step, place)


def echo_phase(step: StepInput[GreRun], total_ppm: FloatArray, counted: bool = True) -> "EchoPhase":
    """Return the phase of every echo for inversions of each by itself, read one echo at a time."""
    from bids_app import qsm

    run = step.record
    return qsm.EchoPhase(
        np.load(step.inputs["phase"], mmap_mode="r"),
        tuple(run.echo_times),
        field_strength(run),
        total_ppm,
        _EchoMagnitudes(step) if has_magnitude(run) else None,
        counted,
    )


def polar(run: GreRun, notes: list[str]) -> tuple[FloatArray, FloatArray]:
    """Return magnitude and phase of all echoes from their real and imaginary parts."""
    magnitude = finite(stack_images([e.real for e in run.echoes if e.real]), "real part", notes)
    phase = finite(stack_images([e.imag for e in run.echoes if e.imag]), "imaginary part", notes)
    for real, imag in zip(magnitude, phase, strict=True):
        strength = np.hypot(real, imag)
        np.arctan2(imag, real, out=imag)
        real[...] = strength
    return magnitude, phase
