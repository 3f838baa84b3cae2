"""The figures of the susceptibility map."""

from collections.abc import Iterator
from dataclasses import replace

from bids_app.report import charts
from bids_app.report.participant.volumes import Maps
from bids_app.report.pictures import (
    CHI_WINDOW,
    COLOURS,
    Contour,
    Layer,
    Picture,
    grid,
    mosaic,
    picture,
    planes,
    symmetric,
)
from bids_app.report.slices import Array, Index, mosaic_places, positions

#: The mosaic: slices in a row, most slices, and the least distance between them (mm).
_COLUMNS, _MOSAIC_SLICES, _MOSAIC_MM = 6, 60, 2.5


def susceptibility(maps: Maps) -> Iterator[Picture]:
    """Susceptibility map."""
    chi = maps.get("chimap")
    if chi is None:
        return
    low, high = CHI_WINDOW
    layer = Layer(chi, CHI_WINDOW, "χ", "ppm", inside=maps.mask)
    yield picture(
        planes([layer], maps.frame),
        "Susceptibility",
        f"Grey scale from {low} (black) to {high} ppm (white). Deep grey nuclei and veins are bright, white matter is "
        "dark; there should be no streaks from veins and no slow shading.",
        f"Axial, coronal and sagittal plane of the susceptibility map, {low} to {high} ppm.",
    )
    row = positions(maps.frame, "axial", 6)
    layer = replace(layer, name="")
    named = [[(layer, "axial", at) for at in part] for part in (row[:3], row[3:])]
    yield picture(
        grid(named, maps.frame),
        "Susceptibility, axial slices",
        "Six slices at equal distances, from bottom to top.",
        f"Six axial slices of the susceptibility map, {low} to {high} ppm.",
    )
    places = mosaic_places(maps.frame, _MOSAIC_SLICES, _MOSAIC_MM)
    yield replace(
        picture(
            mosaic(layer, maps.frame, _COLUMNS, places),
            f"Susceptibility, {len(places)} axial slices",
            f"Slices from bottom to top, {low} to {high} ppm. z is the scanner coordinate at the centre of the mask.",
            f"{len(places)} axial slices of the susceptibility map, {low} to {high} ppm.",
        ),
        collapsed=True,
    )


def two_pass(maps: Maps) -> Iterator[Picture]:
    """Two-pass and single-pass map."""
    single, chi = maps.get("chimap_singlepass"), maps.get("chimap")
    if single is None or chi is None:
        return
    difference = chi - single
    layers = [
        Layer(chi, CHI_WINDOW, "two passes", "ppm", inside=maps.mask),
        Layer(single, CHI_WINDOW, "single pass", "ppm", inside=maps.mask),
        Layer(difference, symmetric(difference, maps.mask), "difference", "ppm", "PuOr_r", inside=maps.mask),
    ]
    yield picture(
        planes(layers, maps.frame),
        "Two passes against one",
        "One of the two passes excludes unreliable voxels. This reduces streaks near strong sources. Elsewhere both "
        "maps should agree.",
        "Three planes of the two-pass map, the single-pass map and their difference in ppm.",
    )


def boundary_sources(maps: Maps) -> Iterator[Picture]:
    """Boundary sources."""
    chi, boundary = maps.get("chimap"), maps.get("mask_boundary_sources")
    if chi is None or boundary is None or not boundary.any():
        return
    sources = boundary > 0
    shown = replace(maps.frame, centre=_densest(sources))
    contours = [Contour(sources, COLOURS[0], "boundary sources")]
    yield picture(
        planes([Layer(chi, CHI_WINDOW, "χ", "ppm", contours=contours, inside=maps.mask)], shown),
        "Boundary sources",
        "Outlines: strong sources at the mask boundary, such as dural sinuses, veins and haemorrhages. They were "
        "estimated separately (this software's own method). The outlines should not contain deep grey nuclei.",
        "Three planes of the susceptibility map with outlines of the strong sources at its boundary.",
    )


def _densest(inside: Array) -> Index:
    """Return the planes that cut through most voxels of a mask."""
    i, j, k = (int(inside.sum(axis=tuple({0, 1, 2} - {axis})).argmax()) for axis in range(3))
    return i, j, k


def trend(maps: Maps) -> Iterator[Picture]:
    """Null-space trend that was removed."""
    removed = maps.get("trend")
    if removed is None or not removed.any():
        return
    layer = Layer(removed, symmetric(removed, maps.mask), "null-space trend", "ppm", "PuOr_r", inside=maps.mask)
    yield picture(
        planes([layer], maps.frame),
        "Null-space trend that was removed",
        "A smooth trend whose field cannot be separated from a background field. It was estimated from tissue of the "
        "same appearance and removed from the map (this software's own method). Values of 5 to 20 ppb are "
        "expected. The trend should not follow the anatomy.",
        "Three planes of the smooth trend that was removed from the susceptibility map, purple below zero and orange "
        "above.",
    )


def histogram(maps: Maps) -> Iterator[Picture]:
    """Histogram of the susceptibility."""
    chi, valid = maps.get("chimap"), maps.inside("mask_qsm")
    if chi is not None and valid is not None and valid.any():
        yield charts.histogram(chi[valid])
