"""Small charts in SVG: dots that a reader can point at, in the page's own ink, so that they read in dark mode too."""

import math
from dataclasses import dataclass, field

from markupsafe import Markup

#: Characters of the charts' text are about this wide, in units of the chart.
CHARACTER = 6.2


@dataclass(frozen=True)
class Chart:
    """One chart of the page."""

    title: str
    caption: str
    svg: Markup


@dataclass(frozen=True)
class Axis:
    """Values from ``low`` to ``high`` along a chart, from ``start`` to ``stop`` (either may be the larger)."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """Return the place of a value; what is beyond the axis lies at its end."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + min(max(share, 0.0), 1.0) * (self.stop - self.start)

    def ticks(self, most: int = 5) -> list[float]:
        """Return round values along the axis, ``most`` or fewer (two at least)."""
        raw = (self.high - self.low) / most
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [n * step for n in range(first, last + 1)]


def axis_of(values: list[float], start: float, stop: float, margin: float = 0.06) -> Axis:
    """Return an axis that holds finite values with a margin."""
    low, high = min(values), max(values)
    border = margin * (high - low) or 0.05 * abs(high) or 1.0
    return Axis(low - border, high + border, start, stop)


def short(value: float) -> str:
    """Return a tick's text."""
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")


@dataclass
class Drawing:
    """Shapes in the order in which they are drawn; all texts are escaped."""

    width: float
    height: float
    parts: list[Markup] = field(default_factory=list)

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str = "axis") -> None:
        """Draw a line; ``kind`` is its class in the page's style."""
        text = '<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>'
        self.parts.append(Markup(text).format(kind, x1, y1, x2, y2))

    def box(self, x1: float, y1: float, x2: float, y2: float, kind: str = "box") -> None:
        """Draw a rectangle between two corners."""
        left, top, width, height = min(x1, x2), min(y1, y2), abs(x2 - x1), abs(y2 - y1)
        text = '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>'
        self.parts.append(Markup(text).format(kind, left, top, width, height))

    def text(self, x: float, y: float, words: str, anchor: str = "start") -> None:
        """Write a text."""
        text = '<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>'
        self.parts.append(Markup(text).format(x, y, anchor, words))

    def dot(
        self, x: float, y: float, run: str, words: str, marked: bool = False, kind: str = "", group: str = ""
    ) -> None:
        """Draw one run's value: a round dot, a diamond where it is marked; ``words`` show under the mouse.

        ``group`` is the number of the group whose colour the dot has.
        """
        if marked:
            shape = Markup('d="M{:.1f} {:.1f}l5 5-5 5-5-5z"').format(x, y - 5)
        else:
            shape = Markup('d="M{:.1f} {:.1f}a3 3 0 1 0 6 0a3 3 0 1 0-6 0"').format(x - 3, y)
        name = "dot marked" if marked else "dot"
        colour = Markup(' data-group="{}"').format(group) if group else Markup("")
        text = '<path class="{}" data-run="{}"{} {}><title>{}</title></path>'
        self.parts.append(Markup(text).format(f"{name} {kind}".strip(), run, colour, shape, words))

    def across(self, axis: Axis, y: float, unit: str = "", grid: float | None = None) -> None:
        """Draw a horizontal axis at ``y`` with ticks, and lines up to ``grid``."""
        self.line(axis.start, y, axis.stop, y)
        for tick in axis.ticks(max(2, int((axis.stop - axis.start) / 55))):
            if grid is not None:
                self.line(axis(tick), grid, axis(tick), y, "grid")
            self.line(axis(tick), y, axis(tick), y + 4)
            self.text(axis(tick), y + 16, short(tick), "middle")
        if unit:
            self.text(axis.stop, y + 31, unit, "end")

    def up(self, axis: Axis, x: float, right: float, unit: str = "") -> None:
        """Draw a vertical axis at ``x`` with lines across to ``right``."""
        self.line(x, axis.start, x, axis.stop)
        for tick in axis.ticks(max(2, int(abs(axis.stop - axis.start) / 30))):
            self.line(x, axis(tick), right, axis(tick), "grid")
            self.text(x - 5, axis(tick) + 4, short(tick), "end")
        if unit:
            self.text(4, 12, unit)

    def done(self, spoken: str) -> Markup:
        """Return the chart with a text for who cannot see it."""
        head = Markup('<svg role="img" aria-label="{}" viewBox="0 0 {:.0f} {:.0f}" width="{:.0f}">').format(
            spoken, self.width, self.height, self.width
        )
        return head + Markup("").join(self.parts) + Markup("</svg>")
