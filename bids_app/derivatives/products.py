"""The products: what each file is called, its unit and its meaning; read from the table ``products.toml``."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path

from bids_app.derivatives.columns import COLUMNS
from bids_app.model.json_values import JsonObject

#: Fields that products of one kind have unless the table says otherwise; ``@key`` stands for the product's key.
KINDS: Mapping[str, Mapping[str, object]] = {
    "map": {},
    "head": {"skull_stripped": False, "unit": "arbitrary"},
    "mask": {"suffix": "mask", "dtype": "uint8"},
    "fieldmap": {"datatype": "fmap", "drop": ["part", "echo", "rec"]},
    "working": {"datatype": "work", "suffix": "@key", "extension": ".npy"},
    # The step of a segmentation gives the rows (index, name) of its table too.
    "segmentation": {"suffix": "dseg", "dtype": "int32", "columns": "lookup", "labelled": "seg"},
    # A file that a step writes itself; it maps images of the entity "from" to the entity "to".
    "transform": {"suffix": "xfm"},
    "table": {"suffix": "stats", "extension": ".tsv"},
}


@dataclass(frozen=True)
class Product:
    """One kind of output file."""

    key: str
    datatype: str  # folder: anat, fmap, or "work" for files in the work directory (uncompressed .npy, no sidecar)
    suffix: str
    entities: tuple[tuple[str, str], ...] = ()
    unit: str = ""
    description: str = ""
    extension: str = ".nii.gz"
    dtype: str = "float32"
    skull_stripped: bool = True
    #: Entities of the source run that this suffix may not carry (the validator refuses them).
    drop: tuple[str, ...] = ("part", "echo")
    #: Tables only: BIDS data dictionary, a description (and Units, Levels) for every column.
    columns: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    #: Entity that a labelled key (``regions@nuclei``) sets: one product for every segmentation or atlas.
    labelled: str = ""
    #: Working files only: other records' steps read it, on other nodes too, so it lies on no disk of one process alone.
    shared: bool = False

    @property
    def kind(self) -> str:
        """``image`` (array), ``table`` (rows), ``json`` (a sidecar alone) or ``file`` (the step's): by extension."""
        if self.suffix == "xfm":
            return "file"
        kinds = {".nii.gz": "image", ".npy": "image", ".tsv": "table", ".json": "json"}
        return kinds.get(self.extension, "file")

    @property
    def is_segmentation(self) -> bool:
        """Whether the image holds integer labels, with a look-up table."""
        return self.suffix == "dseg"

    @property
    def in_work_dir(self) -> bool:
        """Whether the product is an intermediate file that lives in the work directory."""
        return self.datatype == "work"


class _Products(dict[str, Product]):
    """The table by key; ``KEY@LABEL`` is a labelled product with its entity set."""

    def __missing__(self, key: str) -> Product:
        base, mark, label = key.partition("@")
        if not mark or not label or base not in self or not self[base].labelled:
            raise KeyError(key)
        product = self[base]
        return replace(product, key=key, entities=(*product.entities, (product.labelled, label)), labelled="")

    def __contains__(self, key: object) -> bool:
        try:
            return bool(self[str(key)]) if "@" in str(key) else super().__contains__(key)
        except KeyError:
            return False


def product_from(key: str, values: Mapping[str, object]) -> Product:
    """Return the product that an entry of the table describes.

    Raises
    ------
    ValueError
        If the entry has an unknown kind, field or dictionary of columns, or a value of another type.
    """
    kind = values.get("kind", "map")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"product {key!r}: kind must be one of {', '.join(KINDS)}, not {kind!r}")
    given = {"datatype": "anat", **KINDS[kind], **{name: value for name, value in values.items() if name != "kind"}}
    default = Product(key, "anat", "")
    unknown = set(given) - {field.name for field in fields(Product)}
    if unknown:
        raise ValueError(f"product {key!r}: unknown fields {sorted(unknown)}")
    made: JsonObject = {name: _read(key, name, value, getattr(default, name)) for name, value in given.items()}
    return replace(default, **made)


def _read(key: str, name: str, value: object, default: object) -> object:
    """Return a field's value in the type of its default."""
    if name == "entities" and isinstance(value, dict):
        return tuple((str(entity), str(label)) for entity, label in value.items())
    if name == "drop" and isinstance(value, list):
        return tuple(map(str, value))
    if name == "columns" and isinstance(value, str) and value in COLUMNS:
        return COLUMNS[value]
    if name in ("entities", "drop", "columns") or not isinstance(value, type(default)):
        raise ValueError(f"product {key!r}: {name} cannot be {value!r}")
    return key if value == "@key" else value


@cache
def _table() -> _Products:
    content = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    products = _Products({key: product_from(key, values) for key, values in content.items()})
    names: dict[object, str] = {}
    for key, product in products.items():
        name = (product.datatype, product.suffix, frozenset(product.entities), product.extension, product.labelled)
        if name in names:
            raise ValueError(f"products {key!r} and {names[name]!r} would have one name")
        names[name] = key
    return products


PRODUCTS: dict[str, Product] = _table()
