"""What the functions of the pipeline share: checks of their arguments, methods' parameters, and counted iterations."""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

import numpy as np

from bids_app.qsm.arrays import FloatArray, NumericArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.params import Params, nearest
from bids_app.qsm.signatures import Progress
from bids_app.qsm.units import check_echo_times

P = TypeVar("P", bound=Params)
M = TypeVar("M")
#: Parameters of methods by the method's name; a method that is not in it has its defaults.
Parameters = Mapping[str, Params]


class Volumes(Protocol):
    """Images of the echoes, one for each index: an array with echoes first, or what reads one when it is asked for."""

    def __getitem__(self, place: int, /) -> FloatArray:
        """Return the image of one echo."""
        ...


def parameters_of(method: str, default: P, parameters: Parameters) -> P:
    """Return the parameters of a method, ``default`` where there are none.

    Raises
    ------
    TypeError
        If the parameters are those of another method.
    """
    given = parameters.get(method, default)
    if not isinstance(given, type(default)):
        raise TypeError(f"{method} takes {type(default).__name__}, got {type(given).__name__}")
    return given


def registered(kind: str, name: str, registry: Mapping[str, M]) -> M:
    """Return a method by its name.

    Raises
    ------
    ValueError
        If there is none of this name.
    """
    if name not in registry:
        raise ValueError(f"there is no {kind} {name!r}: {nearest(name, list(registry))}")
    return registry[name]


def check_echoes(
    phase: FloatArray, magnitude: FloatArray | None, echo_times: Sequence[float], grid: Grid
) -> tuple[FloatArray, FloatArray | None]:
    """Return phase and magnitude as float32 with echoes first.

    Raises
    ------
    ValueError
        If a shape does not agree with the grid or the number of echo times, or these are not in s.
    """
    check_echo_times(echo_times)
    phase = _echoes_first("phase", phase, echo_times, grid)
    return phase, None if magnitude is None else _echoes_first("magnitude", magnitude, echo_times, grid)


def _echoes_first(name: str, data: FloatArray, echo_times: Sequence[float], grid: Grid) -> FloatArray:
    echoes = np.asarray(data, np.float32)
    if echoes.ndim == 3:
        echoes = echoes[None]
    if echoes.shape != (len(echo_times), *grid.shape):
        raise ValueError(
            f"{name} has shape {np.shape(data)}; for {len(echo_times)} echo times on this grid it must be "
            f"{(len(echo_times), *grid.shape)} (echoes first)"
        )
    return echoes


def check_volume(name: str, data: NumericArray, grid: Grid) -> None:
    """Raise ValueError unless an image has the shape of the grid."""
    if np.shape(data) != grid.shape:
        raise ValueError(f"{name} has shape {np.shape(data)}, the grid {grid.shape}")


class Iterations:
    """Passes progress on and keeps the iterations of each call of a solver.

    Methods whose parameters have no ``iterations`` count something else (V-SHARP its radii) and have none.
    """

    def __init__(self, progress: Progress | None, iterates: bool) -> None:
        self._progress, self._iterates = progress, iterates
        self._done: list[int] = []

    def start(self) -> Progress:
        """Return the callback of a solver that starts now."""
        self._done.append(0)
        return self._count

    def _count(self, done: int, total: int) -> None:
        self._done[-1] = done
        if self._progress is not None:
            self._progress(done, total)

    @property
    def most(self) -> int | None:
        """The most iterations of any call, None where the method does not iterate."""
        return max(self._done) if self._iterates and self._done else None
