"""Dural sinuses, deep, cortical and medullary veins as tortuous tubes in template space."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bids_app.phantom.template import BRAIN, Head

FloatArray = npt.NDArray[np.float32]

#: (x, y, z, radius) in template mm; a line with x != 0 is there on both sides.
_MIDLINE: tuple[tuple[tuple[float, float, float, float], ...], ...] = (
    (
        (0, 68, 12, 2.0),
        (0, 56, 46, 2.4),
        (0, 24, 74, 2.8),
        (0, -18, 84, 3.0),
        (0, -62, 74, 3.2),
        (0, -94, 42, 3.5),
        (0, -106, 8, 3.5),
        (0, -100, -20, 3.5),
    ),  # superior sagittal sinus
    ((0, -41, 4, 1.8), (0, -47, 3, 2.0), (0, -60, -6, 2.2), (0, -85, -22, 2.4), (0, -99, -22, 2.6)),  # straight sinus
)
_PAIRED: tuple[tuple[tuple[float, float, float, float], ...], ...] = (
    ((2.0, -3, 8, 0.8), (1.8, -10, 13, 1.0), (1.8, -22, 14, 1.1), (1.8, -33, 9, 1.3), (0.5, -41, 4, 1.6)),  # internal
    ((2.5, -3, 9, 0.7), (8, 2, 14, 0.75), (13, -3, 19, 0.7), (17, -14, 22, 0.6), (20, -24, 22, 0.5)),  # thalamostriate
    ((3.5, 22, 8, 0.5), (2.5, 10, 9, 0.6), (2.2, -2, 9, 0.7)),  # septal
    ((14, -3, -16, 0.7), (18, -13, -13, 0.9), (17, -24, -8, 1.0), (10, -34, -2, 1.1), (1, -41, 3, 1.3)),  # basal
    ((2, -100, -22, 3.0), (34, -90, -30, 3.2), (58, -62, -38, 3.2), (56, -42, -50, 3.0)),  # transverse, sigmoid
)


def vein_distance(random: np.random.Generator, head: Head) -> FloatArray:
    """Signed distance (mm) to the nearest vein on the grid of the brain stack, at most 3."""
    stack = head.brain
    distance = np.full(stack.data.shape[:3], 3, np.float32)
    for line in _MIDLINE:
        _paint(distance, stack.origin, _tortuous(random, line, 0.5))
    for line in _PAIRED:
        for side in (1.0, -1.0):
            nodes = np.asarray(line, float) * [side, 1, 1, 1]
            _paint(distance, stack.origin, _tortuous(random, nodes, 0.8))
    for nodes in _cortical(random, stack.data[..., BRAIN], stack.origin):
        _paint(distance, stack.origin, nodes)
    for nodes in _medullary(random):
        _paint(distance, stack.origin, nodes)
    return distance


def _tortuous(
    random: np.random.Generator, line: Sequence[Sequence[float]] | npt.NDArray[np.float64], amplitude: float
) -> npt.NDArray[np.float64]:
    """Return points every half millimetre along a smooth line that wanders by some mm."""
    nodes = np.asarray(line, float)
    lengths = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(nodes[:, :3], axis=0), axis=1))])
    at = np.arange(0, lengths[-1], 0.5)
    points = np.stack([np.interp(at, lengths, nodes[:, a]) for a in range(4)], axis=1)
    # Bends where the nodes are become curves.
    kernel = np.hanning(15) / np.hanning(15).sum()
    padded = np.pad(points, ((7, 7), (0, 0)), mode="edge")
    points = np.stack([np.convolve(padded[:, a], kernel, "valid") for a in range(4)], axis=1)
    wave = np.zeros((len(at), 3))
    for period in (9.0, 17.0, 31.0):
        phase = random.uniform(0, 2 * np.pi, 3)
        wave += random.normal(0, 1, 3) * np.sin(2 * np.pi * at[:, None] / period + phase)
    taper = np.minimum(1, np.minimum(at, lengths[-1] - at) / 6)[:, None]
    points[:, :3] += amplitude * 0.6 * wave * taper
    return points


def _cortical(
    random: np.random.Generator, brain: FloatArray, origin: npt.NDArray[np.float64]
) -> list[npt.NDArray[np.float64]]:
    """Veins that run over the surface from the sagittal sinus down to the sides, some dipping into sulci."""
    gradient = np.stack(np.gradient(brain), axis=-1)
    lines = []
    for number in range(56):
        side = 1.0 if number % 2 else -1.0
        angle = random.uniform(-0.35, 1.15)  # from the forehead over the vertex to the occiput
        point = np.array([side * random.uniform(4, 22), 55 - 115 * (angle + 0.35) / 1.5, 100.0])
        heading = np.array([side, random.normal(0, 0.6), -0.4])
        level = random.uniform(-2.0, 0.5)
        radius = random.uniform(0.6, 1.25)
        point[2] = _surface(brain, origin, point)
        points = []
        for step in range(int(random.integers(60, 170))):
            index = np.clip(np.rint(point - origin).astype(int), 1, np.array(brain.shape) - 2)
            normal = gradient[tuple(index)]
            normal = normal / (np.linalg.norm(normal) + 1e-6)
            heading += random.normal(0, 0.13, 3)
            heading -= normal * (heading @ normal)
            heading /= np.linalg.norm(heading) + 1e-6
            point = point + 0.5 * heading - 0.5 * normal * np.clip(brain[tuple(index)] - level, -1, 1)
            points.append([*point, max(radius * (1 - step / 260), 0.45)])
        lines.append(np.asarray(points))
    return lines


def _surface(brain: FloatArray, origin: npt.NDArray[np.float64], point: npt.NDArray[np.float64]) -> float:
    """Return the height (mm) of the brain's surface above a point."""
    i, j = np.clip(np.rint(point[:2] - origin[:2]).astype(int), 0, np.array(brain.shape[:2]) - 1)
    inside = np.flatnonzero(brain[i, j] < 0)
    return float(inside[-1] + origin[2]) if inside.size else 60.0


def _medullary(random: np.random.Generator) -> list[npt.NDArray[np.float64]]:
    """Thin veins of the white matter that converge on the lateral ventricles."""
    lines = []
    for number in range(48):
        side = 1.0 if number % 2 else -1.0
        y = random.uniform(-38, 24)
        start = np.array([side * (14 + 0.15 * abs(y) + random.uniform(0, 3)), y, 22 - 0.006 * y * y, 0.5])
        outward = np.array([side * random.uniform(0.5, 1.2), random.normal(0, 0.25), random.uniform(0.4, 1.2)])
        outward /= np.linalg.norm(outward)
        end = np.append(start[:3] + outward * random.uniform(8, 18), 0.35)
        lines.append(_tortuous(random, np.stack([start, end]), 0.5))
    return lines


def _paint(distance: FloatArray, origin: npt.NDArray[np.float64], points: npt.NDArray[np.float64]) -> None:
    """Lower the distance around every point of a line."""
    for x, y, z, radius in points:
        reach = int(np.ceil(radius + 3))
        centre = np.array([x, y, z]) - origin
        first = np.maximum(np.floor(centre).astype(int) - reach, 0)
        last = np.minimum(np.floor(centre).astype(int) + reach + 2, distance.shape)
        if (first >= last).any():
            continue
        axes = [np.arange(f, e) - c for f, e, c in zip(first, last, centre, strict=True)]
        squared = axes[0][:, None, None] ** 2 + axes[1][:, None] ** 2 + axes[2] ** 2
        part = distance[tuple(slice(f, e) for f, e in zip(first, last, strict=True))]
        np.minimum(part, (np.sqrt(squared) - radius).astype(np.float32), out=part)
