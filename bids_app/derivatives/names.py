"""THE table of products: what each file is called, its unit and its meaning. Only this module spells names."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Order of BIDS entities in file names (the part of the specification's order that we use).
ENTITY_ORDER = (
    "sub", "tpl", "cohort", "ses", "acq", "ce", "rec", "dir", "run", "echo", "flip", "inv", "part", "space",
    "seg", "res", "desc",
)  # fmt: skip


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

    @property
    def in_work_dir(self) -> bool:
        """Whether the product is an intermediate file that lives in the work directory."""
        return self.datatype == "work"


def _image(key: str, suffix: str, unit: str, description: str, datatype: str = "anat", **more: Any) -> Product:
    return Product(key, datatype, suffix, unit=unit, description=description, **more)


def _fieldmap(key: str, desc: str, description: str) -> Product:
    # BIDS allows neither echo nor rec on a fieldmap.
    return Product(key, "fmap", "fieldmap", (("desc", desc),), "Hz", description, drop=("part", "echo", "rec"))


def _fieldmap_magnitude(key: str, desc: str) -> Product:
    # BIDS asks for a magnitude beside every field map.
    text = "Combined magnitude that goes with the field map"
    return Product(
        key, "fmap", "magnitude", (("desc", desc),), "arbitrary", text, drop=("part", "echo", "rec"),
        skull_stripped=False,
    )  # fmt: skip


def _mask(key: str, desc: str, description: str) -> Product:
    return Product(key, "anat", "mask", (("desc", desc),), "", description, dtype="uint8")


def _work(key: str, description: str) -> Product:
    return Product(key, "work", key, description=description, extension=".npy", drop=("part", "echo"))


_TABLE = (
    _image("chimap", "Chimap", "ppm", "Magnetic susceptibility relative to the reference region"),
    _image(
        "chimap_singlepass", "Chimap", "ppm", "Susceptibility from the filled mask alone, without the second pass",
        entities=(("desc", "singlepass"),),
    ),
    _image("r2star", "R2starmap", "1/s", "Effective transverse relaxation rate"),
    _image("t2star", "T2starmap", "s", "Effective transverse relaxation time"),
    _image("s0", "S0map", "arbitrary", "Magnitude extrapolated to echo time zero"),
    _image(
        "magnitude", "T2starw", "arbitrary", "Magnitude combined over echoes (root of the sum of squares)",
        entities=(("part", "mag"), ("desc", "combined")), skull_stripped=False,
    ),
    _fieldmap("total_field", "total", "Total field: frequency offset fitted over the echoes"),
    _fieldmap("local_field", "local", "Local (tissue) field after removal of the background field"),
    _fieldmap_magnitude("total_field_magnitude", "total"),
    _fieldmap_magnitude("local_field_magnitude", "local"),
    _mask("mask_brain", "brain", "Object mask made from the data, holes filled, before any method's erosion"),
    _mask("mask_reliable", "reliable", "Voxels whose phase is reliable (the holey mask of the two-pass method)"),
    _mask("mask_qsm", "qsm", "Voxels where the susceptibility map is valid"),
    _work("quality", "Voxel quality of the phase, 0 to 1"),
    _work("field_sd", "Standard error of the total field, Hz"),
    _work("residual", "Weighted root-mean-square residual of the field fit over the echoes, rad"),
)  # fmt: skip

PRODUCTS: dict[str, Product] = {product.key: product for product in _TABLE}


def spell(entities: dict[str, str], suffix: str, extension: str) -> str:
    """Return a BIDS file name with the entities in the specification's order."""
    unknown = set(entities) - set(ENTITY_ORDER)
    if unknown:
        raise ValueError(f"no place is known in a file name for the entities {sorted(unknown)}")
    parts = [f"{key}-{entities[key]}" for key in ENTITY_ORDER if key in entities]
    return "_".join([*parts, suffix]) + extension


def product_path(product: Product, source_entities: dict[str, str], output_dir: Path, work_dir: Path) -> Path:
    """Return where a product of a source image (its entities) is kept.

    The name carries every entity of the source except those that the suffix forbids; a dropped ``rec`` is folded into
    ``acq`` so that two reconstructions of one acquisition still differ.
    """
    entities = dict(source_entities)
    if "rec" in product.drop and "rec" in entities:
        entities["acq"] = entities.get("acq", "") + "rec" + entities["rec"]
    for key in product.drop:
        entities.pop(key, None)
    entities.update(product.entities)
    name = spell(entities, product.suffix, product.extension)
    folder = work_dir if product.in_work_dir else output_dir
    folder = folder / f"sub-{source_entities['sub']}"
    if "ses" in source_entities:
        folder = folder / f"ses-{source_entities['ses']}"
    return folder / ("" if product.in_work_dir else product.datatype) / name
