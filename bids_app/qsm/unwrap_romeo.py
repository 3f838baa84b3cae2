"""ROMEO: path-based phase unwrapping guided by phase and magnitude quality."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit, prange

from bids_app.qsm.geometry import BoolArray, FloatArray, Grid
from bids_app.qsm.params import Params, param

_TWO_PI = np.float32(2 * np.pi)


@dataclass(frozen=True)
class RomeoParams(Params):
    """Parameters of ROMEO."""

    template_echo: int = param(1, low=1, high=100, doc="Echo (from 1) that is unwrapped in space")
    magnitude_weight: bool = param(True, doc="Use the magnitude in the edge weights, where there is one")


@njit(cache=True, nogil=True, inline="always")
def _wrap(x: Any) -> Any:
    return x - _TWO_PI * np.float32(np.rint(x / _TWO_PI))


@njit(cache=True, nogil=True, parallel=True)
def _edge_weights(phase, second, ratio, magnitude, largest, mask, use_second, use_magnitude, out):  # type: ignore[no-untyped-def]
    """Edge weights as costs, 1 (best) to 255 (worst), 0 where there is no edge; ``out`` is [3, x, y, z]."""
    shape = phase.shape
    for i in prange(shape[0]):
        for j in range(shape[1]):
            for k in range(shape[2]):
                for d in range(3):
                    out[d, i, j, k] = 0
                    a, b, c = i + (d == 0), j + (d == 1), k + (d == 2)
                    if a >= shape[0] or b >= shape[1] or c >= shape[2] or not mask[i, j, k] or not mask[a, b, c]:
                        continue
                    step = _wrap(phase[a, b, c] - phase[i, j, k])
                    weight = np.float32(0.1) + np.float32(0.9) * (1 - abs(step) / np.float32(np.pi))
                    if use_second:
                        other = _wrap(second[a, b, c] - second[i, j, k])
                        w = max(np.float32(0), 1 - abs(step * ratio - other))
                        weight *= np.float32(0.1) + np.float32(0.9) * w
                    # Linearity along the edge: second differences on both sides, where the grid goes on.
                    i0, j0, k0 = i - (d == 0), j - (d == 1), k - (d == 2)
                    a1, b1, c1 = a + (d == 0), b + (d == 1), c + (d == 2)
                    if i0 >= 0 and j0 >= 0 and k0 >= 0 and a1 < shape[0] and b1 < shape[1] and c1 < shape[2]:
                        left = abs(_wrap(phase[a, b, c] - 2 * phase[i, j, k] + phase[i0, j0, k0]))
                        right = abs(_wrap(phase[a1, b1, c1] - 2 * phase[a, b, c] + phase[i, j, k]))
                        w = max(np.float32(0), 1 - left / 2) * max(np.float32(0), 1 - right / 2)
                        weight *= np.float32(0.1) + np.float32(0.9) * w
                    if use_magnitude:
                        m, n = magnitude[i, j, k], magnitude[a, b, c]
                        low, high = min(m, n), max(m, n)
                        w = (low / high) ** 2 if high > 0 else np.float32(0)
                        weight *= np.float32(0.1) + np.float32(0.9) * w
                        # A voxel near the noise floor is no good bridge.
                        w = min(np.float32(1), 2 * low / largest)
                        weight *= np.float32(0.1) + np.float32(0.9) * w
                    out[d, i, j, k] = np.uint8(1 + np.rint((1 - weight) * 254))


@njit(cache=True, nogil=True)
def _grow(phase, mask, costs):  # type: ignore[no-untyped-def]  # noqa: C901
    """Minimum-spanning-tree growth with a bucket queue; ``phase`` (flat) is unwrapped in place.

    Buckets are linked lists through ``following``, one entry an edge; every connected part of the mask is seeded at
    the voxel with its best edge.
    """
    nx, ny, nz = costs.shape[1:]
    total = nx * ny * nz
    strides = (ny * nz, nz, 1)
    flat = costs.reshape(3 * total)
    visited = np.zeros(total, np.bool_)
    heads = np.full(256, -1, np.int32)
    following = np.full(3 * total, -1, np.int32)
    # Seeds by quality: counting sort would cost memory, so the thresholds are walked from good to bad.
    for limit in (2, 8, 32, 128, 256):
        for seed in range(total):
            if visited[seed] or not mask[seed]:
                continue
            best = 256
            for d in range(3):
                cost = flat[d * total + seed]
                if 0 < cost < best:
                    best = cost
            if best > limit or (best == 256 and limit < 256):
                continue
            visited[seed] = True
            current = seed
            lowest = 256
            while True:
                x, y, z = current // strides[0], (current // nz) % ny, current % nz
                for d in range(3):
                    p = (x, y, z)[d]
                    for side in range(2):
                        if side == 0:
                            if p + 1 >= (nx, ny, nz)[d]:
                                continue
                            neighbour, edge = current + strides[d], d * total + current
                        else:
                            if p == 0:
                                continue
                            neighbour, edge = current - strides[d], d * total + current - strides[d]
                        cost = flat[edge]
                        if cost == 0 or visited[neighbour]:
                            continue
                        following[edge] = heads[cost]
                        heads[cost] = edge
                        lowest = min(lowest, cost)
                found = False
                while lowest < 256 and not found:
                    edge = heads[lowest]
                    if edge < 0:
                        lowest += 1
                        continue
                    heads[lowest] = following[edge]
                    d, first = edge // total, edge % total
                    last = first + strides[d]
                    if visited[first] and visited[last]:
                        continue
                    if visited[first]:
                        old, new = first, last
                    else:
                        old, new = last, first
                    phase[new] -= _TWO_PI * np.float32(np.rint((phase[new] - phase[old]) / _TWO_PI))
                    visited[new] = True
                    current = new
                    found = True
                if not found:
                    break


@njit(cache=True, nogil=True, parallel=True)
def _mean_quality(costs, mask, out):  # type: ignore[no-untyped-def]
    nx, ny, nz = out.shape
    for i in prange(nx):
        for j in range(ny):
            for k in range(nz):
                total = np.float32(0)
                if mask[i, j, k]:
                    for d in range(3):
                        here = costs[d, i, j, k]
                        total += np.float32(256 - here) if here > 0 else np.float32(0)
                        a, b, c = i - (d == 0), j - (d == 1), k - (d == 2)
                        if a >= 0 and b >= 0 and c >= 0:
                            there = costs[d, a, b, c]
                            total += np.float32(256 - there) if there > 0 else np.float32(0)
                out[i, j, k] = total / np.float32(6 * 255)


def _costs(
    phase: FloatArray,
    mask: BoolArray,
    magnitude: FloatArray | None,
    echo_times: Sequence[float] | None,
    params: RomeoParams,
) -> Any:
    """Return the edge costs of the template echo of 4D data."""
    template = min(params.template_echo, phase.shape[0]) - 1
    second = template + 1 if template + 1 < phase.shape[0] else template - 1
    use_second = phase.shape[0] > 1 and echo_times is not None
    ratio = np.float32(echo_times[second] / echo_times[template]) if use_second and echo_times else np.float32(1)
    use_magnitude = magnitude is not None and params.magnitude_weight
    mag = np.ascontiguousarray(magnitude[template], np.float32) if magnitude is not None else phase[template]
    # The median of the object is robust against bright vessels, which the maximum is not.
    signal = mag[mask & (mag > 0)] if magnitude is not None else np.ones(1, np.float32)
    largest = np.float32(max(float(np.median(signal)), 1e-20)) if signal.size else np.float32(1)
    costs = np.empty((3, *phase.shape[1:]), np.uint8)
    _edge_weights(
        phase[template], phase[second], ratio, mag, largest, mask, use_second, use_magnitude, costs
    )  # fmt: skip
    return costs


def _prepare(
    phase: FloatArray, mask: BoolArray | None, magnitude: FloatArray | None
) -> tuple[FloatArray, BoolArray, FloatArray | None]:
    if phase.ndim not in (3, 4):
        raise ValueError(f"phase must be [x, y, z] or [echo, x, y, z], got shape {phase.shape}")
    data = np.array(phase if phase.ndim == 4 else phase[None], dtype=np.float32, order="C")
    finite = np.isfinite(data)
    valid: BoolArray = np.logical_and.reduce(finite, axis=0)
    data[~finite] = 0
    inside = valid if mask is None else np.ascontiguousarray(mask & valid)
    if magnitude is not None:
        magnitude = np.nan_to_num(magnitude if magnitude.ndim == 4 else magnitude[None]).astype(np.float32, copy=False)
        if magnitude.shape != data.shape:
            raise ValueError(f"magnitude has shape {magnitude.shape}, phase {data.shape}")
    return data, inside, magnitude


def romeo(
    phase: FloatArray,
    mask: BoolArray | None = None,
    grid: Grid | None = None,
    *,
    magnitude: FloatArray | None = None,
    echo_times: Sequence[float] | None = None,
    params: RomeoParams = RomeoParams(),
    progress: Callable[[int, int], None] | None = None,
) -> FloatArray:
    """Unwrap phase along the most reliable paths.

    The template echo is unwrapped in space; every other echo takes, voxel by voxel, the number of turns that brings
    it nearest to the unwrapped echo beside it scaled by the echo times, so that all echoes agree.

    Parameters
    ----------
    phase : float32, ``[x, y, z]`` or ``[echo, x, y, z]``
        Wrapped phase in rad.
    mask : bool, ``[x, y, z]``, optional
        Voxels to unwrap; the others are 0 in the result. Each connected part is unwrapped by itself.
    grid : Grid, optional
        Not used; the argument is there so that all unwrapping methods are called alike.
    magnitude : float32, like ``phase``, optional
        Magnitude of the echoes.
    echo_times : sequence of float, optional
        Echo times in s; needed for 4D data.

    Raises
    ------
    ValueError
        If shapes differ, or 4D data comes without its echo times.

    References
    ----------
    Dymerska et al. 2021, 10.1002/mrm.28563.
    """
    data, mask, magnitude = _prepare(phase, mask, magnitude)
    count = data.shape[0]
    if count > 1 and (echo_times is None or len(echo_times) != count):
        raise ValueError(f"{count} echoes need {count} echo times")
    template = min(params.template_echo, count) - 1
    costs = _costs(data, mask, magnitude, echo_times, params)
    data[:, ~mask] = 0
    _grow(data[template].reshape(-1), mask.reshape(-1), costs)
    if mask.any():
        middle = np.float32(np.median(data[template][mask]))
        data[template][mask] -= _TWO_PI * np.rint(middle / _TWO_PI)
    if progress is not None:
        progress(1, count)
    order = [*range(template + 1, count), *range(template - 1, -1, -1)]
    for done, echo in enumerate(order, start=2):
        source = echo - 1 if echo > template else echo + 1
        assert echo_times is not None
        expected = data[source] * np.float32(echo_times[echo] / echo_times[source])
        data[echo] -= _TWO_PI * np.rint((data[echo] - expected) / _TWO_PI)
        if progress is not None:
            progress(done, count)
    return data if phase.ndim == 4 else data[0]


def romeo_quality(
    phase: FloatArray,
    mask: BoolArray | None = None,
    grid: Grid | None = None,
    *,
    magnitude: FloatArray | None = None,
    echo_times: Sequence[float] | None = None,
    params: RomeoParams = RomeoParams(),
) -> FloatArray:
    """Voxel quality, 0 to 1: the mean of the weights of a voxel's six edges. Arguments as :func:`romeo`."""
    data, mask, magnitude = _prepare(phase, mask, magnitude)
    out = np.empty(data.shape[1:], np.float32)
    _mean_quality(_costs(data, mask, magnitude, echo_times, params), mask, out)
    return out
