"""Which segmentations a run has: of the settings' words, those that exist for this record."""

from dataclasses import dataclass
from pathlib import Path

from bids_app.adapters import atlas, existing, fastsurfer
from bids_app.adapters.labels import FASTSURFER, Region, from_rows, read_table
from bids_app.derivatives.names import lookup_path
from bids_app.derivatives.tsv import table_rows
from bids_app.errors import QsmAppError
from bids_app.model.records import Anatomical, GreRun
from bids_app.model.settings import Settings

KINDS = ("fastsurfer", "atlas", "given", "extra")


@dataclass(frozen=True)
class Segmentation:
    """One segmentation of a record."""

    kind: str  # of KINDS
    name: str  # as in ``seg-<name>``
    #: Label image in its own space; None where a step makes it (FastSurfer).
    image: Path | None = None
    table: Path | None = None

    def regions(self) -> dict[int, Region]:
        """Return the regions by number, as far as a table names them."""
        if self.kind == "fastsurfer":
            return dict(FASTSURFER)
        if self.table is not None:
            return read_table(self.table)
        return dict(FASTSURFER) if self.image and self.image.name.endswith(".mgz") else {}


def words(settings: Settings) -> tuple[str, ...]:
    """Return the methods and patterns that were asked for."""
    return tuple(word for word in settings.segmentation.choice.which if word not in ("none", "auto"))


def roots(settings: Settings) -> tuple[Path, ...]:
    """Return the folders where other datasets' segmentations are looked for."""
    return tuple(Path(place) for place in settings.segmentation.choice.derivatives)


def the_atlas(settings: Settings) -> atlas.Atlas | None:
    """Return the atlas, if one is used."""
    return atlas.find(settings.segmentation.choice.atlas) if "atlas" in words(settings) else None


def segmentations(record: GreRun | Anatomical, settings: Settings) -> tuple[Segmentation, ...]:
    """Return the segmentations of a run (or, of FastSurfer and the atlas, of an anatomical image)."""
    listed = []
    t1w = record if isinstance(record, Anatomical) else record.t1w
    if "fastsurfer" in words(settings) and t1w is not None:
        listed.append(Segmentation("fastsurfer", "fastsurfer"))
    if (source := the_atlas(settings)) is not None:
        listed += [Segmentation("atlas", name, image, table) for name, image, table in source.segmentations]
    if isinstance(record, GreRun):
        listed += _existing(record, settings)
    return tuple(listed)


def _existing(run: GreRun, settings: Settings) -> list[Segmentation]:
    patterns = [("given", word) for word in words(settings) if existing.is_pattern(word)]
    patterns += [("extra", word) for word in settings.segmentation.choice.extra]
    listed = []
    other = dict(run.t1w.entities) if run.t1w else {}
    for kind, pattern in patterns:
        path = existing.find(pattern, roots(settings), dict(run.entities), other)
        if path is not None:
            listed.append(Segmentation(kind, existing.name_of(pattern, kind), path, existing.table_for(path)))
    return listed


def is_wanted(settings: Settings) -> bool:
    """Return whether any segmentation was asked for."""
    return bool(words(settings) or settings.segmentation.choice.extra)


def gre_keys(run: GreRun, settings: Settings) -> tuple[str, ...]:
    """Return the products that hold the labels of a run."""
    return tuple(f"dseg_gre@{seg.name}" for seg in segmentations(run, settings))


def brain_source(run: GreRun, settings: Settings) -> str | None:
    """Return the kind of segmentation that a brain mask comes from."""
    if "fastsurfer" in words(settings) and run.t1w is not None:
        return "fastsurfer"
    source = the_atlas(settings)
    return "atlas" if source is not None and source.brain_mask is not None else None


def script_of(settings: Settings) -> Path:
    """Return FastSurfer's script."""
    home = settings.segmentation.choice.fastsurfer_home
    return fastsurfer.require(Path(home) if home else None)


def regions_in(path: Path) -> dict[int, Region]:
    """Return the regions that the look-up table of one of our segmentations lists.

    Raises
    ------
    QsmAppError
        If the table is not there, or damaged.
    """
    table = lookup_path(path)
    try:
        return from_rows(table_rows(table))
    except (OSError, ValueError) as error:
        raise QsmAppError(f"{table} cannot be read ({error}); run the level participant again") from error
