"""Tissue properties of a subject's head at the points of any grid (numba, one pass, partial volume at every border)."""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bids_app.phantom.fibres import NO_ANISOTROPY, Fibres, fibre_cos2
from bids_app.phantom.template import Head, Stack
from bids_app.qsm.kernels import jit
from bids_app.qsm.threads import current_threads

FloatArray = npt.NDArray[np.float32]

#: Rows of a tissue table.
AIR, FAT, MUSCLE, BONE, VITREOUS, CSF, GREY, WHITE, VEIN, CALCIFICATION, FIRST_NUCLEUS = range(11)
#: Columns of a tissue table: susceptibility (ppm, water is 0), proton density, R2* (1/s), T1-weighted intensity, the
#: share of the protons that are fat's, the diamagnetic part of the susceptibility (ppm, 0 or less), R2 (1/s), fraction
#: of white matter. The last row is bone marrow where the head has soft tissue as in vivo.
CHI, M0, R2STAR, T1W, FAT_SHARE, DIAMAGNETIC, R2, MYELINATED = range(8)
COLUMNS = 8
#: Row of the bone marrow, after the nuclei; a table without it has bone without marrow.
MARROW = 24
#: What a sample holds besides: fraction inside the brain, label of the nucleus, label of the tissue, and the squared
#: cosine of the angle between the fibres of white matter and the main field.
BRAIN, NUCLEUS, TISSUE, COS2 = range(8, 12)
PROPERTIES = 12
#: Susceptibility of a texture of 1, ppm.
TEXTURE_PPM = 0.010
#: Labels of the tissue segmentation.
TISSUE_LABELS = {
    1: "cortical and other grey matter",
    2: "white matter",
    3: "cerebrospinal fluid",
    4: "vein",
    5: "calcification",
}


class Warp(NamedTuple):
    """From the voxels of a grid to template mm: an affine into the subject's head, then a smooth displacement."""

    to_head: npt.NDArray[np.float64]  # (3, 4), voxel index to head mm
    to_template: npt.NDArray[np.float64]  # (3, 4), head mm to template mm before the displacement
    displacement: Stack  # mm, three channels


@jit
def _corners(stack: Stack, x: float, y: float, z: float) -> tuple[int, int, int, float, float, float]:
    """Return the lower corner and the fractions of a point, held inside the stack."""
    nx, ny, nz = stack.data.shape[0], stack.data.shape[1], stack.data.shape[2]
    fx = min(max((x - stack.origin[0]) * stack.inverse_mm, 0.0), nx - 1.001)
    fy = min(max((y - stack.origin[1]) * stack.inverse_mm, 0.0), ny - 1.001)
    fz = min(max((z - stack.origin[2]) * stack.inverse_mm, 0.0), nz - 1.001)
    i, j, k = int(fx), int(fy), int(fz)
    return i, j, k, fx - i, fy - j, fz - k


@jit
def trilinear(stack: Stack, x: float, y: float, z: float, out: FloatArray) -> None:
    """Write the quantities of a stack at a point."""
    i, j, k, a, b, c = _corners(stack, x, y, z)
    data = stack.data
    w000 = np.float32((1 - a) * (1 - b) * (1 - c))
    w001 = np.float32((1 - a) * (1 - b) * c)
    w010 = np.float32((1 - a) * b * (1 - c))
    w011 = np.float32((1 - a) * b * c)
    w100 = np.float32(a * (1 - b) * (1 - c))
    w101 = np.float32(a * (1 - b) * c)
    w110 = np.float32(a * b * (1 - c))
    w111 = np.float32(a * b * c)
    for m in range(data.shape[3]):
        out[m] = (
            w000 * data[i, j, k, m]
            + w001 * data[i, j, k + 1, m]
            + w010 * data[i, j + 1, k, m]
            + w011 * data[i, j + 1, k + 1, m]
            + w100 * data[i + 1, j, k, m]
            + w101 * data[i + 1, j, k + 1, m]
            + w110 * data[i + 1, j + 1, k, m]
            + w111 * data[i + 1, j + 1, k + 1, m]
        )


@jit
def _inside(distance: float, width: float) -> float:
    """Fraction of a voxel of some width that lies inside a surface at a signed distance."""
    return min(max(0.5 - distance / width, 0.0), 1.0)


@jit
def _over(out: FloatArray, row: FloatArray, fraction: float) -> None:
    """Let a tissue take a fraction of what is there already."""
    for m in range(COLUMNS):
        out[m] += np.float32(fraction) * (row[m] - out[m])


@jit
def _outside_brain(shell: FloatArray, tissue: FloatArray, width: float, out: FloatArray) -> None:
    """Write soft tissue, fat under the skin and behind the eyes, bone with its marrow, and eyes."""
    for m in range(COLUMNS):
        out[m] = tissue[2, m]
    _over(out, tissue[1], max(_inside(-shell[0] - 5.0, 3.0), _inside(shell[5], width)))
    bone = _inside(shell[1], width) * (1 - _inside(shell[2], width))
    _over(out, tissue[3], max(bone, _inside(shell[3] - 2.0, width) * _inside(shell[0] + 6.0, 3.0)))
    thickness = shell[2] - shell[1]
    if tissue.shape[0] > MARROW and thickness > 3.5:
        # The middle third of a bone that is thick enough.
        _over(out, tissue[MARROW], bone * _inside(abs(shell[1] + shell[2]) / 2 - thickness / 6, width))
    _over(out, tissue[4], _inside(shell[4], width))


@jit
def _within_skull(cell: FloatArray, tissue: FloatArray, mixed: FloatArray) -> float:
    """Write fluid, grey and white matter with their fine structure; return the fraction of fluid."""
    grey, white = max(cell[1], 0.0), max(cell[2], 0.0)
    fluid = max(1 - grey - white, 0.0)
    for m in range(COLUMNS):
        mixed[m] = fluid * tissue[5, m] + grey * tissue[6, m] + white * tissue[7, m]
    mixed[4] = 0
    # Nothing is constant within a tissue: the template's own intensity, two scales of random texture, and a
    # paramagnetic band in the deep layers of the cortex, where a third of the tissue is white.
    share = white / max(grey + white, 1e-3)
    band = grey * np.exp(-(((share - 0.3) / 0.15) ** 2))
    solid = 1 - fluid
    texture = TEXTURE_PPM * cell[5] + TEXTURE_PPM * cell[6]
    mixed[0] += np.float32(solid * texture + 0.025 * band - 0.16 * white * (cell[0] - 0.85))
    mixed[2] += np.float32(solid * (1.5 * cell[5] + 1.5 * cell[6]) + 3.0 * band + 25.0 * white * (cell[0] - 0.85))
    mixed[1] *= np.float32(1 + 0.02 * cell[6])
    mixed[3] = np.float32((1 - solid) * tissue[5, 3] + solid * 255 * cell[0])
    # Myelin carries most of white matter's variation, iron that of grey matter.
    mixed[5] += np.float32(0.75 * white * texture - 0.16 * white * (cell[0] - 0.85))
    mixed[6] += np.float32(solid * (0.4 * cell[5] + 0.4 * cell[6]) + 0.5 * band + 4.0 * white * (cell[0] - 0.85))
    return fluid


@jit
def _nuclei(
    depth: FloatArray, cell: FloatArray, right: bool, fluid: float, tissue: FloatArray, width: float, mixed: FloatArray
) -> int:
    """Lay the nuclei over the tissue; return the label of the one that fills at least half of the voxel."""
    label = 0
    for n in range(7):
        fraction = _inside(depth[n], width) * max(0.0, 1 - fluid)
        if fraction <= 0:
            continue
        row = 10 + 2 * n + (0 if right else 1)
        # Iron is denser towards the middle of a nucleus and varies along it.
        core = min(max(-depth[n] / 4.0, 0.0), 1.0)
        shape = np.float32(0.92 + 0.16 * core + 0.10 * cell[6] + 0.05 * cell[5])
        mixed[0] += np.float32(fraction) * (tissue[row, 0] * shape - mixed[0])
        mixed[1] += np.float32(fraction) * (tissue[row, 1] - mixed[1])
        mixed[2] += np.float32(fraction) * (tissue[row, 2] * shape - mixed[2])
        mixed[3] += np.float32(fraction) * (0.5 * tissue[row, 3] - 0.5 * mixed[3])
        for m in range(4, COLUMNS):
            mixed[m] += np.float32(fraction) * (tissue[row, m] - mixed[m])
        if fraction >= 0.5:
            label = 2 * n + (1 if right else 2)
    return label


@jit
def sample_rows(
    warp: Warp,
    brain: Stack,
    nuclei: Stack,
    outer: Stack,
    tissue: FloatArray,
    fibres: Fibres,
    width: float,
    out: FloatArray,
    first: int,
    last: int,
) -> None:
    """Write the properties (CHI to COS2) of the voxels of ``out``, (nx, ny, nz, 12), with first <= x < last.

    ``width`` is the voxel's width in mm, over which a border is spread; ``tissue`` has 24 rows (AIR to the last
    nucleus, right and left in turn), 25 with marrow, and eight columns.
    """
    A, B = warp.to_head, warp.to_template
    for i in range(first, last):
        shell, cell, depth = np.empty(6, np.float32), np.empty(7, np.float32), np.empty(8, np.float32)
        move, mixed = np.empty(3, np.float32), np.empty(COLUMNS, np.float32)
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                voxel = out[i, j, k]
                hx = A[0, 0] * i + A[0, 1] * j + A[0, 2] * k + A[0, 3]
                hy = A[1, 0] * i + A[1, 1] * j + A[1, 2] * k + A[1, 3]
                hz = A[2, 0] * i + A[2, 1] * j + A[2, 2] * k + A[2, 3]
                trilinear(warp.displacement, hx, hy, hz, move)
                x = B[0, 0] * hx + B[0, 1] * hy + B[0, 2] * hz + B[0, 3] + move[0]
                y = B[1, 0] * hx + B[1, 1] * hy + B[1, 2] * hz + B[1, 3] + move[1]
                z = B[2, 0] * hx + B[2, 1] * hy + B[2, 2] * hz + B[2, 3] + move[2]
                trilinear(outer, x, y, z, shell)
                for m in range(COLUMNS):
                    voxel[m] = tissue[0, m]
                voxel[BRAIN] = voxel[NUCLEUS] = voxel[TISSUE] = voxel[COS2] = 0
                body = _inside(shell[0], width)
                if body <= 0:
                    continue
                _outside_brain(shell, tissue, width, mixed)
                skull = _inside(shell[2], width)
                if skull > 0:
                    _brain_voxel(x, y, z, brain, nuclei, tissue, fibres, width, skull, cell, depth, mixed, voxel)
                body *= 1 - _inside(shell[3], width)
                for m in range(COLUMNS):
                    voxel[m] += np.float32(body) * (mixed[m] - voxel[m])


@jit
def _brain_voxel(  # noqa: PLR0913
    x: float,
    y: float,
    z: float,
    brain: Stack,
    nuclei: Stack,
    tissue: FloatArray,
    fibres: Fibres,
    width: float,
    skull: float,
    cell: FloatArray,
    depth: FloatArray,
    mixed: FloatArray,
    voxel: FloatArray,
) -> None:
    """Mix what lies within the skull into ``mixed``; write the fraction of brain and the labels into ``voxel``."""
    inner = np.empty(COLUMNS, np.float32)
    trilinear(brain, x, y, z, cell)
    fluid = _within_skull(cell, tissue, inner)
    voxel[BRAIN] = _inside(cell[3], width)
    voxel[COS2] = fibre_cos2(x, y, z, fibres.b0)
    turned = np.float32(fibres.anisotropy * inner[7] * (voxel[COS2] - 1.0 / 3.0))
    inner[0] += turned
    inner[5] += turned
    kind = 3
    if fluid < 0.5:
        kind = 1 if cell[1] >= cell[2] else 2
    # Outside the box of the deep nuclei the stack would repeat its border.
    local = (
        abs(x) < 43
        and y > nuclei.origin[1] + 1
        and y < nuclei.origin[1] + nuclei.data.shape[1] - 2
        and z > nuclei.origin[2] + 1
        and z < nuclei.origin[2] + nuclei.data.shape[2] - 2
    )
    if local:
        trilinear(nuclei, x, y, z, depth)
        voxel[NUCLEUS] = _nuclei(depth, cell, x > 0, fluid, tissue, width, inner)
    vein = _inside(cell[4], width)
    _over(inner, tissue[8], vein)
    if vein >= 0.5:
        kind = 4
    if local:
        stone = _inside(depth[7], width)
        _over(inner, tissue[9], stone)
        if stone >= 0.5:
            kind = 5
    if kind >= 4:
        voxel[NUCLEUS] = 0
    voxel[TISSUE] = kind if voxel[BRAIN] >= 0.5 else 0
    for m in range(COLUMNS):
        mixed[m] += np.float32(skull) * (inner[m] - mixed[m])


def sample(
    head: Head,
    tissue: FloatArray,
    warp: Warp,
    shape: tuple[int, int, int],
    width: float,
    fibres: Fibres = NO_ANISOTROPY,
) -> FloatArray:
    """Return the properties on a grid of ``shape``, (nx, ny, nz, 12) float32; see :func:`sample_rows`.

    Threads take rows in turn (numba's number of threads); every voxel is computed alone, so their number changes
    nothing.
    """
    out = np.empty((*shape, PROPERTIES), np.float32)
    table = np.asarray(tissue, np.float32)

    def rows(first: int) -> None:
        last = min(first + 4, shape[0])
        sample_rows(warp, head.brain, head.nuclei, head.outer, table, fibres, float(width), out, first, last)

    with ThreadPoolExecutor(current_threads()) as pool:
        list(pool.map(rows, range(0, shape[0], 4)))
    return out
