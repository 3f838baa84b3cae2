"""The figures of a run's anatomy: registration, segmentations, regions."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bids_app.report import charts
from bids_app.report.participant.volumes import Maps
from bids_app.report.pictures import CHI_WINDOW, COLOURS, Contour, Layer, Picture, picture, planes, window_of
from bids_app.report.slices import Array, Box, frame, inside_box


def registration(maps: Maps) -> Iterator[Picture]:
    """T1-weighted image on the run's grid, with edges of the magnitude."""
    moved = maps.get("t1w_on_gre")
    if moved is None:
        return
    first, second = (
        picture(
            planes([layer], maps.frame),
            "Registration, one after the other",
            "The button switches between the gradient echo and the T1-weighted image. Nothing should jump.",
            "Three planes of the gradient-echo magnitude; the button shows the T1-weighted image in its place.",
        )
        for layer in (
            Layer(maps.magnitude, maps.window, "gradient echo", "a.u."),
            Layer(moved, window_of(moved, maps.mask), "T1w", "a.u."),
        )
    )
    board = _board(maps.magnitude, moved, maps)
    layers = [
        Layer(maps.magnitude, maps.window, "gradient echo", "a.u."),
        Layer(moved, window_of(moved, maps.mask), "registered T1w", "a.u."),
        Layer(board, (0, 1), "both in turns", "scaled"),
    ]
    yield picture(
        planes(layers, maps.frame),
        "Registration",
        "The ventricles and the surface of the brain should be in the same place in both images, and continue across "
        "the borders of the chequerboard.",
        "Three planes of the gradient-echo magnitude, of the registered T1-weighted image, and of a chequerboard "
        "of both.",
    )
    yield replace(first, other=second.uri)


def _board(first: Array, second: Array, maps: Maps) -> Array:
    scaled = []
    for data in (first, second):
        low, high = window_of(data, maps.mask)
        scaled.append(np.clip((data - low) / (high - low), 0, 1))
    places = [np.arange(part.start, part.stop) for part in maps.whole.box]
    squares = [np.floor(place * size / 25.0) for place, size in zip(places, maps.voxel_size, strict=True)]
    odd = (squares[0][:, None, None] + squares[1][None, :, None] + squares[2]) % 2 > 0
    return np.where(odd, scaled[0], scaled[1])


def segmentations(maps: Maps) -> Iterator[Picture]:
    """Outlines of the segmentation on the T1-weighted image and on the susceptibility map."""
    chi, moved = maps.get("chimap"), maps.get("t1w_on_gre")
    for key in maps.run.keys("dseg_gre@"):
        labels = maps.labels(key)
        name = key.partition("@")[2]
        inside = labels > 0
        if not inside.any():
            continue
        shown = inside_box(replace(maps.whole, centre=frame(inside, maps.voxel_size).centre))
        outlines = outlines_of(labels, maps.whole.box)
        layers = []
        if moved is not None:
            layers.append(Layer(moved, window_of(moved, maps.mask), "T1w", "a.u.", contours=outlines))
        if chi is not None:
            layers.append(Layer(chi, CHI_WINDOW, "χ", "ppm", contours=outlines, inside=maps.mask))
        if layers:
            yield picture(
                planes(layers, shown),
                f"Segmentation {name}",
                "Outlines should follow the structures. The colours only distinguish neighbours.",
                f"Outlines of the regions of {name} on the {' and on the '.join(layer.name for layer in layers)}.",
            )


def outlines_of(labels: Array, box: Box) -> list[Contour]:
    """Return the outlines inside a box of all labels, neighbours by number in different colours."""
    inside = labels > 0
    values, number = np.unique(labels[inside], return_inverse=True)
    colours = np.zeros(labels.shape, np.uint8)  # 0 outside of the labels
    colours[inside] = 1 + number % len(COLOURS)
    return [Contour(colours[box] == n + 1, colour, "") for n, colour in enumerate(COLOURS[: len(values)])]


def regions(maps: Maps) -> Iterator[Picture]:
    """Chart of the regions' susceptibility."""
    for key in maps.run.keys("regions@"):
        path = maps.run.path(key)
        if path is not None:
            yield from charts.regions(charts.read_table(path), key.partition("@")[2])
