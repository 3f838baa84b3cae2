"""Analytic shapes in template space: deep grey nuclei, skull, scalp, air cavities.

All functions take sparse coordinates ``[x, y, z]`` (mm) and give signed distances (mm, negative inside); the shapes
follow the MNI152 T1 where it shows their borders, and textbook positions where it does not.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import ndimage

FloatArray = npt.NDArray[np.float32]

#: In the order of the channels and of the labels (right 2k+1, left 2k+2).
NUCLEI = ("caudate", "putamen", "pallidum", "thalamus", "red nucleus", "substantia nigra", "dentate nucleus")
CAUDATE, PUTAMEN, PALLIDUM, THALAMUS, RED, NIGRA, DENTATE, CALCIFICATION = range(8)

#: Centre line (x, y, z, radius) of the caudate: head, body along the lateral ventricle, tail.
_CAUDATE_LINE = (
    (9.5, 15, -3, 5.0),
    (11.5, 15, 4, 6.2),
    (13, 11, 10, 5.6),
    (14.5, 4, 16, 4.6),
    (16.5, -6, 20, 3.6),
    (19, -17, 22, 2.9),
    (23, -27, 21, 2.3),
    (28, -35, 14, 1.8),
)


def ellipsoid(
    xyz: Sequence[FloatArray], centre: Sequence[float], radii: Sequence[float], turn: Sequence[float] = (0.0, 0.0, 0.0)
) -> FloatArray:
    """Signed distance (first order) of an ellipsoid; ``turn`` is degrees about x, y, z, in this order."""
    local = [np.asarray(a, np.float32) - np.float32(c) for a, c in zip(xyz, centre, strict=True)]
    if any(turn):
        rotation = rotation_matrix(turn).astype(np.float32)
        # Rows of R^T: coordinates in the ellipsoid's own axes.
        local = [rotation[0, k] * local[0] + rotation[1, k] * local[1] + rotation[2, k] * local[2] for k in range(3)]
    scaled = np.sqrt(sum((a / np.float32(r)) ** 2 for a, r in zip(local, radii, strict=True)))
    slope = np.sqrt(sum((a / np.float32(r) ** 2) ** 2 for a, r in zip(local, radii, strict=True)))
    return np.asarray(scaled * (scaled - 1) / np.maximum(slope, 1e-6), np.float32)


def rotation_matrix(degrees: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Rotation about x, then y, then z."""
    a, b, c = np.radians(np.asarray(degrees, np.float64))
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    turned: npt.NDArray[np.float64] = about_z @ about_y @ about_x
    return turned


def tube(xyz: Sequence[FloatArray], line: Sequence[Sequence[float]]) -> FloatArray:
    """Signed distance of a chain of cones; a node is (x, y, z, radius)."""
    best: FloatArray | None = None
    nodes = np.asarray(line, np.float32)
    for a, b in pairwise(nodes):
        along = b[:3] - a[:3]
        t = sum((xyz[k] - a[k]) * along[k] for k in range(3)) / float(along @ along)
        t = np.clip(np.asarray(t, np.float32), 0, 1)
        squared = sum((xyz[k] - a[k] - t * along[k]) ** 2 for k in range(3))
        distance = np.sqrt(np.asarray(squared, np.float32)) - (a[3] + t * (b[3] - a[3]))
        best = distance if best is None else np.minimum(best, distance)
    assert best is not None
    return best


def nuclei(xyz: Sequence[FloatArray], t1: FloatArray, tissue: FloatArray) -> FloatArray:
    """Signed distances of the nuclei of both sides and of the calcification, channels last.

    ``t1`` is the template's intensity (0 to 1), ``tissue`` grey plus white fraction, on the grid of ``xyz``.
    """
    x, y, z = xyz
    side = [np.abs(x), y, z]
    # Borders by intensity, turned into mm by the slope that the template has at such borders.
    smooth = ndimage.gaussian_filter(t1, 0.6)
    fluid: FloatArray = ((0.5 - ndimage.gaussian_filter(tissue, 0.6)) * 4).astype(np.float32)
    out = np.empty((*t1.shape, 8), np.float32)

    def bright(threshold: float) -> FloatArray:
        return np.asarray(np.clip((smooth - np.float32(threshold)) * 30, -4, 4), np.float32)

    capsule = bright(0.795)
    out[..., CAUDATE] = _intersect(tube(side, _CAUDATE_LINE) - np.float32(1.2), capsule, fluid)
    putamen = ellipsoid(side, (25, 1, 2), (6.0, 17.5, 11.5), (0, 8, 17))
    out[..., PUTAMEN] = _intersect(putamen - np.float32(1.5), bright(0.785), fluid)
    pallidum = ellipsoid(side, (19.0, -5, -0.5), (5.0, 10.5, 6.8), (0, 12, 28))
    out[..., PALLIDUM] = _intersect(pallidum, -out[..., PUTAMEN], fluid)
    thalamus = np.minimum(
        ellipsoid(side, (11.5, -17, 7.5), (8.4, 15.0, 9.2), (0, 0, 22)),
        ellipsoid(side, (15.0, -27, 6), (7.0, 6.0, 6.5)),
    )
    out[..., THALAMUS] = _intersect(thalamus, bright(0.865), fluid)
    out[..., RED] = ellipsoid(side, (5.4, -20.5, -8.5), (3.6, 3.8, 4.7))
    nigra = ellipsoid(side, (10.8, -16.5, -12), (2.5, 7.2, 5.8), (-25, 0, 42))
    out[..., NIGRA] = _intersect(nigra, np.float32(0.8) - out[..., RED], fluid)
    out[..., DENTATE] = _dentate(side)
    # One in the pineal gland, one in the right frontal white matter.
    pineal = ellipsoid(xyz, (0.3, -31, 2), (2.2, 2.8, 2.0))
    out[..., CALCIFICATION] = np.minimum(pineal, ellipsoid(xyz, (25, 30, 14), (2.4, 3.0, 2.2)))
    return np.clip(out, -12, 6)


def _dentate(side: Sequence[FloatArray]) -> FloatArray:
    """A folded surface that is open to the midline (the hilus)."""
    x, y, z = side
    body = ellipsoid(side, (16, -57, -35), (8.5, 9.5, 6.0), (-15, 0, -25))
    folds = 0.9 * np.sin(0.95 * y + 0.5 * x) * np.cos(0.8 * z + 0.6 * x)
    surface = np.abs(body + np.asarray(folds, np.float32)) - 1.15
    hilus = ellipsoid(side, (8, -52, -33), (5.5, 6.5, 4.5))
    return np.maximum(surface, -hilus)


def _intersect(*distances: FloatArray) -> FloatArray:
    deepest = distances[0]
    for distance in distances[1:]:
        deepest = np.maximum(deepest, distance)
    return np.asarray(ndimage.gaussian_filter(deepest, 0.5, mode="nearest"), np.float32)


def _join(a: FloatArray, b: FloatArray, mm: float) -> FloatArray:
    """Union of two bodies with a fillet of some mm."""
    mix = np.clip(0.5 + 0.5 * (b - a) / mm, 0, 1)
    return np.asarray(b + (a - b) * mix - mm * mix * (1 - mix), np.float32)


def _bumps(side: Sequence[FloatArray], places: Sequence[tuple[float, float, float, float]]) -> FloatArray:
    """Sum of Gaussians, 1 in their middles; a place is (x, y, z, width) in mm."""
    squares = [sum((a - np.float32(c)) ** 2 for a, c in zip(side, place[:3], strict=True)) for place in places]
    return np.asarray(
        sum(np.exp(-s / np.float32(2 * p[3] ** 2)) for s, p in zip(squares, places, strict=True)), np.float32
    )


def _skull_thickness(xyz: Sequence[FloatArray], side: Sequence[FloatArray], in_vivo: bool) -> FloatArray:
    """Thickness of the skull, mm; in vivo the temporal bone and the roof of the orbit are thin."""
    wave = np.sin(0.05 * xyz[1]) * np.cos(0.04 * xyz[2])
    if not in_vivo:
        return np.asarray(6.0 + 1.5 * wave, np.float32)
    thin = np.clip(_bumps(side, ((66, -10, -14, 24), (60, 25, -18, 18), (28, 44, -20, 16), (30, 20, -34, 14))), 0, 1)
    return np.asarray((5.5 + 1.5 * wave) * (1 - thin) + 1.6 * thin, np.float32)


def outer(xyz: Sequence[FloatArray], brain: FloatArray, hull: FloatArray, in_vivo: bool = False) -> FloatArray:
    """Signed distances of scalp, skull (outer and inner table), air cavities, eyes and orbital fat, channels last.

    ``brain`` and ``hull`` (brain without sulci and clefts) are signed distances on the grid of ``xyz``. ``in_vivo``
    makes bones thin where they are in life, adds temporal muscle, and fat behind the eyes.
    """
    side = [np.abs(xyz[0]), *xyz[1:]]
    canal = tube(xyz, ((0, -44, -66, 9), (0, -46, -110, 9), (0, -44, -190, 9)))
    inner = _join(hull - 2.0, canal, 6)
    table = inner - _skull_thickness(xyz, side, in_vivo)
    flesh = 6.0 + 7.0 * np.clip(_bumps(side, ((66, 5, -16, 24),)), 0, 1) if in_vivo else np.float32(6)
    face = ellipsoid(xyz, (0, 38, -58), (62, 60, 62))
    face = _join(face, ellipsoid(xyz, (0, 97, -48), (13, 16, 20)), 10)
    neck = tube(xyz, ((0, -32, -70, 62), (0, -34, -130, 58), (0, -36, -200, 62)))
    scalp = _join(_join(table - flesh, face, 25), neck, 25)
    eyes = ellipsoid(side, (33, 66, -36), (12, 12, 12))
    # Nothing grows within 2.5 mm of the brain or under the skin, except what opens to the outside.
    air = np.maximum(_sinuses(side), np.maximum(2.5 - brain, scalp + 4))
    openings = tube(side, ((5, 92, -58, 3.2), (5, 100, -64, 3.5), (5, 104, -72, 4)))
    canals = tube(side, ((52, -22, -38, 3.2), (66, -24, -39, 3.4), (92, -26, -40, 4.5)))
    air = np.minimum(air, np.minimum(openings, np.maximum(canals, 2.5 - brain)))
    air = np.maximum(air, 2.5 - eyes)
    orbit = np.float32(40)
    if in_vivo:
        muscles = tube(side, ((16, 34, -32, 2.5), (22, 58, -36, 3.0)))
        orbit = np.maximum(ellipsoid(side, (27, 56, -36), (16, 24, 14), (0, 0, -20)), -np.minimum(eyes, muscles))
    channels = np.stack(np.broadcast_arrays(scalp, table, inner, air, eyes, orbit), axis=-1)
    return np.ascontiguousarray(np.clip(channels, -40, 40), dtype=np.float32)


def _sinuses(side: Sequence[FloatArray]) -> FloatArray:
    """Paranasal sinuses, nasal cavity, airway, mouth and mastoid cells."""
    bodies = [
        ellipsoid(side, (13, 78, -6), (13, 5, 11), (-15, 0, -12)),  # frontal sinus
        ellipsoid(side, (8, 56, -34), (6, 16, 9)),  # ethmoid cells
        ellipsoid(side, (7, 22, -36), (9, 12, 9)),  # sphenoid sinus
        ellipsoid(side, (30, 56, -64), (13, 16, 15)),  # maxillary sinus
        ellipsoid(side, (4.5, 60, -56), (3.2, 34, 17)),  # nasal cavity
        ellipsoid(side, (0, 48, -92), (18, 26, 5)),  # mouth
        tube(side, ((0, 22, -58, 8), (0, 6, -76, 9), (0, 2, -110, 9), (0, 4, -190, 10))),  # pharynx, trachea
    ]
    mastoid = ellipsoid(side, (55, -38, -46), (8, 11, 12))
    x, y, z = side
    cells = mastoid + 2.2 + 2.2 * np.sin(0.9 * x) * np.sin(0.8 * y) * np.sin(0.85 * z)
    bodies.append(np.asarray(cells, np.float32))
    best = bodies[0]
    for body in bodies[1:]:
        best = np.minimum(best, body)
    return best
