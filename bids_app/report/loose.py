"""One page about a map that was made from loose files."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bids_app.derivatives.files import write_bytes
from bids_app.derivatives.text import utf8
from bids_app.qsm.arrays import FloatArray
from bids_app.qsm.pipeline import Reconstruction
from bids_app.report.html import render
from bids_app.report.pictures import (
    CHI_WINDOW,
    COLOURS,
    Contour,
    Layer,
    Picture,
    mosaic,
    picture,
    planes,
    symmetric,
    window_of,
)
from bids_app.report.slices import Frame, frame, inside_box, mosaic_places, ras_affine, to_ras

_COLUMNS, _SLICES = 6, 36


def write_page(
    path: Path, name: str, result: Reconstruction, affine: npt.NDArray[np.float64], facts: Mapping[str, object]
) -> None:
    """Write the page: the map in three planes and slice by slice, its mask, its fields, and how it was made."""
    pictures = list(_pictures(result, affine))
    rows = [(key, _text(value)) for key, value in facts.items()]
    page = render("loose.html.j2", {"name": name, "pictures": pictures, "facts": rows, "warnings": result.warnings})
    write_bytes(path, utf8(page))


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _pictures(result: Reconstruction, affine: npt.NDArray[np.float64]) -> list[Picture]:
    mask, sizes = to_ras(result.masks.brain, affine)
    whole = frame(mask, sizes, affine=ras_affine(affine, result.chi.shape))
    shown = inside_box(whole)

    def boxed(data: npt.NDArray[np.generic]) -> FloatArray:
        part: FloatArray = np.asarray(to_ras(data, affine)[0][whole.box], np.float32)
        return part

    brain, valid = boxed(result.masks.brain) > 0, boxed(result.mask) > 0
    magnitude = boxed(result.field.magnitude)
    chi = Layer(boxed(result.chi), CHI_WINDOW, "susceptibility", "ppm", inside=brain)
    outlines = [Contour(brain, COLOURS[0], "mask"), Contour(valid, COLOURS[2], "valid map")]
    made = [
        picture(
            planes([chi], shown),
            "Susceptibility",
            "Deep grey nuclei and veins are bright, white matter is dark.",
            "Three planes of the susceptibility map.",
        ),
        _axial_slices(chi, shown),
        picture(
            planes([Layer(magnitude, window_of(magnitude), "magnitude", "a.u.", contours=outlines)], shown),
            "Mask",
            "Orange: mask of the object. Green: where the map is valid.",
            "Three planes of the magnitude with the outlines of the masks.",
        ),
    ]
    total = boxed(result.field.total)
    layers = [Layer(total, symmetric(total, brain), "total field", "Hz", "PuOr_r", inside=brain)]
    if result.local_field is not None:
        local = boxed(result.local_field)
        layers.append(Layer(local, symmetric(local, brain), "local field", "ppm", "PuOr_r", inside=brain))
    made.append(
        picture(
            planes(layers, shown),
            "Fields",
            "The total field varies slowly and must not jump. The local field shows anatomy.",
            "Three planes of the fields.",
        )
    )
    return made


def _axial_slices(layer: Layer, shown: Frame) -> Picture:
    places = mosaic_places(shown, _SLICES)
    return picture(
        mosaic(layer, shown, _COLUMNS, places),
        f"{len(places)} axial slices",
        "From bottom to top. z is the scanner coordinate at the centre of the mask.",
        "Axial slices of the susceptibility map.",
    )
