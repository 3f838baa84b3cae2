"""Drawing: slices with contours and colour bars, charts; each comes back as a data URI with a text for who cannot see.

Colour maps are grey or safe for colour-blind people. Slices stand on black, charts on white: both read well on a
light page, on a dark one, and on paper.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bids_app.report.slices import Array, Frame, cut

#: Colours of contours, apart for everybody (Okabe and Ito).
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#CC79A7")
_DPI = 100
_QUALITY = 78


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


def window_of(volume: Array, mask: Array | None = None, low: float = 1, high: float = 99) -> tuple[float, float]:
    """Return the percentiles of the values inside a mask as the limits of a grey scale."""
    values = volume[mask] if mask is not None and mask.any() else volume.ravel()
    values = values[:: max(1, values.size // 1_000_000)]
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    bottom, top = (float(value) for value in np.percentile(values, (low, high)))
    return (bottom, top) if top > bottom else (bottom, bottom + 1.0)


def symmetric(volume: Array, mask: Array | None = None) -> tuple[float, float]:
    """Return limits around zero that hold 98 % of the values."""
    top = window_of(np.abs(volume), mask, 0, 98)[1]
    return -top, top


def planes(layers: Sequence[Layer], shown: Frame, names: Sequence[str] = ("axial", "coronal", "sagittal")) -> Any:
    """Draw every layer as a row of planes through the frame's centre, with its colour bar; return the figure."""
    return grid([[(layer, plane, None) for plane in names] for layer in layers], shown)


def grid(rows: Sequence[Sequence[tuple[Layer, str, int | None]]], shown: Frame, bars: bool = True) -> Any:
    """Draw slices (layer, plane, position) in rows; each row has the colour bar of its first layer."""
    images = [[cut(layer.volume, shown, plane, at) for layer, plane, at in row] for row in rows]
    widths = [image.shape[1] for image, _ in images[0]]
    heights = [max(image.shape[0] * aspect for image, aspect in row) for row in images]
    bar = 0.09 * sum(widths) if bars else 0.0
    inches = 9.4
    scale = inches / (sum(widths) + bar)
    figure = _figure(inches, scale * sum(heights) + 0.28 * len(rows), "black")
    total = scale * sum(heights) + 0.28 * len(rows)
    top = total
    for row, cuts, height in zip(rows, images, heights, strict=True):
        left = 0.0
        top -= 0.28
        for (layer, plane, at), (image, aspect), width in zip(row, cuts, widths, strict=True):
            box = (left / inches, (top - scale * height) / total, scale * width / inches, scale * height / total)
            axes = figure.add_axes(box)
            axes.set_axis_off()
            axes.imshow(
                image, cmap=_shades(layer.colours), vmin=layer.window[0], vmax=layer.window[1], aspect=aspect,
                interpolation="nearest",
            )  # fmt: skip
            if not (left and bars and layer.name == row[0][0].name):  # a row of one volume is named once
                axes.text(0.01, 1.03, layer.name, color="white", fontsize=9, transform=axes.transAxes)
            axes.set_autoscale_on(False)
            for contour in layer.contours:
                outline = cut(contour.mask, shown, plane, at)[0]
                if outline.any() and not outline.all():
                    axes.contour(outline, levels=[0.5], colors=[contour.colour], linewidths=0.8)
            left += scale * width
        if bars:
            _bar(figure, row[0][0], (left / inches, (top - scale * height) / total, scale * height / total))
        top -= scale * height
    return figure


def _shades(name: str) -> Any:
    import matplotlib

    return matplotlib.colormaps[name].with_extremes(bad="black")  # what is not shown is NaN


def _figure(width: float, height: float, colour: str) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=_DPI, facecolor=colour)


def _bar(figure: Any, layer: Layer, place: tuple[float, float, float]) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    left, bottom, height = place
    axes = figure.add_axes((left + 0.008, bottom + 0.12 * height, 0.012, 0.76 * height))
    shades = ScalarMappable(Normalize(*layer.window), layer.colours)
    bar = figure.colorbar(shades, cax=axes)
    bar.outline.set_edgecolor("#888888")
    bar.ax.tick_params(colors="white", labelsize=8)
    bar.ax.locator_params(nbins=5)
    bar.ax.set_title(layer.unit, color="white", fontsize=8, pad=5, loc="left")


def chart(width: float, height: float) -> tuple[Any, Any]:
    """Return figure and axes of a chart on white."""
    figure = _figure(width, height, "white")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def picture(figure: Any, title: str, caption: str, alt: str, quality: int = _QUALITY) -> Picture:
    """Return a figure as a compressed image inside a data URI."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="webp", dpi=_DPI, facecolor=figure.get_facecolor(), pil_kwargs={"quality": quality})
    width, height = (round(_DPI * size) for size in figure.get_size_inches())
    uri = "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
    return Picture(title, caption, alt, uri, width, height)
