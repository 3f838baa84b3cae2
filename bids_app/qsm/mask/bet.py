# mypy: disable-error-code=no-untyped-def
"""Brain extraction by a deformable surface (Smith 2002), without atlas, network or training.

A sphere inside the brain is inflated against a local intensity threshold and its own stiffness until it rests on the
dark skull. Three things differ from the paper, for gradient echoes. The image is the magnitude without the receive
coils' shading, times the quality of the phase: scalp, muscle and orbits are bright in the magnitude, but their phase is
less coherent than the brain's. Every vertex stays on its ray from the middle, so that the surface cannot cut itself.
The brightness below a vertex is a mean over a small disc, so that noise and veins do not stop it and thin bone does.
"""

import numpy as np
from numba import prange
from scipy import ndimage

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.kernels import jit
from bids_app.qsm.mask.mesh import Surface, Vectors, icosphere, refine
from bids_app.qsm.mask.morphology import closed, fill_holes
from bids_app.qsm.mask.thresholds import even_brightness

#: Share of the brightness around it that still is brain (the paper's bt). On simulated and real heads 0.4 lets orbits
#: in, and 0.6 loses cortex where the signal is dephased.
THRESHOLD = 0.45
#: Radii of curvature between which the surface turns from stiff to yielding, mm (the paper's).
_SHARPEST_MM, _FLATTEST_MM = 3.33, 10.0
#: How far below the surface the darkest and the brightest place are looked for, mm (the paper's), in how many steps.
_DARKEST_MM, _BRIGHTEST_MM, _STEPS = 20.0, 10.0, 12
#: Radius of the discs, mm.
_DISC_MM = 2.5
#: The surface moves on voxels of about this size: finer ones are averaged before.
_COARSE_MM = 2.0
#: Width of the local mean that the brightness is divided by.
_EVEN_MM = 25.0
#: Power of the phase quality in the image.
_QUALITY_POWER = 1.5
#: A head that the volume cuts goes on so far beyond it.
_BEYOND_MM = 20.0
#: Level between the 2nd and 98th percentile of the image above which may be brain.
_TISSUE = 0.35
#: First radius of the surface, relative to the ball that fits in.
_START = 0.6
#: Times that the faces of an icosahedron are quartered: vertices are about 5 mm from each other on a brain.
_SUBDIVISIONS = 4
#: Most steps of the surface, and the mean movement at which it rests, mm.
_MAX_STEPS, _AT_REST_MM = 600, 0.01
#: Medians over a vertex and its neighbours, at last: a vertex that stands out is an error.
_MEDIANS = 2


@jit
def _sample(image, x, y, z):
    """Trilinear value at voxel coordinates; beyond the volume that of its edge."""
    nx, ny, nz = image.shape
    x, y, z = min(max(x, 0.0), nx - 1.001), min(max(y, 0.0), ny - 1.001), min(max(z, 0.0), nz - 1.001)
    i, j, k = int(x), int(y), int(z)
    a, b, c = np.float32(x - i), np.float32(y - j), np.float32(z - k)
    unit = np.float32(1)
    low = (image[i, j, k] * (unit - c) + image[i, j, k + 1] * c) * (unit - b)
    low += (image[i, j + 1, k] * (unit - c) + image[i, j + 1, k + 1] * c) * b
    high = (image[i + 1, j, k] * (unit - c) + image[i + 1, j, k + 1] * c) * (unit - b)
    high += (image[i + 1, j + 1, k] * (unit - c) + image[i + 1, j + 1, k + 1] * c) * b
    return low * (unit - a) + high * a


@jit
def _geometry(vertices, table, v, normal, mean):
    """Write the outward unit normal and the mean of the neighbours of a vertex; return the mean distance to them."""
    n = 6 if table[v, 5] >= 0 else 5
    normal[:] = 0
    mean[:] = 0
    length = 0.0
    x, y, z = vertices[v]
    for e in range(n):
        ax, ay, az = vertices[table[v, e]]
        bx, by, bz = vertices[table[v, (e + 1) % n]]
        mean[0] += ax / n
        mean[1] += ay / n
        mean[2] += az / n
        ax, ay, az, bx, by, bz = ax - x, ay - y, az - z, bx - x, by - y, bz - z
        length += np.sqrt(ax * ax + ay * ay + az * az) / n
        normal[0] += ay * bz - az * by
        normal[1] += az * bx - ax * bz
        normal[2] += ax * by - ay * bx
    normal /= max(np.sqrt((normal * normal).sum()), 1e-12)
    return length


@jit(parallel=True)
def _move(vertices, unit, table, image, sizes, levels, stiffness, out):
    """Move every vertex once along its ray (equations 6 to 14 of the paper); ``out`` holds the new vertices.

    ``levels`` is t2, t, tm and the share bt; ``stiffness`` E and F of the curvature's sigmoid. What is below a vertex
    is the mean over discs of seven points: noise and veins stop nothing, a layer of bone does.
    """
    t2, t, tm, share = levels
    middle, steep = stiffness
    for v in prange(vertices.shape[0]):
        normal, mean, disc = np.empty(3), np.empty(3), np.zeros((7, 3))
        length = _geometry(vertices, table, v, normal, mean)
        along = 0.0
        for m in range(3):
            along += (mean[m] - vertices[v, m]) * normal[m]
        curvature = 2 * abs(along) / (length * length)
        stiff = 0.5 * (1 + np.tanh(steep * (curvature - middle)))
        _disc(normal, sizes, disc)
        darkest, brightest = tm, t
        for step in range(_STEPS + 1):
            depth = step * _DARKEST_MM / _STEPS
            x = (vertices[v, 0] - depth * normal[0]) / sizes[0]
            y = (vertices[v, 1] - depth * normal[1]) / sizes[1]
            z = (vertices[v, 2] - depth * normal[2]) / sizes[2]
            value = np.float32(0)
            for n in range(7):
                value += _sample(image, x + disc[n, 0], y + disc[n, 1], z + disc[n, 2])
            value /= 7
            darkest = min(darkest, value)
            if depth <= _BRIGHTEST_MM:
                brightest = max(brightest, value)
        darkest, brightest = max(t2, darkest), min(tm, brightest)
        local = (brightest - t2) * share + t2
        force = 2 * (darkest - local) / max(brightest - t2, 1e-6)
        # A surface that every ray from the seed meets once never cuts itself.
        facing = normal[0] * unit[v, 0] + normal[1] * unit[v, 1] + normal[2] * unit[v, 2]
        outwards = (stiff * along + 0.05 * force * length) * max(facing, 0.0)
        for m in range(3):
            out[v, m] = vertices[v, m] + outwards * unit[v, m]


@jit
def _disc(normal, sizes, disc):
    """Write six points around the first, at right angles to the normal, in voxels."""
    axis = np.argmin(np.abs(normal))
    a = -normal[axis] * normal
    a[axis] += 1
    a /= np.sqrt((a * a).sum())
    b = np.array(
        [normal[1] * a[2] - normal[2] * a[1], normal[2] * a[0] - normal[0] * a[2], normal[0] * a[1] - normal[1] * a[0]]
    )
    for n in range(6):
        c, s = _DISC_MM * np.cos(n * np.pi / 3), _DISC_MM * np.sin(n * np.pi / 3)
        for m in range(3):
            disc[n + 1, m] = (c * a[m] + s * b[m]) / sizes[m]


def coarse_factors(voxel_size: tuple[float, float, float]) -> tuple[int, int, int]:
    """Return how many voxels along each axis make one of about 2 mm."""
    x, y, z = (max(1, round(_COARSE_MM / size)) for size in voxel_size)
    return x, y, z


def block_mean(image: FloatArray, factors: tuple[int, int, int]) -> FloatArray:
    """Return the means over blocks of voxels; the last block of an axis is completed by its edge."""
    padded = np.pad(image, [(0, -n % f) for n, f in zip(image.shape, factors, strict=True)], mode="edge")
    (x, y, z), (a, b, c) = padded.shape, factors
    return np.ascontiguousarray(padded.reshape(x // a, a, y // b, b, z // c, c).mean(axis=(1, 3, 5), dtype=np.float32))


def even_tissue(magnitude: FloatArray, voxel_size: Vectors) -> FloatArray:
    """Return the magnitude without the receive coils' shading: about 1 in the object."""
    return even_brightness(np.nan_to_num(magnitude), tuple(_EVEN_MM / size for size in voxel_size))


def brain_image(
    magnitude: FloatArray | None, quality: FloatArray | None, voxel_size: tuple[float, float, float]
) -> FloatArray:
    """Return what the surface moves in, on voxels of about 2 mm: bright where signal is strong and phase coherent.

    Parameters
    ----------
    magnitude : float32, ``[x, y, z]``, optional
        Combined magnitude; one that is the same everywhere counts as none.
    quality : float32, ``[x, y, z]``, optional
        Phase quality, 0 to 1.
    voxel_size : 3 floats
        In mm.

    Raises
    ------
    ValueError
        If there is neither.
    """
    factors = coarse_factors(voxel_size)
    image: FloatArray | None = None
    if quality is not None:
        image = block_mean(np.nan_to_num(quality), factors) ** np.float32(_QUALITY_POWER)
    if magnitude is not None and float(np.ptp(magnitude)) > 0:
        coarse = block_mean(np.nan_to_num(magnitude), factors)
        even = np.minimum(even_tissue(coarse, np.multiply(voxel_size, factors)), np.float32(1))
        image = even if image is None else image * even
    if image is None:
        raise ValueError("a brain surface needs a magnitude or a quality map")
    return image


def brain_surface(
    image: FloatArray, voxel_size: tuple[float, float, float], threshold: float = THRESHOLD
) -> Surface | None:
    """Return the surface of the brain.

    Parameters
    ----------
    image : float32, ``[x, y, z]``
        Of :func:`brain_image`.
    voxel_size : 3 floats
        In mm, of the voxels that ``image`` was made of.
    threshold : float
        Share of the brightness around it that is still brain; more makes the surface tighter.

    Returns
    -------
    Surface or None
        None where the image is bright everywhere or nowhere, so that no surface can rest on anything.

    References
    ----------
    Smith 2002, 10.1002/hbm.10062.
    """
    factors = coarse_factors(voxel_size)
    sizes = np.multiply(voxel_size, factors)
    pad = [int(np.ceil(_BEYOND_MM / size)) for size in sizes]
    low, high = (float(value) for value in np.percentile(image, (2, 98)))
    start = _largest_ball(image > low + _TISSUE * (high - low), sizes, pad)
    if start is None:
        return None
    seed, radius = start
    at = [np.arange(n) * d - c for n, d, c in zip(image.shape, sizes, seed, strict=True)]
    x, y, z = np.meshgrid(*at, indexing="ij", sparse=True)
    middle = float(np.median(image[x * x + y * y + z * z < radius**2]))
    levels = (low, low + 0.1 * (high - low), middle, threshold)
    wide = np.pad(np.pad(image, [(p, p) for p in pad], mode="edge"), 1)
    shift = (np.array(pad) + 1) * sizes

    def settled(radii: Vectors, subdivisions: int) -> Vectors:
        return _settle(radii, subdivisions, seed + shift, wide, sizes, levels)

    # Few vertices first; then once more from the middle of what they enclose, from where all rays are of like length.
    unit, _, _ = icosphere(_SUBDIVISIONS - 1)
    radii = settled(np.full(len(unit), _START * radius), _SUBDIVISIONS - 1)
    middle_of_it = 0.75 * (unit * (radii**4)[:, None]).sum(axis=0) / (radii**3).sum()
    radius = float(np.percentile(np.linalg.norm(unit * radii[:, None] - middle_of_it, axis=1), 10))
    seed = seed + middle_of_it
    radii = settled(np.full(len(unit), _START * radius), _SUBDIVISIONS - 1)
    radii = settled(refine(radii, _SUBDIVISIONS), _SUBDIVISIONS)
    unit, faces, table = icosphere(_SUBDIVISIONS)
    ring = np.where(table < 0, np.arange(len(table))[:, None], table)
    for _ in range(_MEDIANS):
        radii = np.median(np.column_stack([radii, radii[ring]]), axis=1)
    first = (np.array(factors) - 1) / 2 * np.asarray(voxel_size)  # the centre of the first block
    return Surface(unit * radii[:, None] + seed + first, faces)


def _largest_ball(tissue: BoolArray, sizes: Vectors, pad: list[int]) -> tuple[Vectors, float] | None:
    """Return the centre and the radius of the largest ball in the tissue, mm; veins and ventricles do not bound it."""
    filled = fill_holes(closed(tissue, 1))
    if filled.all() or not filled.any():
        return None
    depth = ndimage.distance_transform_edt(np.pad(filled, [(p, p) for p in pad], mode="edge"), sampling=sizes)
    depth = depth[tuple(slice(p, -p) for p in pad)]
    seed = np.array(np.unravel_index(int(np.argmax(depth)), depth.shape)) * sizes
    return seed, float(depth.max())


def _settle(
    radii: Vectors, subdivisions: int, seed: Vectors, image: FloatArray, sizes: Vectors, levels: tuple[float, ...]
) -> Vectors:
    """Return the radii at which the surface rests."""
    unit, _, table = icosphere(subdivisions)
    sharp, flat = 1 / _SHARPEST_MM, 1 / _FLATTEST_MM
    stiffness = ((sharp + flat) / 2, 6 / (sharp - flat))
    vertices = unit * radii[:, None] + seed
    moved = np.empty_like(vertices)
    for count in range(_MAX_STEPS):
        _move(vertices, unit, table, image, sizes, levels, stiffness, moved)
        vertices, moved = moved, vertices
        if count % 10 == 9 and np.abs(moved - vertices).mean() < _AT_REST_MM:
            break
    return np.asarray(np.linalg.norm(vertices - seed, axis=1))
