"""Dipole inversion by a network of the user's own, in the ONNX format."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np

from bids_app.errors import ParameterError
from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid, checked_mask
from bids_app.qsm.inversion.onnx_contract import Contract, load_network, read_contract
from bids_app.qsm.inversion.problem import note
from bids_app.qsm.method import Inversion, Method
from bids_app.qsm.operators.crop import Crop
from bids_app.qsm.params import Params, param
from bids_app.qsm.signatures import Info, Progress


@dataclass(frozen=True)
class OnnxParams(Params):
    """Parameters of the inversion by a network."""

    model: str = param("", doc="TOML file that describes the network: its file, scaling, patches and orientation")
    content: str = param("", doc="SHA-256 of the TOML file and the network; the command fills it in")
    padding: float = param(0.0, low=0.0, high=200.0, unit="mm", doc="Empty space around the object")


def onnx(
    local_field_ppm: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: OnnxParams = OnnxParams(),
    weights: FloatArray | None = None,
    magnitude: FloatArray | None = None,
    progress: Progress | None = None,
    info: Info | None = None,
) -> FloatArray:
    """Estimate susceptibility by a neural network in the ONNX format.

    The contract, a TOML file, says how the field is scaled, in which axes and patches the network takes it, and what
    its output means. The network itself is the user's: its accuracy is not measured here.

    Parameters
    ----------
    local_field_ppm : float32, ``grid.shape``
        Local field in ppm.
    mask : bool, ``grid.shape``
        Where the field is known.
    grid : Grid
        Sampling and direction of B0.
    params : OnnxParams
        File of the contract, and padding in mm.
    weights : float32, ``grid.shape``, optional
        Not used.
    magnitude : float32, ``grid.shape``, optional
        Not used.
    progress : callable, optional
        Called as ``progress(done, total)`` after each patch.
    info : dict, optional
        Receives the number of patches.

    Returns
    -------
    float32, ``grid.shape``
        Susceptibility in ppm, zero outside the mask.

    Raises
    ------
    ParameterError
        If the contract cannot be read, or the data or the network do not fit it.
    ToolMissingError
        If onnxruntime is not installed.
    ValueError
        If the mask is empty or the shapes differ.
    """
    mask = checked_mask(mask, grid, field=local_field_ppm)
    contract = read_contract(params.model)
    _check_b0(contract, grid)
    network = load_network(contract)
    known = mask & np.isfinite(local_field_ppm)
    crop = Crop.around(known, grid, params.padding)
    field = crop.take_clean(local_field_ppm, known).transpose(contract.axes) * np.float32(contract.input_scale)
    inside = crop.take(known).transpose(contract.axes)
    field += np.float32(contract.input_shift) * inside
    chi, patches = _in_patches(field, contract, network, progress)
    note(info, patches=patches)
    chi = (chi - np.float32(contract.output_shift)) * np.float32(contract.output_scale) * inside
    return crop.put(np.ascontiguousarray(chi.transpose(np.argsort(contract.axes)), np.float32), grid.shape)


def _check_b0(contract: Contract, grid: Grid) -> None:
    """Refuse data whose main field does not lie along the axis that the network was trained with."""
    along = abs(grid.b0_dir[contract.axes[contract.b0_axis]]) / float(np.linalg.norm(grid.b0_dir))
    angle = float(np.degrees(np.arccos(min(along, 1.0))))
    if angle > contract.max_angle:
        raise ParameterError(
            f"{contract.path}: the network takes B0 within {contract.max_angle:g} degrees of axis {contract.b0_axis}, "
            f"and the data have {angle:.0f} degrees; choose another inversion, or a larger max_angle"
        )


def _in_patches(
    field: FloatArray, contract: Contract, network: Callable[[FloatArray], FloatArray], progress: Progress | None
) -> tuple[FloatArray, int]:
    """Return the network's output, patches averaged where they overlap, and their number; the field is zero-padded."""
    sizes = contract.patch or tuple(-(-n // contract.multiple) * contract.multiple for n in field.shape)
    padded = np.pad(field, [(0, max(size - n, 0)) for n, size in zip(field.shape, sizes, strict=True)])
    starts = list(product(*(_starts(n, s, contract.overlap) for n, s in zip(padded.shape, sizes, strict=True))))
    total, count = np.zeros(padded.shape, np.float32), np.zeros(padded.shape, np.float32)
    for place, start in enumerate(starts, start=1):
        box = tuple(slice(first, first + size) for first, size in zip(start, sizes, strict=True))
        total[box] += network(padded[box])
        count[box] += 1
        if progress is not None:
            progress(place, len(starts))
    total /= count
    return total[tuple(slice(n) for n in field.shape)], len(starts)


def _starts(length: int, size: int, overlap: int) -> list[int]:
    """Return where patches start along an axis, the last one at the end."""
    step = max(size - overlap, 1)
    return sorted({*range(0, length - size, step), length - size})


ONNX: Inversion[OnnxParams] = Method(
    name="onnx",
    kind="inversion",
    label="ONNX network",
    function=onnx,
    params=OnnxParams,
    sentence=(
        "Susceptibility was estimated by a neural network that the authors supplied in the ONNX format{parameters}; "
        "networks for this purpose were introduced by QSMnet [yoon2018]."
    ),
    needs=("model",),
)
