"""What a network of the user's own expects: the contract, a small TOML file, and the session that runs it."""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from bids_app.errors import ParameterError, ToolMissingError
from bids_app.qsm.arrays import FloatArray
from bids_app.qsm.params import Params, param


@dataclass(frozen=True)
class _Table(Params):
    """Values of the contract as they stand in the file."""

    network: str = param("", doc="ONNX file, relative to the contract")
    input_scale: float = param(1.0, low=-1e6, high=1e6, doc="Factor of the field in ppm")
    input_shift: float = param(0.0, low=-1e6, high=1e6, doc="Added in the mask after scaling")
    output_scale: float = param(1.0, low=-1e6, high=1e6, doc="Factor that makes ppm of the output")
    output_shift: float = param(0.0, low=-1e6, high=1e6, doc="Subtracted from the output before scaling")
    axes: str = param("xyz", choices=("xyz", "xzy", "yxz", "yzx", "zxy", "zyx"), doc="Order of the voxel axes")
    b0_axis: int = param(2, low=0, high=2, doc="Axis of the network along which B0 lies")
    max_angle: float = param(10.0, low=0.0, high=90.0, doc="Largest angle between B0 and the axis, degrees")
    patch: int = param(0, low=0, high=1024, doc="Side of cubic patches in voxels; 0: the whole volume")
    overlap: int = param(0, low=0, high=1023, doc="Voxels that neighbouring patches share")
    multiple: int = param(1, low=1, high=256, doc="Sides of a whole volume are padded to multiples of this")


@dataclass(frozen=True)
class Contract:
    """What the network expects; ``axes`` are places of the image's axes, ``patch`` its three sides or empty."""

    path: Path
    network: Path
    input_scale: float
    input_shift: float
    output_scale: float
    output_shift: float
    axes: tuple[int, int, int]
    b0_axis: int
    max_angle: float
    patch: tuple[int, int, int] | None
    overlap: int
    multiple: int


def read_contract(name: str) -> Contract:
    """Read the contract of a network.

    Raises
    ------
    ParameterError
        If there is no such file, or a value is unknown or does not fit.
    """
    path = Path(name)
    if not name or not path.is_file():
        raise ParameterError(f"inversion.onnx.model: there is no file {name!r}; give the TOML file of the network")
    try:
        table = _Table.from_mapping(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ParameterError) as error:
        raise ParameterError(f"{path}: {error}") from error
    network = path.parent / table.network
    if not table.network or not network.is_file():
        raise ParameterError(f"{path}: network: there is no file {str(network)!r}")
    if table.patch and table.overlap >= table.patch:
        raise ParameterError(f"{path}: overlap ({table.overlap}) must be smaller than patch ({table.patch})")
    if table.output_scale == 0 or table.input_scale == 0:
        raise ParameterError(f"{path}: input_scale and output_scale must not be 0")
    values = table.to_mapping() | {
        "network": network,
        "axes": tuple("xyz".index(letter) for letter in table.axes),
        "patch": (table.patch,) * 3 if table.patch else None,
    }
    return Contract(path=path, **values)  # type: ignore[arg-type]


def load_network(contract: Contract) -> Callable[[FloatArray], FloatArray]:
    """Return the network as a function of a patch ``[x, y, z]`` in its own axes and units.

    Raises
    ------
    ToolMissingError
        If onnxruntime is not installed.
    ParameterError
        If the file is no network, or it does not give one volume of the patch's shape.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise ToolMissingError("inversion.method=onnx needs onnxruntime: pip install onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(str(contract.network), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime has exceptions of its own for each mistake
        raise ParameterError(f"{contract.network} cannot be read as an ONNX network") from error
    if len(session.get_inputs()) != 1 or len(session.get_outputs()) != 1:
        raise ParameterError(f"{contract.network} must have one input, the field, and one output, the susceptibility")
    name = session.get_inputs()[0].name

    def network(patch: FloatArray) -> FloatArray:
        try:
            (made,) = session.run(None, {name: np.ascontiguousarray(patch[None, None], np.float32)})
        except Exception as error:
            raise ParameterError(f"{contract.network} does not take a patch of {patch.shape} voxels") from error
        if made.shape != (1, 1, *patch.shape):
            raise ParameterError(f"{contract.network} gives shape {made.shape}, not that of the patch {patch.shape}")
        return cast("FloatArray", made[0, 0])

    return network
