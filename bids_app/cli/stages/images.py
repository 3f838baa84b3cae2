"""Loose NIfTI files: read with what their sidecars say, written with a sidecar of their own."""

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bids_app import __version__
from bids_app.derivatives.files import read_grid, read_image, read_mask, read_volumes, write_image, write_json
from bids_app.errors import InputRefusedError, UsageError
from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.units import hz_to_ppm, ppm_per_hz

#: Echo times above this are in milliseconds.
_SHORTEST_ECHO_S, _LONGEST_ECHO_S = 1e-5, 1.0
_MIN_T, _MAX_T = 0.05, 25.0
#: The largest field (ppm) that a local or total field of a head can have; more is a field in another unit.
_LARGEST_PPM = 50.0
_EXTENSIONS = (".nii.gz", ".nii")


@dataclass(frozen=True)
class Image:
    """An image with the values of its sidecar."""

    path: Path
    data: FloatArray
    affine: npt.NDArray[np.float64]
    sidecar: Mapping[str, object] = field(default_factory=dict)

    def shares_grid(self, shape: tuple[int, ...], affine: npt.NDArray[np.float64]) -> bool:
        """Return whether a 3D image of this shape and affine lies on the same grid."""
        return shape == self.data.shape[-3:] and np.allclose(affine, self.affine, atol=1e-3)

    def grid(self, b0_dir: Sequence[float] | None) -> Grid:
        """Return the sampling; B0 is along ``b0_dir``, the sidecar's ``B0_dir``, or the scanner's z axis."""
        grid = Grid.from_affine(self.data.shape[-3:], self.affine)
        stated = self.sidecar.get("B0_dir")
        chosen = b0_dir if b0_dir is not None else stated if isinstance(stated, list) else None
        if chosen is None:
            return grid
        try:
            x, y, z = (float(part) for part in chosen)
            return Grid(grid.shape, grid.voxel_size, (x, y, z))
        except (TypeError, ValueError) as error:
            raise UsageError(f"the direction of B0 must be three numbers, not all 0; got {chosen}") from error


def stem_of(path: Path) -> str:
    """Return a file's name without the extension of an image."""
    for extension in _EXTENSIONS:
        if path.name.endswith(extension):
            return path.name.removesuffix(extension)
    raise UsageError(f"{path}: the name of an image ends with .nii or .nii.gz")


def _sidecar(path: Path) -> Mapping[str, object]:
    sidecar = path.with_name(f"{stem_of(path)}.json")
    if not sidecar.is_file():
        return {}
    try:
        content = json.loads(sidecar.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputRefusedError([f"{sidecar} cannot be read as JSON: {error}"]) from error
    return content if isinstance(content, dict) else {}


def _check_file(path: Path) -> None:
    stem_of(path)
    if not path.is_file():
        raise InputRefusedError([f"{path}: there is no such file"])
    if not path.stat().st_size:
        raise InputRefusedError([f'{path} is empty (0 bytes). If it is in a DataLad dataset, run "datalad get" on it.'])


def load(path: Path) -> Image:
    """Return a 3D image.

    Raises
    ------
    InputRefusedError
        If the file is missing, empty, or has another number of dimensions.
    """
    _check_file(path)
    shape = read_grid(path)[0]
    if len([n for n in shape if n > 1]) > 3:
        raise InputRefusedError([f"{path} has {len(shape)} dimensions, {shape}: a 3D image is needed here"])
    data, affine = read_image(path)
    return Image(path, data.reshape(data.shape[:3]), affine, _sidecar(path))


def load_mask(path: Path, like: Image) -> BoolArray:
    """Return where a mask is above 0; it must lie on the grid of another image.

    Raises
    ------
    InputRefusedError
        If it lies on another grid, or has no voxel.
    """
    _check_file(path)
    mask, affine = read_mask(path), read_grid(path)[1]
    if not like.shares_grid(mask.shape, affine):
        raise InputRefusedError(
            [f"{path} does not lie on the grid of {like.path.name}: resample it to that grid first"]
        )
    if not mask.any():
        raise InputRefusedError([f"{path} is 0 everywhere: the mask has no voxel"])
    return mask


def load_echoes(paths: Sequence[Path]) -> Image:
    """Return the echoes, echoes first: one 3D file for each, or one file with the echoes in its fourth dimension.

    Raises
    ------
    InputRefusedError
        If files are missing or do not share one grid.
    """
    for path in paths:
        _check_file(path)
    if len(paths) == 1 and len(read_grid(paths[0])[0]) > 3:
        data = np.stack(list(read_volumes(paths[0])))
        return Image(paths[0], data, read_grid(paths[0])[1], _sidecar(paths[0]))
    images = [load(path) for path in paths]
    for image in images[1:]:
        if not images[0].shares_grid(image.data.shape, image.affine):
            raise InputRefusedError([f"{image.path} does not lie on the grid of {images[0].path.name}"])
    times = [image.sidecar.get("EchoTime") for image in images]
    sidecar = dict(images[0].sidecar) | ({"EchoTimes": times} if all(t is not None for t in times) else {})
    return Image(images[0].path, np.stack([image.data for image in images]), images[0].affine, sidecar)


def echo_times(given: Sequence[float] | None, image: Image) -> tuple[float, ...]:
    """Return the echo times in s, ascending: those of ``--te``, or of the sidecars.

    Raises
    ------
    UsageError
        If they are missing, not as many as the echoes, not ascending, or in milliseconds.
    """
    stated = image.sidecar.get("EchoTimes")
    seconds = given if given is not None else stated if isinstance(stated, list) else None
    count = image.data.shape[0]
    if seconds is None:
        raise UsageError(f"--te: give the {count} echo times in seconds (no sidecar of {image.path.name} has them)")
    if not all(
        isinstance(time, int | float) and not isinstance(time, bool) and math.isfinite(time) for time in seconds
    ):
        raise UsageError(f"--te: EchoTime in the sidecar of {image.path.name} is no number; correct it, or give --te")
    times = tuple(float(time) for time in seconds)
    if len(times) != count:
        raise UsageError(f"--te: {count} echoes need {count} echo times, got {len(times)}")
    if any(later <= earlier for earlier, later in itertools.pairwise(times)) or times[0] < _SHORTEST_ECHO_S:
        said = " ".join(map(str, times))
        raise UsageError(f"--te: echo times must be above {_SHORTEST_ECHO_S:g} s and ascending, got {said}")
    if times[-1] > _LONGEST_ECHO_S:
        raise UsageError(f"--te: {times[-1]} s is too long for an echo time; give seconds: {times[-1] / 1000}")
    return times


def field_strength(given: float | None, image: Image) -> float:
    """Return the main field in T: that of ``--b0``, or of the sidecar.

    Raises
    ------
    UsageError
        If neither says it.
    """
    stated = image.sidecar.get("MagneticFieldStrength")
    tesla = given if given is not None else stated
    if tesla is None:
        raise UsageError(f"--b0: give the main field in tesla (no sidecar of {image.path.name} has it)")
    if isinstance(tesla, bool) or not isinstance(tesla, int | float) or not _MIN_T <= tesla <= _MAX_T:
        raise UsageError(
            f"--b0: MagneticFieldStrength in the sidecar of {image.path.name} is {tesla!r}; give it in tesla"
        )
    return float(tesla)


def in_ppm(image: Image, units: str | None, b0: float | None) -> FloatArray:
    """Return a field in ppm; its unit is that of ``--units``, or of the sidecar.

    Raises
    ------
    UsageError
        If the unit is not known, or the values are too large to be ppm.
    """
    name = (units or str(image.sidecar.get("Units", ""))).lower()
    if name == "hz":
        return hz_to_ppm(image.data, field_strength(b0, image))
    if name != "ppm":
        raise UsageError(f"--units: say whether {image.path.name} is in hz or ppm (its sidecar does not)")
    largest = float(np.nanpercentile(np.abs(image.data), 99.9))
    if largest > _LARGEST_PPM:
        factor = f" (1 Hz is {ppm_per_hz(3.0):.5f} ppm at 3 T)"
        raise UsageError(f"{image.path.name} has values of {largest:.0f}, too large for ppm: say --units hz{factor}")
    return image.data


def save(path: Path, data: npt.NDArray[np.generic], like: Image, **facts: object) -> Path:
    """Write an image and its sidecar; ``facts`` are the sidecar's fields.

    Raises
    ------
    UsageError
        If the output would replace an input.
    """
    if path.exists() and path.samefile(like.path):
        raise UsageError(f"{path}: the output would replace the input; choose another name")
    volumes = np.moveaxis(data, 0, -1) if data.ndim == 4 else data
    kind = "uint8" if data.dtype == bool else "float32"
    write_image(_compressed(path), volumes, like.affine, kind)
    made = {"GeneratedBy": [{"Name": "qsm-bids-app", "Version": __version__}], "Sources": [like.path.name]}
    write_json(path.with_name(f"{stem_of(path)}.json"), facts | made)
    return path


def _compressed(path: Path) -> Path:
    if not path.name.endswith(".nii.gz"):
        raise UsageError(f"{path}: outputs are compressed; choose a name that ends with .nii.gz")
    return path
