"""Figures: slices with contours and colour bars, charts; each comes back as a data URI with a text for who cannot see.

Colour maps are grey or safe for colour-blind people. Slices stand on black, charts on white: both read well on a
light page, on a dark one, and on paper.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_app.report.slices import Array, Frame, cut

if TYPE_CHECKING:  # matplotlib is loaded when something is drawn
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bids_app.report.mosaic import Place, SliceMosaic

#: Colours of contours that everybody can distinguish (Okabe and Ito).
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#CC79A7")
_QUALITY = 78
#: The common grey scale of susceptibility maps, ppm.
CHI_WINDOW = (-0.1, 0.2)
#: Width of a slice mosaic, height of the line above a row (inches); width of the bar's part by that of the slices.
_WIDTH, _HEADING, _BAR = 9.4, 0.28, 0.09


@dataclass(frozen=True)
class Picture:
    """One figure of the page."""

    title: str
    caption: str
    alt: str
    uri: str
    width: int
    height: int
    other: str = ""  # a second image of the same size, that the reader can change to
    collapsed: bool = False  # large: the page shows it when the reader asks for it


@dataclass(frozen=True)
class Contour:
    """The outline of a mask or of labels."""

    mask: Array  # bool, same axes as the volume
    colour: str
    name: str


@dataclass(frozen=True)
class Layer:
    """A volume (RAS axes) and how it is shown."""

    volume: Array
    window: tuple[float, float]
    name: str = ""
    unit: str = ""
    colours: str = "gray"
    contours: Sequence[Contour] = field(default_factory=tuple)
    inside: Array | None = None  # what is outside of this mask is drawn black


def window_of(volume: Array, mask: Array | None = None, low: float = 1, high: float = 99) -> tuple[float, float]:
    """Return the percentiles of the values inside a mask as the limits of a grey scale."""
    return _limits(_sample(volume, mask), low, high)


def _limits(values: Array, low: float, high: float) -> tuple[float, float]:
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    bottom, top = (float(value) for value in np.percentile(values, (low, high)))
    return (bottom, top) if top > bottom else (bottom, bottom + 1.0)


def _sample(volume: Array, mask: Array | None) -> Array:
    """Return a million of the values inside a mask, at equal distances."""
    if mask is not None and mask.any():
        values = volume[mask]
        return values[:: max(1, values.size // 1_000_000)]
    sample: Array = volume.flat[:: max(1, volume.size // 1_000_000)]  # a volume in RAS axes is a view: no copy of it
    return sample


def symmetric(volume: Array, mask: Array | None = None) -> tuple[float, float]:
    """Return limits around zero that hold 98 % of the values."""
    top = _limits(np.abs(_sample(volume, mask)), 0, 98)[1]
    return -top, top


def planes(layers: Sequence[Layer], shown: Frame, names: Sequence[str] = ("axial", "coronal", "sagittal")) -> "Figure":
    """Draw every layer as a row of planes through the frame's centre, with its colour bar; return the figure."""
    return grid([[(layer, plane, None) for plane in names] for layer in layers], shown)


def grid(rows: Sequence[Sequence[tuple[Layer, str, int | None]]], shown: Frame) -> "Figure":
    """Draw slices (layer, plane, position) in rows; each row has the colour bar of its first layer."""
    from bids_app.report.mosaic import Place, SliceMosaic

    images = [[cut(layer.volume, shown, plane, at) for layer, plane, at in row] for row in rows]
    widths = [image.shape[1] for image, _ in images[0]]
    heights = [max(image.shape[0] * aspect for image, aspect in row) for row in images]
    scale = _WIDTH / (sum(widths) * (1 + _BAR))
    canvas = SliceMosaic(_WIDTH, scale * sum(heights) + _HEADING * len(rows))
    top = 0.0
    for row, cuts, height in zip(rows, images, heights, strict=True):
        left = 0.0
        top += _HEADING
        for (layer, plane, at), (image, aspect), width in zip(row, cuts, widths, strict=True):
            place = Place(left, top, scale * width, scale * height).holding(image.shape, aspect)
            _lay(canvas, layer, shown, plane, at, image, place)
            if not left or layer.name != row[0][0].name:  # a row of one volume is named once
                canvas.write(layer.name, *place.name, 9)
            left += scale * width
        first = row[0][0]
        bar = Place(left + 0.008 * _WIDTH, top + 0.12 * scale * height, 0.012 * _WIDTH, 0.76 * scale * height)
        canvas.bar(first.colours, first.window, first.unit, bar)
        top += scale * height
    return canvas.finish()


def _lay(
    canvas: "SliceMosaic", layer: Layer, shown: Frame, plane: str, at: int | None, image: Array, place: "Place"
) -> None:
    """Lay a slice of a layer into its place, black outside its mask, with its side, coordinate and outlines."""
    if layer.inside is not None:
        image = np.where(cut(layer.inside, shown, plane, at)[0], image, np.float32(np.nan))
    canvas.slice(image, layer.colours, layer.window, place)
    _mark(canvas, place, plane, shown.coordinate(plane, at))
    for contour in layer.contours:
        outline = cut(contour.mask, shown, plane, at)[0]
        if outline.any() and not outline.all():
            canvas.outline(outline, contour.colour, place)


def _mark(canvas: "SliceMosaic", place: "Place", plane: str, coordinate: float | None) -> None:
    """Write the side of the patient that is on the left of a slice (on the right of a sagittal one), and its place."""
    middle = (place.top + place.bottom) / 2
    if plane == "sagittal":
        canvas.write("A", place.right - 0.14, middle, 8, alpha=0.85)
    else:
        canvas.write("R", place.left + 0.04, middle, 8, alpha=0.85)
    if coordinate is not None:
        axis = {"axial": "z", "coronal": "y", "sagittal": "x"}[plane]
        canvas.write(f"{axis} = {coordinate:.0f} mm", place.left + 0.04, place.bottom - 0.05, 7, alpha=0.85)


def mosaic(layer: Layer, shown: Frame, columns: int, places: Sequence[int]) -> "Figure":
    """Draw axial slices of one volume in rows of ``columns``, with outlines and coordinates; return the figure."""
    from bids_app.report.mosaic import Place, SliceMosaic

    image, aspect = cut(layer.volume, shown, "axial", places[0])
    width = _WIDTH / columns
    height = width * image.shape[0] * aspect / image.shape[1]
    rows = -(-len(places) // columns)
    canvas = SliceMosaic(_WIDTH, height * rows)
    for number, at in enumerate(places):
        row, column = divmod(number, columns)
        image, aspect = cut(layer.volume, shown, "axial", at)
        place = Place(column * width, row * height, width, height).holding(image.shape, aspect)
        _lay(canvas, layer, shown, "axial", at, image, place)
    return canvas.finish()


def chart(width: float, height: float) -> tuple["Figure", "Axes"]:
    """Return figure and axes of a chart on white."""
    from bids_app.report.mosaic import figure_of

    figure = figure_of(width, height, "white")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def picture(figure: "Figure", title: str, caption: str, alt: str, quality: int = _QUALITY) -> Picture:
    """Return a figure as a compressed image inside a data URI."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    from bids_app.report.mosaic import DPI

    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())
    buffer = io.BytesIO()
    image.save(buffer, format="webp", quality=quality)
    width, height = (round(DPI * size) for size in figure.get_size_inches())
    uri = "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
    return Picture(title, caption, alt, uri, width, height)
