"""Volumes and program of the interactive viewer, as texts inside the page.

The viewer is NiiVue (https://github.com/niivue/niivue, BSD-2-Clause), shipped compressed in ``assets``.
"""

import base64
import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bids_app.derivatives.files import read_image, read_mask
from bids_app.report.participant.collect import Run
from bids_app.report.slices import Array, frame

_ASSETS = Path(__file__).parents[1] / "assets"
_PROGRAM = "niivue-0.69.0.umd.js.gz"
#: Step of the stored susceptibility, ppm: 20 times finer than its noise.
_STEP = 0.0005
#: Voxels are joined until the volumes of a run fit this many characters, or are this large (mm).
BUDGET = 1_500_000
_LARGEST_MM = 6.0
#: The best compression never makes less of a map than this part of the quickest one's size.
_MIN_GAIN = 0.8


@dataclass(frozen=True)
class Volumes:
    """What the viewer shows of a run: susceptibility and segmentation, compressed NIfTI in base64."""

    chi: str
    labels: str  # empty where there is no segmentation
    names: dict[str, str]  # of labels
    voxel_mm: float


def program() -> str:
    """Return the viewer's program, gzip in base64."""
    return base64.b64encode((_ASSETS / _PROGRAM).read_bytes()).decode()


def volumes(run: Run, budget: int = BUDGET) -> Volumes | None:
    """Return a run's volumes cropped to the valid mask and coarse enough for the budget (characters).

    None where there is no map, or the budget is too small for voxels of 6 mm.
    """
    from bids_app.report.charts import read_table

    path, mask_path = run.path("chimap"), run.path("mask_qsm")
    if path is None or mask_path is None:
        return None
    chi, affine = read_image(path)
    mask = read_mask(mask_path)
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    box = frame(mask, (float(sizes[0]), float(sizes[1]), float(sizes[2])), 4.0).box
    keys = run.keys("dseg_gre@")
    label_path = run.path(keys[0]) if keys else None
    labels = np.rint(read_image(label_path)[0])[box] if label_path is not None else None
    names: dict[str, str] = {}
    if label_path is not None:
        table = label_path.with_name(label_path.name.removesuffix(".nii.gz") + ".tsv")
        for row in read_table(table) if table.is_file() else []:
            side = row.get("hemisphere", "n/a")
            names[row["index"]] = row["name"] + (f" {side}" if side not in ("n/a", "") else "")
    moved = affine.copy()
    moved[:3, 3] = affine[:3, :3] @ [part.start for part in box] + affine[:3, 3]
    factor = 1
    while factor == 1 or factor * sizes.min() <= _LARGEST_MM:
        step = np.maximum(1, np.rint(factor * sizes.min() / sizes)).astype(int)
        coarse = moved.copy()
        coarse[:3, :3] = moved[:3, :3] * step
        coarse[:3, 3] = moved[:3, :3] @ ((step - 1) / 2) + moved[:3, 3]
        packed = _packed_chi(chi[box], step, coarse, budget)
        seen = "" if labels is None or not packed else _packed(_nifti(_picked(labels, step), coarse, 1.0))
        if packed and len(packed) + len(seen) <= budget:
            return Volumes(packed, seen, names, round(float((sizes * step).max()), 2))
        factor += 1
    return None


def _packed_chi(chi: Array, step: npt.NDArray[np.int_], affine: npt.NDArray[np.float64], budget: int) -> str:
    """Return the map in blocks of voxels as a compressed NIfTI file; nothing where that is far beyond the budget."""
    values = np.rint(np.clip(_joined(chi, step) / _STEP, -32767, 32767)).astype(np.int16)
    content = _nifti(values, affine, _STEP)
    # The finest map takes longest and often does not fit. A quick try is 4 % larger, in a seventh of the time.
    return _packed(content) if len(_packed(content, 1)) * _MIN_GAIN <= budget else ""


def _joined(data: Array, step: npt.NDArray[np.int_]) -> Array:
    """Return the mean of blocks of voxels; what does not fill a block at the end is left out."""
    shape = [n // int(s) for n, s in zip(data.shape, step, strict=True)]
    part = data[tuple(slice(0, n * int(s)) for n, s in zip(shape, step, strict=True))]
    blocks = part.reshape(shape[0], step[0], shape[1], step[1], shape[2], step[2])
    joined: Array = blocks.mean(axis=(1, 3, 5), dtype=np.float32)
    return joined


def _picked(labels: Array, step: npt.NDArray[np.int_]) -> Array:
    """Return the label in the middle of each block."""
    shape = [n // int(s) for n, s in zip(labels.shape, step, strict=True)]
    picked = labels[
        tuple(slice(int(s) // 2, int(s) // 2 + n * int(s), int(s)) for n, s in zip(shape, step, strict=True))
    ]
    return picked[: shape[0], : shape[1], : shape[2]].astype(np.int32)


def _nifti(data: Array, affine: npt.NDArray[np.float64], slope: float) -> bytes:
    """Return a NIfTI-1 file of integers; bytes are the same for the same data."""
    kind = np.dtype(
        [
            ("size", "<i4"),
            ("_a", "V36"),
            ("dim", "<i2", 8),
            ("_b", "V14"),
            ("type", "<i2"),
            ("bits", "<i2"),
            ("_c", "V2"),
            ("pixdim", "<f4", 8),
            ("offset", "<f4"),
            ("slope", "<f4"),
            ("inter", "<f4"),
            ("_d", "V3"),
            ("units", "u1"),
            ("_e", "V128"),
            ("qform", "<i2"),
            ("sform", "<i2"),
            ("_f", "V24"),
            ("srow", "<f4", (3, 4)),
            ("_g", "V16"),
            ("magic", "S4"),
        ]
    )
    header = np.zeros((), kind)
    header["size"], header["offset"], header["slope"], header["units"] = 348, 352, slope, 2
    header["dim"] = [3, *data.shape, 1, 1, 1, 1]
    header["type"], header["bits"] = (4, 16) if data.dtype == np.int16 else (8, 32)
    header["pixdim"] = [1, *np.linalg.norm(affine[:3, :3], axis=0), 1, 1, 1, 1]
    header["sform"], header["srow"], header["magic"] = 1, affine[:3], b"n+1"
    return header.tobytes() + bytes(4) + data.astype(data.dtype.newbyteorder("<")).tobytes(order="F")


def _packed(content: bytes, level: int = 9) -> str:
    """Return bytes as gzip in base64."""
    return base64.b64encode(gzip.compress(content, level, mtime=0)).decode()
