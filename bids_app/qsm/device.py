"""Where the iterations of a method run: on the processor, or on a GPU through the arrays of PyTorch.

Methods and solvers are written once. They take numpy arrays, bring them to the current device
(:func:`to_device`), iterate there and bring the result back (:func:`to_host`). On the processor both functions return
their argument and compiled kernels (:mod:`bids_app.qsm.kernels`) do the work. Elsewhere the same steps run on whole
arrays (:mod:`bids_app.qsm.plain`) by the functions of the array API standard, which :func:`namespace` returns.

The annotations name numpy's types throughout: an array of a device has the same shape, data type and meaning.

References
----------
Array API standard: https://data-apis.org/array-api/latest/
"""

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_app.errors import ParameterError, QsmAppError, ToolMissingError
from bids_app.qsm.arrays import Scalar

#: What the command offers; the library knows ``torch`` too, PyTorch on the processor, for tests.
DEVICES = ("auto", "cpu", "cuda")
_INSTALL = "pip install 'qsm-bids-app[gpu]'"


@dataclass(frozen=True)
class Device:
    """A place for arrays, with the functions that work on them.

    Attributes
    ----------
    name : str
        ``cpu``, ``cuda``, ``torch``.
    label : str
        Name for people, with the model of a GPU.
    xp : module, optional
        Functions of the array API standard; None for numpy with compiled kernels.
    take, give : callable
        Copy a numpy array to the device, and one of its arrays to numpy.
    note : str
        Why ``auto`` chose the processor, as a sentence; else empty.
    """

    name: str
    label: str
    xp: Any = None
    take: Callable[[Any], Any] = lambda array: array
    give: Callable[[Any], Any] = lambda array: array
    note: str = ""

    @property
    def is_host(self) -> bool:
        """Whether it is the processor with compiled kernels."""
        return self.xp is None


HOST = Device("cpu", "processor")
_current: ContextVar[Device] = ContextVar("device", default=HOST)


def find_device(name: str) -> Device:
    """Return a device by its name; PyTorch is imported only where it is needed.

    Parameters
    ----------
    name : str
        ``cpu``; ``cuda``, the first GPU that PyTorch sees; ``auto``, which is ``cuda`` where there is one and else
        ``cpu``; ``torch``, PyTorch on the processor, for tests.

    Returns
    -------
    Device
        The device; with ``auto`` on the processor its ``note`` says why.

    Raises
    ------
    ToolMissingError
        If ``cuda`` or ``torch`` is asked for and cannot be used.
    ParameterError
        If there is no device of this name.
    """
    if name == "cpu":
        return HOST
    if name not in (*DEVICES, "torch"):
        raise ParameterError(f"there is no device {name!r}: choose one of {', '.join(DEVICES)}")
    reason = _missing()
    if not reason and name != "torch":
        reason = _without_gpu()
    if not reason:
        return _torch("cpu" if name == "torch" else "cuda")
    if name == "auto":
        return Device("cpu", HOST.label, note=f"Device auto: {reason}; the processor is used.")
    advice = f"install it ({_INSTALL}), or choose device cpu" if _missing() else "choose device cpu or auto"
    raise ToolMissingError(f"device {name}: {reason}; {advice}")


def _missing() -> str:
    """Return which package is not installed, as part of a sentence; empty where none is missing."""
    for module, package in (("torch", "PyTorch"), ("array_api_compat", "array-api-compat")):
        if importlib.util.find_spec(module) is None:
            return f"{package} is not installed"
    return ""


def _without_gpu() -> str:
    import torch

    return "" if torch.cuda.is_available() else f"PyTorch {torch.__version__} sees no CUDA GPU on this machine"


def _torch(place: str) -> Device:
    import array_api_compat.torch as xp
    import torch

    label = f"GPU {torch.cuda.get_device_name()}" if place == "cuda" else "PyTorch on the processor"
    return Device(
        "cuda" if place == "cuda" else "torch",
        label,
        xp,
        lambda array: xp.asarray(np.ascontiguousarray(array), device=place, copy=True),
        lambda array: array.cpu().numpy(),
    )


@contextmanager
def use_device(device: str | Device) -> Iterator[Device]:
    """Run the methods that are called inside the block on a device, as far as they can.

    Which methods can is their descriptor's ``on_device``; the others run on the processor as always.

    Parameters
    ----------
    device : str or Device
        Name for :func:`find_device`, or a device.

    Yields
    ------
    Device
        The device in use.

    Raises
    ------
    ToolMissingError
        If the device cannot be used.
    QsmAppError
        If the memory of the device does not suffice.

    Examples
    --------
    >>> from bids_app import qsm
    >>> with qsm.use_device("auto") as device:
    ...     device.name in ("cpu", "cuda")
    True
    """
    chosen = find_device(device) if isinstance(device, str) else device
    token = _current.set(chosen)
    try:
        yield chosen
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":
            raise
        raise QsmAppError(f"the memory of the {chosen.label} does not suffice: choose device cpu") from error
    finally:
        _current.reset(token)


def current_device() -> Device:
    """Return the device of :func:`use_device`; the processor outside of it."""
    return _current.get()


def to_device(array: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    """Return a copy of a numpy array on the current device; on the processor the array itself."""
    taken: npt.NDArray[Scalar] = current_device().take(array)
    return taken


def to_host(array: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    """Return a copy of a device's array as numpy's; a numpy array itself."""
    given: npt.NDArray[Scalar] = array if is_host(array) else current_device().give(array)
    return given


def is_host(array: object) -> bool:
    """Return whether an array is numpy's, for which there are compiled kernels."""
    return isinstance(array, np.ndarray)


def namespace(array: object) -> Any:
    """Return the functions for an array: numpy, or the array API standard's of the current device."""
    return np if is_host(array) else current_device().xp


def copy_of(array: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    """Return a copy of an array where it is."""
    copied: npt.NDArray[Scalar] = namespace(array).asarray(array, copy=True)
    return copied
