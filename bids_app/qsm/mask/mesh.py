# mypy: disable-error-code=no-untyped-def
"""Closed triangulated surfaces: a sphere of nearly equal triangles, and the voxels inside a surface."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from bids_app.qsm.arrays import BoolArray
from bids_app.qsm.kernels import jit

Vectors = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Surface:
    """A closed surface: vertices in mm from the centre of voxel (0, 0, 0) along the voxel axes, and its triangles."""

    vertices: Vectors  # (n, 3)
    faces: Integers  # (m, 3), counter-clockwise seen from outside


@lru_cache(maxsize=4)
def icosphere(subdivisions: int) -> tuple[Vectors, Integers, Integers]:
    """Return a sphere of radius 1 made of an icosahedron whose faces are quartered some times.

    Returns
    -------
    vertices : float64, (n, 3)
        Those of fewer subdivisions come first, in the same order.
    faces : int64, (m, 3)
    neighbours : int64, (n, 6)
        The neighbours of every vertex in their order around it; -1 in the last place where there are five.
    """
    g = (1 + 5**0.5) / 2
    corners = [p for s in (-1, 1) for t in (-g, g) for p in ((0, s, t), (s, t, 0), (t, 0, s))]
    vertices = np.array(corners, np.float64)
    near = np.linalg.norm(vertices[:, None] - vertices[None], axis=2) < 2.1
    triples = [(a, b, c) for a in range(12) for b in range(a + 1, 12) for c in range(b + 1, 12)]
    faces = [(a, b, c) for a, b, c in triples if near[a, b] and near[b, c] and near[a, c]]
    faces = [f if np.linalg.det(vertices[list(f)]) > 0 else (f[0], f[2], f[1]) for f in faces]
    vertices /= np.linalg.norm(vertices, axis=1)[:, None]
    for _ in range(subdivisions):
        vertices, faces = _quartered(vertices, faces)
    return vertices, np.array(faces, np.int64), _neighbours(len(vertices), faces)


def _quartered(vertices: Vectors, faces: list[tuple[int, int, int]]) -> tuple[Vectors, list[tuple[int, int, int]]]:
    points = list(vertices)
    middles: dict[tuple[int, int], int] = {}

    def between(a: int, b: int) -> int:
        key = (min(a, b), max(a, b))
        if key not in middles:
            middles[key] = len(points)
            point = points[a] + points[b]
            points.append(point / np.linalg.norm(point))
        return middles[key]

    smaller: list[tuple[int, int, int]] = []
    for a, b, c in faces:
        ab, bc, ca = between(a, b), between(b, c), between(c, a)
        smaller += [(a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca)]
    return np.array(points), smaller


def _neighbours(count: int, faces: list[tuple[int, int, int]]) -> Integers:
    follows: list[dict[int, int]] = [{} for _ in range(count)]
    for a, b, c in faces:
        follows[a][b], follows[b][c], follows[c][a] = c, a, b
    table = np.full((count, 6), -1, np.int64)
    for row, after in zip(table, follows, strict=True):
        current = next(iter(after))
        for place in range(len(after)):
            row[place] = current
            current = after[current]
    return table


def refine(values: Vectors, subdivisions: int) -> Vectors:
    """Return values at the vertices of an icosphere from those at the vertices with one subdivision less."""
    _, _, table = icosphere(subdivisions)
    finer = np.empty(len(table))
    finer[: len(values)] = values
    added = table[len(values) :]
    # Every added vertex lies between two older ones.
    older = (added >= 0) & (added < len(values))
    finer[len(values) :] = (np.where(older, values[np.where(older, added, 0)], 0).sum(axis=1)) / older.sum(axis=1)
    return finer


def vertex_normals(surface: Surface) -> Vectors:
    """Return the outward unit normal at every vertex: the mean of those of its triangles, weighted by area."""
    a, b, c = (surface.vertices[surface.faces[:, corner]] for corner in range(3))
    across = np.cross(b - a, c - a)
    normals = np.zeros_like(surface.vertices)
    for corner in range(3):
        np.add.at(normals, surface.faces[:, corner], across)
    return normals / np.maximum(np.linalg.norm(normals, axis=1), 1e-12)[:, None]


@jit
def _crossings(vertices, faces, winding):
    """Add the sign of every crossing of a line along x with the surface to the voxels behind it."""
    nx, ny, nz = winding.shape
    for f in range(faces.shape[0]):
        a, b, c = vertices[faces[f, 0]], vertices[faces[f, 1]], vertices[faces[f, 2]]
        area = (b[1] - a[1]) * (c[2] - a[2]) - (b[2] - a[2]) * (c[1] - a[1])
        if area == 0:
            continue
        first_j, last_j = max(0, int(np.ceil(min(a[1], b[1], c[1])))), min(ny - 1, int(np.floor(max(a[1], b[1], c[1]))))
        first_k, last_k = max(0, int(np.ceil(min(a[2], b[2], c[2])))), min(nz - 1, int(np.floor(max(a[2], b[2], c[2]))))
        for j in range(first_j, last_j + 1):
            for k in range(first_k, last_k + 1):
                u = ((b[1] - j) * (c[2] - k) - (b[2] - k) * (c[1] - j)) / area
                v = ((c[1] - j) * (a[2] - k) - (c[2] - k) * (a[1] - j)) / area
                w = 1 - u - v
                if u < 0 or v < 0 or w < 0:
                    continue
                at = max(0, int(np.ceil(u * a[0] + v * b[0] + w * c[0])))
                if at < nx:
                    winding[at, j, k] += 1 if area < 0 else -1
    for i in range(1, nx):
        winding[i] += winding[i - 1]


def rasterize(surface: Surface, shape: tuple[int, int, int], voxel_size: tuple[float, float, float]) -> BoolArray:
    """Return the voxels of a grid whose centres lie inside a closed surface."""
    # A shift far below a voxel keeps the lines of voxels off vertices and edges that lie on the grid.
    vertices = surface.vertices / np.asarray(voxel_size) + np.array([0.0, 1.234567e-5, 2.718281e-5])
    winding = np.zeros(shape, np.int8)
    _crossings(vertices, surface.faces, winding)
    inside: BoolArray = winding != 0
    return inside
