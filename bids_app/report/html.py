"""Pages from templates: one file each, with its style, scripts and pictures inside, that asks for nothing else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bids_app import __version__

_TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, content: Mapping[str, Any]) -> str:
    """Return a page; texts are escaped, and a name that the template asks for in vain is a mistake."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["plain"] = plain
    return environment.get_template(template).render(version=__version__, **content)


def plain(value: Any) -> str:
    """Return a value as people write it: short numbers, yes and no."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(plain(part) for part in value)
    return "none" if value in (None, "") else str(value)
