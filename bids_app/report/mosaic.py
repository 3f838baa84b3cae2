"""A slice mosaic on black: slices, their names, outlines and colour bars.

Slices are enlarged and coloured as arrays and laid into one image of the whole mosaic; what is written and outlined
stands on the figure itself. Axes for every slice and bar would look the same and take most of the page's time.
This module imports matplotlib: who asks only whether a page is up to date must not import it.
"""

from typing import Literal, cast

import matplotlib
import numpy as np
import numpy.typing as npt
from contourpy import contour_generator
from matplotlib.artist import Artist
from matplotlib.backend_bases import RendererBase
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, ScalarFormatter
from matplotlib.transforms import IdentityTransform

from bids_app.report.slices import Array

matplotlib.rcParams["text.parse_math"] = False  # names of regions and columns may hold $
DPI = 100
#: Colour bars: greatest number of ticks, and size of what is written (points).
_TICKS, _SMALL = 5, 8
_POINT = DPI / 72


class SliceMosaic:
    """A figure in the making; places and sizes are in inches from its upper left corner."""

    def __init__(self, width: float, height: float):
        self.figure = figure_of(width, height, "black")
        # The canvas takes whole pixels of the figure, as the file does.
        self._pixels = np.zeros((int(height * DPI), int(width * DPI), 3), np.uint8)

    def slice(self, image: Array, colours: str, window: tuple[float, float], place: "Place") -> None:
        """Lay a slice into its place, each voxel a rectangle of one colour; what is NaN is black."""
        self._lay(place, shaded(image, colours, window))

    def _lay(self, place: "Place", colours: Array) -> None:
        part = self._pixels[_pixel(place.top) : _pixel(place.bottom), _pixel(place.left) : _pixel(place.right)]
        rows, columns = (
            ((np.arange(part.shape[axis]) + 0.5) * colours.shape[axis] / part.shape[axis]).astype(int)
            for axis in (0, 1)
        )
        part[:] = colours[rows[:, None], columns]

    def outline(self, inside: Array, colour: str, place: "Place") -> None:
        """Draw the outline of a mask that is the slice's shape."""
        lines = cast("list[npt.NDArray[np.float64]]", contour_generator(z=inside.astype(np.float64)).lines(0.5))
        size = np.array([place.right - place.left, place.bottom - place.top]) / inside.shape[::-1]
        corner = np.array([place.left, place.top])
        points = [self._point(corner + (line + 0.5) * size) for line in lines]
        self.figure.add_artist(
            LineCollection(points, colors=[colour], linewidths=0.8, transform=IdentityTransform()), clip=False
        )

    def write(
        self, text: str, left: float, base: float, size: float, alpha: float | None = None, middle: bool = False
    ) -> None:
        """Write a text in white that begins at a place; ``base`` is its base line, or its middle."""
        if text:
            x, y = self._point(np.array([left, base])) / self._size
            vertical: Literal["center_baseline", "baseline"] = "center_baseline" if middle else "baseline"
            self.figure.text(x, y, text, color="white", fontsize=size, alpha=alpha, verticalalignment=vertical)

    def bar(self, colours: str, window: tuple[float, float], unit: str, place: "Place") -> None:
        """Draw a colour bar with its ticks, the lowest value below, and its unit above."""
        self._lay(place, _table(colours)[::-1, None])
        x, y = self._point(np.array([place.left, place.bottom]))
        size = (DPI * (place.right - place.left), DPI * (place.bottom - place.top))
        whole = IdentityTransform()
        frame = Rectangle((x, y), *size, fill=False, edgecolor="#888888", linewidth=0.8, transform=whole)
        self.figure.add_artist(frame)
        values, words, offset = ticks(*window)
        for value, word in zip(values, words, strict=True):
            share = (value - window[0]) / (window[1] - window[0])
            at = place.bottom - share * (place.bottom - place.top)
            x, y = self._point(np.array([place.right, at]))
            self.figure.add_artist(
                Line2D([x, x + 3.5 * _POINT], [y, y], color="white", linewidth=0.8, transform=whole), clip=False
            )
            self.write(word, place.right + 7 / 72, at, _SMALL, middle=True)
        self.write(f"{unit} {offset}".strip(), place.left, place.top - 5 / 72, _SMALL)

    def finish(self) -> Figure:
        """Return the figure with all that was laid on it."""
        self.figure.add_artist(_Ground(self._pixels), clip=False)
        return self.figure

    @property
    def _size(self) -> Array:
        return np.array(self.figure.bbox.size)

    def _point(self, places: Array) -> Array:
        """Return places as pixels of the figure, whose origin is its lower left corner."""
        pixels: Array = np.array([0.0, self._size[1]]) + DPI * places * np.array([1.0, -1.0])
        return pixels


class _Ground(Artist):
    """The image below all else, drawn pixel by pixel; matplotlib's own image would be scaled by some hair."""

    zorder = -1

    def __init__(self, pixels: Array):
        super().__init__()
        opaque = np.full((*pixels.shape[:2], 1), 255, np.uint8)
        self._pixels = np.concatenate((pixels, opaque), axis=2)[::-1]  # from the lowest row upwards

    def draw(self, renderer: RendererBase) -> None:
        context = renderer.new_gc()
        renderer.draw_image(context, 0, 0, self._pixels)
        context.restore()


class Place:
    """A rectangle of a mosaic, in inches from its upper left corner."""

    def __init__(self, left: float, top: float, width: float, height: float):
        self.left, self.top, self.right, self.bottom = left, top, left + width, top + height

    @property
    def name(self) -> tuple[float, float]:
        """Return where the name of a slice begins that lies here: a little above it."""
        return self.left + 0.01 * (self.right - self.left), self.top - 0.03 * (self.bottom - self.top)

    def holding(self, shape: tuple[int, ...], aspect: float) -> "Place":
        """Return the largest rectangle in the middle of this one for an image with pixels of such an aspect."""
        width, height = self.right - self.left, self.bottom - self.top
        scale = min(width / shape[1], height / (shape[0] * aspect))
        across, down = scale * shape[1], scale * shape[0] * aspect
        return Place(self.left + (width - across) / 2, self.top + (height - down) / 2, across, down)


def figure_of(width: float, height: float, colour: str) -> Figure:
    """Return an empty figure (inches)."""
    return Figure(figsize=(width, height), dpi=DPI, facecolor=colour)


def _pixel(inches: float) -> int:
    return round(DPI * inches)


def _table(name: str) -> Array:
    """Return the colours of a map, which has 256 of them or more."""
    shades = matplotlib.colormaps[name]
    colours: Array = shades(np.arange(shades.N), bytes=True)[:, :3]
    return colours


def shaded(image: Array, colours: str, window: tuple[float, float]) -> Array:
    """Return an image's colours, the map's steps from the window's lower to its upper end; black where it is NaN."""
    low, high = window
    table, known = _table(colours), ~np.isnan(image)
    steps = (np.where(known, image, low) - low) * (len(table) / (high - low))
    coloured: Array = table[np.clip(steps, 0, len(table) - 1).astype(np.intp)] * known[..., None]
    return coloured


def ticks(low: float, high: float) -> tuple[list[float], list[str], str]:
    """Return round values between two others, how they are written, and a common factor or offset if there is one."""
    near = 1e-10 * (high - low)
    places = MaxNLocator(nbins=_TICKS, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    values = [float(value) for value in places if low - near <= value <= high + near]
    writer = ScalarFormatter()
    writer.create_dummy_axis()
    assert writer.axis is not None
    writer.axis.set_view_interval(low, high)
    words = writer.format_ticks(values)
    return values, words, writer.get_offset()
