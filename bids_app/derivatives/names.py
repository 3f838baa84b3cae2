"""File names of products: entities in BIDS order, folders, and the files that accompany a product."""

from collections.abc import Mapping
from pathlib import Path

from bids_app.derivatives.products import Product

#: Order of BIDS entities in file names (the part of the specification's order that we use).
ENTITY_ORDER = (
    "sub",
    "tpl",
    "cohort",
    "ses",
    "acq",
    "ce",
    "rec",
    "dir",
    "run",
    "echo",
    "flip",
    "inv",
    "mt",
    "part",
    "space",
    "atlas",
    "seg",
    "scale",
    "res",
    "den",
    "label",
    "from",
    "to",
    "mode",
    "contrast",
    "stat",
    "desc",
)


#: The first entity that products have and images of a dataset have not.
_FIRST_OF_OURS = "space"


def spell(entities: dict[str, str], suffix: str, extension: str) -> str:
    """Return a BIDS file name with the entities in the specification's order."""
    # Entities of the dataset that the app does not know come where those of the image end.
    unknown = sorted(set(entities) - set(ENTITY_ORDER))
    place = ENTITY_ORDER.index(_FIRST_OF_OURS)
    order = (*ENTITY_ORDER[:place], *unknown, *ENTITY_ORDER[place:])
    parts = [f"{key}-{entities[key]}" for key in order if key in entities]
    return "_".join([*parts, suffix]) + extension


def stem(path: Path) -> str:
    """Return a file's name without its extension (``.nii.gz`` counts as one)."""
    return path.name.removesuffix(".gz").rpartition(".")[0]


def sidecar_path(path: Path) -> Path:
    """Return where the JSON sidecar of a product is kept."""
    return path.with_name(f"{stem(path)}.json")


def lookup_path(path: Path) -> Path:
    """Return where the look-up table of a segmentation is kept."""
    return path.with_name(f"{stem(path)}.tsv")


def record_folder(entities: Mapping[str, str], root: Path) -> Path:
    """Return the folder of a participant's session, of a template, or the root itself for the group."""
    for first, second in (("sub", "ses"), ("tpl", "cohort")):
        if first in entities:
            folder = root / f"{first}-{entities[first]}"
            return folder / f"{second}-{entities[second]}" if second in entities else folder
    return root


def product_path(product: Product, source_entities: Mapping[str, str], output_dir: Path, work_dir: Path) -> Path:
    """Return where a product of a source image (its entities) is kept.

    The name carries every entity of the source except those that the suffix forbids; a dropped ``rec`` is folded into
    ``acq`` so that two reconstructions of one acquisition still differ. A product of the group (no source entities)
    starts with ``group``, unless its own entities name a template (``tpl``).
    """
    entities = dict(source_entities)
    if "rec" in product.drop and "rec" in entities:
        entities["acq"] = entities.get("acq", "") + "rec" + entities["rec"]
    for key in product.drop:
        entities.pop(key, None)
    entities.update(product.entities)
    name = spell(entities, product.suffix, product.extension)
    folder = record_folder(entities, work_dir if product.in_work_dir else output_dir)
    if "sub" not in entities and "tpl" not in entities:
        return folder / f"group_{name}"
    return folder / ("" if product.in_work_dir else product.datatype) / name
