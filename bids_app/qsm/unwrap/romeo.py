"""ROMEO: path-based phase unwrapping guided by phase and magnitude quality."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_app.qsm.arrays import BoolArray, FloatArray, NumericArray
from bids_app.qsm.grid import Grid, bounding_box
from bids_app.qsm.kernels import romeo as kernels
from bids_app.qsm.method import Method, Unwrap
from bids_app.qsm.params import Params, param
from bids_app.qsm.signatures import Progress


@dataclass(frozen=True)
class RomeoParams(Params):
    """Parameters of ROMEO."""

    template_echo: int = param(1, low=1, high=100, doc="Echo (from 1) that is unwrapped in space")
    magnitude_weight: bool = param(True, doc="Use the magnitude in the edge weights, where there is one")


@dataclass(frozen=True)
class _Problem:
    """The data within the box of the mask."""

    shape: tuple[int, int, int]  # of the whole volume
    box: tuple[slice, slice, slice]
    phase: FloatArray  # [echo, x, y, z] of the box; the problem's own copy
    mask: npt.NDArray[np.uint8]
    template: int
    second: int  # the echo next to the template (meaningless for one echo)
    cells: npt.NDArray[np.uint32]  # see romeo_kernels
    strength: FloatArray  # by whose square voxels count where multiples of 2 pi are chosen

    def put(self, inner: FloatArray) -> FloatArray:
        """Return a whole volume (or echoes of it) with the box's values in place, zero elsewhere."""
        if inner.shape[-3:] == self.shape:
            return inner
        out = np.zeros((*inner.shape[:-3], *self.shape), np.float32)
        out[(..., *self.box)] = inner
        return out


def _take(volume: NumericArray, box: tuple[slice, slice, slice], mask: npt.NDArray[np.uint8]) -> FloatArray:
    out = np.empty(mask.shape, np.float32)
    kernels.take(volume, tuple(s.start for s in box), out, mask)
    return out


def _problem(
    phase: FloatArray,
    mask: BoolArray | None,
    magnitude: FloatArray | None,
    echo_times: Sequence[float] | None,
    params: RomeoParams,
    every_echo: bool,
) -> _Problem:
    """Check the arguments, cut out the box of the mask and weigh its edges; ``every_echo``: copy all echoes."""
    if phase.ndim not in (3, 4):
        raise ValueError(f"phase must be [x, y, z] or [echo, x, y, z], got shape {phase.shape}")
    echoes = phase if phase.ndim == 4 else phase[None]
    count, shape = echoes.shape[0], echoes.shape[1:]
    if count > 1 and (echo_times is None or len(echo_times) != count):
        raise ValueError(f"{count} echoes need {count} echo times")
    if magnitude is not None:
        magnitude = magnitude if magnitude.ndim == 4 else magnitude[None]
        if magnitude.shape != echoes.shape:
            raise ValueError(f"magnitude has shape {magnitude.shape}, phase {echoes.shape}")
    if mask is not None and mask.shape != shape:
        raise ValueError(f"mask has shape {mask.shape}, phase {echoes.shape}")
    box = bounding_box(mask) if mask is not None else (slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2]))
    size = tuple(s.stop - s.start for s in box)
    inside = np.ones(size, np.uint8) if mask is None else mask[box].astype(np.uint8)
    template = min(params.template_echo, count) - 1
    second = template + 1 if template + 1 < count else template - 1
    needed = range(count) if every_echo else sorted({template, max(second, 0)})
    data = np.empty((len(needed), *size), np.float32)
    for place, echo in enumerate(needed):
        kernels.take(echoes[echo], tuple(s.start for s in box), data[place], inside)
    first = data[list(needed).index(template)]
    other = data[list(needed).index(second)] if count > 1 else first
    ratio = np.float32(echo_times[second] / echo_times[template]) if count > 1 and echo_times else np.float32(1)
    use_magnitude = magnitude is not None and params.magnitude_weight
    scale = np.float32(0)
    if magnitude is not None:
        strength = _take(magnitude[template], box, inside)
        scale = _signal_scale(strength, inside) if use_magnitude else scale
    else:  # air that was set to 0 has a phase of exactly 0 in every echo
        strength = np.asarray((first != 0) | (other != 0), np.float32)
    cells = np.zeros((size[0] + 2) * size[1] * size[2], np.uint32)
    kernels.edge_cells(first, other, ratio, strength, scale, inside, (count > 1, use_magnitude), cells)
    return _Problem(shape, box, data, inside, template, second, cells, strength)


def _signal_scale(magnitude: FloatArray, inside: npt.NDArray[np.uint8]) -> np.float32:
    """Two over the median signal of the object, which is robust against bright vessels as the maximum is not.

    A sample of all voxels is enough for a median.
    """
    stride = max(1, magnitude.size // 500_000)
    sample = magnitude.reshape(-1)[::stride][inside.reshape(-1)[::stride] > 0]
    if not sample.size:
        sample = magnitude[inside > 0]
    signal = sample[sample > 0]
    return np.float32(2 / max(float(np.median(signal)), 1e-20)) if signal.size else np.float32(1)


def _unwrap(
    problem: _Problem, echo_times: Sequence[float] | None, support: npt.NDArray[np.uint8], progress: Progress | None
) -> FloatArray:
    """Unwrap the problem's own copy of the phase, the template in space and the other echoes in time."""
    data, template = problem.phase, problem.template
    count = data.shape[0]
    inside = support.reshape(-1)
    first = data[template].reshape(-1)
    second = problem.second if count > 1 else template
    ratio = np.float32(echo_times[second] / echo_times[template]) if count > 1 and echo_times else np.float32(0)
    other, strength = data[second].reshape(-1), problem.strength.reshape(-1)
    kernels.grow(first, problem.cells, inside, inside_shape(support), other, ratio, strength)
    kernels.follow(first, first, np.float32(1), inside)  # nothing to turn; clears what is outside
    if progress is not None:
        progress(1, count)
    order = [*range(template + 1, count), *range(template - 1, -1, -1)]
    for done, echo in enumerate(order, start=2):
        source = echo - 1 if echo > template else echo + 1
        assert echo_times is not None
        ratio = np.float32(echo_times[echo] / echo_times[source])
        kernels.follow(data[echo].reshape(-1), data[source].reshape(-1), ratio, inside)
        if progress is not None:
            progress(done, count)
    return data


def inside_shape(mask: npt.NDArray[np.uint8]) -> tuple[int, int, int]:
    """Return the three sizes of a volume as plain integers, for the kernels."""
    return int(mask.shape[0]), int(mask.shape[1]), int(mask.shape[2])


def romeo(
    phase: FloatArray,
    mask: BoolArray | None = None,
    grid: Grid | None = None,
    *,
    magnitude: FloatArray | None = None,
    echo_times: Sequence[float] | None = None,
    params: RomeoParams = RomeoParams(),
    progress: Progress | None = None,
) -> FloatArray:
    """Unwrap phase along the most reliable paths.

    The template echo is unwrapped in space; every other echo takes, voxel by voxel, the multiple of 2 pi that brings
    it nearest to the unwrapped neighbouring echo scaled by the echo times, so that all echoes agree.

    Parameters
    ----------
    phase : float32, ``[x, y, z]`` or ``[echo, x, y, z]``
        Wrapped phase in rad.
    mask : bool, ``[x, y, z]``, optional
        Voxels to unwrap; the others are 0 in the result. Each connected part is unwrapped by itself and shifted by
        the multiple of 2 pi that brings its median nearest to zero, or with which the next echo agrees better.
    grid : Grid, optional
        Not used; the argument is there so that all unwrapping methods are called alike.
    magnitude : float32, like ``phase``, optional
        Magnitude of the echoes.
    echo_times : sequence of float, optional
        Echo times in s; needed for 4D data.
    params : RomeoParams
        Template echo and use of the magnitude.
    progress : callable, optional
        Called as ``progress(done, total)`` after each echo.

    Returns
    -------
    float32, like ``phase``
        Unwrapped phase in rad.

    Raises
    ------
    ValueError
        If shapes differ, or 4D data comes without its echo times.

    References
    ----------
    Dymerska et al. 2021, 10.1002/mrm.28563.

    Examples
    --------
    >>> import numpy as np
    >>> true = np.linspace(-6, 6, 20, dtype=np.float32)[:, None, None] * np.ones((20, 4, 4), np.float32)
    >>> unwrapped = romeo(np.angle(np.exp(1j * true)).astype(np.float32))
    >>> bool(np.allclose(np.diff(unwrapped, axis=0), np.diff(true, axis=0), atol=1e-4))
    True
    """
    problem = _problem(phase, mask, magnitude, echo_times, params, every_echo=True)
    unwrapped = problem.put(_unwrap(problem, echo_times, problem.mask, progress))
    return unwrapped if phase.ndim == 4 else unwrapped[0]


def romeo_quality(
    phase: FloatArray,
    mask: BoolArray | None = None,
    grid: Grid | None = None,
    *,
    magnitude: FloatArray | None = None,
    echo_times: Sequence[float] | None = None,
    params: RomeoParams = RomeoParams(),
) -> FloatArray:
    """Compute the quality of the phase in each voxel: the mean of the weights of its six edges.

    Parameters
    ----------
    phase : float32, ``[x, y, z]`` or ``[echo, x, y, z]``
        Wrapped phase in rad.
    mask : bool, ``[x, y, z]``, optional
        Voxels that count.
    grid : Grid, optional
        Not used; the argument is there so that all unwrapping functions are called alike.
    magnitude : float32, like ``phase``, optional
        Magnitude of the echoes.
    echo_times : sequence of float, optional
        Echo times in s; needed for 4D data.
    params : RomeoParams
        Template echo and use of the magnitude.

    Returns
    -------
    float32, ``[x, y, z]``
        Quality, 0 to 1.

    Raises
    ------
    ValueError
        If shapes differ, or 4D data comes without its echo times.

    References
    ----------
    Dymerska et al. 2021, 10.1002/mrm.28563.
    """
    problem = _problem(phase, mask, magnitude, echo_times, params, every_echo=False)
    return problem.put(_quality(problem))


def _quality(problem: _Problem) -> FloatArray:
    out = np.empty(problem.mask.shape, np.float32)
    kernels.mean_quality(problem.cells, inside_shape(problem.mask), out)
    return out


def romeo_and_quality(
    phase: FloatArray,
    support: Callable[[FloatArray], BoolArray],
    *,
    magnitude: FloatArray | None = None,
    echo_times: Sequence[float] | None = None,
    params: RomeoParams = RomeoParams(),
) -> tuple[FloatArray, FloatArray]:
    """Return unwrapped phase and quality; the edges are weighed once for both. Arguments as :func:`romeo`.

    ``support`` gets the quality of every voxel and returns the mask in which the phase is unwrapped: paths through
    noise are slow and lead nowhere.
    """
    problem = _problem(phase, None, magnitude, echo_times, params, every_echo=True)
    quality = _quality(problem)
    inside = support(quality) & (problem.mask > 0)
    unwrapped = _unwrap(problem, echo_times, inside.astype(np.uint8), None)
    return (unwrapped if phase.ndim == 4 else unwrapped[0]), quality


ROMEO: Unwrap[RomeoParams] = Method(
    name="romeo",
    kind="unwrap",
    label="ROMEO",
    function=romeo,
    params=RomeoParams,
    sentence="Phase was unwrapped by ROMEO [dymerska2021]{parameters}.",
    uses=frozenset({"magnitude"}),
)
