"""Bipolar readouts: even echoes, read in the opposite direction, have a phase of their own."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import prange

from bids_app.qsm.arrays import BoolArray, FloatArray, as_mask
from bids_app.qsm.grid import Grid
from bids_app.qsm.kernels import jit
from bids_app.qsm.method import Method, Offsets
from bids_app.qsm.params import param
from bids_app.qsm.phase.offsets import OffsetParams, between_echoes, check_echoes, remove_offset
from bids_app.qsm.phase.scaling import wrap
from bids_app.qsm.results import OffsetResult

#: Edge of the blocks over which the signal is averaged before the plane is fitted, in voxels.
_BLOCK = 4


@dataclass(frozen=True)
class BipolarParams(OffsetParams):
    """Parameters of the bipolar correction (and of the offset removal that follows it)."""

    ramp: float = param(
        0.5,
        low=0.0,
        high=10.0,
        unit="rad",
        doc="Phase of even against odd echoes, from end to end of the object, that means a bipolar readout",
    )


@dataclass(frozen=True)
class EvenEchoes:
    """What the even echoes have beyond the odd ones: ``constant + slope . (voxel - centre)`` in rad."""

    constant: float
    slope: tuple[float, float, float]
    #: Its change from one end of the object to the other along the steepest axis, in rad.
    across: float
    axis: int
    #: Share of the signal (0 to 1) that the plane explains.
    coherence: float

    def plane(self, shape: tuple[int, ...]) -> FloatArray:
        """Return the phase of every voxel in rad."""
        lines = [
            (slope * (np.arange(n) - (n - 1) / 2)).reshape([-1 if a == axis else 1 for a in range(3)])
            for axis, (slope, n) in enumerate(zip(self.slope, shape, strict=True))
        ]
        return (lines[0] + lines[1] + lines[2] + self.constant).astype(np.float32)


@jit(parallel=True)
def _block_sums(first, second, third, factors, strength, mask, out):  # type: ignore[no-untyped-def]
    """Sum strength^2 exp(i (factors . phases)) over blocks; ``out`` is complex128."""
    for a in prange(out.shape[0]):
        for b in range(out.shape[1]):
            for c in range(out.shape[2]):
                real = imag = 0.0
                for i in range(a * _BLOCK, (a + 1) * _BLOCK):
                    for j in range(b * _BLOCK, (b + 1) * _BLOCK):
                        for k in range(c * _BLOCK, (c + 1) * _BLOCK):
                            if mask[i, j, k]:
                                angle = factors[0] * first[i, j, k] + factors[1] * second[i, j, k]
                                angle += factors[2] * third[i, j, k]
                                weight = strength[i, j, k] ** 2
                                real += weight * np.cos(angle)
                                imag += weight * np.sin(angle)
                out[a, b, c] = complex(real, imag)


def _ramp(signal: npt.NDArray[np.complexfloating], axis: int) -> float:
    """Phase from one block to the next along an axis, from the correlation of neighbours."""
    part = np.moveaxis(signal, axis, 0)
    return float(np.angle(np.vdot(part[:-1], part[1:]))) if part.shape[0] > 1 else 0.0


def polarity_of(numbers: Sequence[int]) -> tuple[bool, ...]:
    """Return for each echo whether it is read in the direction opposite to the first one, by its number in the train.

    Examples
    --------
    >>> polarity_of((1, 2, 4))
    (False, True, True)
    """
    return tuple(bool((number - numbers[0]) % 2) for number in numbers)


def _compared(polarity: Sequence[bool]) -> tuple[int, int, int]:
    """Return two echoes of one polarity and, in the middle, one of the other, between them where there is one."""
    n = range(len(polarity))
    triples = [
        (first, other, last)
        for first in n
        for last in n
        for other in n
        if first < last and polarity[first] == polarity[last] != polarity[other]
    ]
    if not triples:
        raise ValueError("all echoes have the same readout polarity: nothing distinguishes it from the field")
    return min(triples, key=lambda triple: (not triple[0] < triple[1] < triple[2], max(triple), triple))


def even_echo_phase(
    phase: FloatArray,
    magnitude: FloatArray | None,
    echo_times: Sequence[float],
    mask: BoolArray | None,
    grid: Grid,
    polarity: Sequence[bool] | None = None,
) -> EvenEchoes:
    """Estimate the constant and linear phase that the even echoes have beyond the odd ones.

    phi1 + phi3 - k phi2 with k = (TE1 + TE3) / TE2 does not hold the field. With equal spacing it is taken from the
    wrapped phases (k = 2 but for the offset, which cancels); otherwise the second echo is compared with the one that
    is interpolated between the first and the third, whose difference is unwrapped. A plane is fitted to it, weighted
    by the magnitudes. Arguments as :func:`~bids_app.qsm.phase.mcpc3ds.mcpc3ds`; three echoes are needed. Where echoes
    are left out, ``polarity`` says which of the others have the opposite readout: then two echoes of one polarity are
    compared with one of the other.
    """
    check_echoes(phase, echo_times, 3)
    polarity = polarity_of(range(len(echo_times))) if polarity is None else polarity
    first, other, last = _compared(polarity)
    share = (echo_times[other] - echo_times[first]) / (echo_times[last] - echo_times[first])
    if abs(share - 0.5) < 0.005:
        inside: BoolArray = np.isfinite(phase[first]) & np.isfinite(phase[other]) & np.isfinite(phase[last])
        if mask is not None:
            inside &= mask
        strength = inside.astype(np.float32) if magnitude is None else np.nan_to_num(magnitude[other])
        third, factors, times = phase[last], (-1.0, 2.0, -1.0), 2
    else:
        third, strength, inside = between_echoes(phase, magnitude, (first, last), mask, grid)
        inside = inside & np.isfinite(phase[other])
        factors, times = (-1.0, 1.0, -share), 1
    blocks = np.zeros([max(n // _BLOCK, 0) for n in inside.shape], np.complex128)
    arrays = [np.ascontiguousarray(a, np.float32) for a in (phase[first], phase[other], third)]
    _block_sums(*arrays, factors, np.ascontiguousarray(strength, np.float32), inside, blocks)
    total = float(np.abs(blocks).sum())
    if total == 0:
        return EvenEchoes(0.0, (0.0, 0.0, 0.0), 0.0, 0, 0.0)
    slopes = [0.0, 0.0, 0.0]
    for _ in range(2):
        for axis, n in enumerate(blocks.shape):
            rest = _ramp(blocks, axis)
            slopes[axis] += rest
            line = np.exp(-1j * rest * (np.arange(n) - (n - 1) / 2))
            blocks = blocks * line.reshape([-1 if a == axis else 1 for a in range(3)])
    mean = blocks.sum()
    # Known up to pi, or a share of the multiples of 2 pi of the third echo against the first: the smallest is taken.
    constant = float(np.angle(mean)) / times
    slope = [s / _BLOCK / times for s in slopes]
    if not polarity[other]:  # what was compared is the echo of the first one's polarity
        constant, slope = -constant, [-s for s in slope]
    # The blocks cover whole multiples of their edge from voxel 0 on: their centre is not the volume's.
    for axis, n in enumerate(blocks.shape):
        constant += slope[axis] * ((inside.shape[axis] - 1) / 2 - (n * _BLOCK - 1) / 2)
    occupied = [np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    across = [abs(s) * float(np.ptp(o)) for s, o in zip(slope, occupied, strict=True)]
    axis = int(np.argmax(across))
    return EvenEchoes(constant, (slope[0], slope[1], slope[2]), across[axis], axis, float(abs(mean)) / total)


def is_bipolar(even: EvenEchoes, params: BipolarParams = BipolarParams()) -> bool:
    """Whether the phase of the even echoes shows a bipolar readout: a ramp along one axis that explains the data."""
    return even.across > params.ramp and even.coherence > 0.5


def bipolar(
    phase: FloatArray,
    magnitude: FloatArray | None,
    echo_times: Sequence[float],
    mask: BoolArray | None,
    grid: Grid,
    *,
    params: BipolarParams = BipolarParams(),
    even: EvenEchoes | None = None,
    polarity: Sequence[bool] | None = None,
) -> OffsetResult:
    """Remove the even echoes' own phase of a bipolar readout, then the phase offset by MCPC-3D-S.

    Even echoes are read in the other direction and have a phase of their own, mostly a ramp along the readout.

    Parameters
    ----------
    phase : float32, ``[echo, x, y, z]``
        Wrapped phase in rad, at least three echoes.
    magnitude : float32, like ``phase``, optional
        Weights of the smoothing and of the unwrapping.
    echo_times : sequence of float
        Echo times in s, ascending.
    mask : bool, ``[x, y, z]``, optional
        Where the offset is estimated; it is smoothly continued near it.
    grid : Grid
        Voxel size for the smoothing.
    params : BipolarParams
        Smoothing in mm, and the model of the even echoes' phase.
    even : EvenEchoes, optional
        Phase of the even echoes, from :func:`even_echo_phase` of the same data; estimated without it.
    polarity : sequence of bool, optional
        Whether each echo is read in the direction opposite to the first one; without it, every second echo is.

    Returns
    -------
    OffsetResult
        Phase without both, wrapped, and the offset, in rad.

    Raises
    ------
    ValueError
        For fewer than three echoes, echo times that do not ascend, or echoes that all have the same polarity.

    References
    ----------
    Eckstein et al. 2018, 10.1002/mrm.26963.
    """
    polarity = polarity_of(range(len(echo_times))) if polarity is None else polarity
    mask = None if mask is None else as_mask(mask)
    if even is None:
        even = even_echo_phase(phase, magnitude, echo_times, mask, grid, polarity)
    plane = even.plane(phase.shape[1:])
    corrected = np.empty(phase.shape, np.float32)
    for echo, out in enumerate(corrected):
        out[...] = wrap(phase[echo] - plane) if polarity[echo] else phase[echo]
    return remove_offset(corrected, magnitude, echo_times, mask, grid, params.sigma)


BIPOLAR: Offsets[BipolarParams] = Method(
    name="bipolar",
    kind="offsets",
    label="Bipolar correction",
    function=bipolar,
    params=BipolarParams,
    sentence=(
        "The phase difference between readouts of opposite polarity was estimated and removed "
        "[eckstein2018]{parameters}."
    ),
    uses=frozenset({"magnitude"}),
    min_echoes=3,
)
