"""Pages from templates: one file each, with its style, scripts and pictures inside, that asks for nothing else."""

import math
from collections.abc import Mapping
from pathlib import Path

from bids_app import __version__

_TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, content: Mapping[str, object]) -> str:
    """Return a page; texts are escaped, and a name that the template asks for in vain is a mistake."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from bids_app.report.charts import number
    from bids_app.report.group.tables import label_of

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"plain": plain, "shown": shown, "gone": gone, "number": number, "region": label_of}
    return environment.get_template(template).render(version=__version__, **content)


def shown(value: float | None) -> str:
    """Return a number of a table, four digits; nothing where there is none."""
    return "" if value is None or math.isnan(value) else f"{value:.4g}"


def gone(text: str | None) -> str:
    """Return a table's cell, nothing for ``n/a``."""
    return "" if text in (None, "n/a") else str(text)


def plain(value: object) -> str:
    """Return a value as people write it: short numbers, yes and no."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(plain(part) for part in value)
    return "none" if value in (None, "") else str(value)
