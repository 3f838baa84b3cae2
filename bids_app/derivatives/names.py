"""THE table of products: what each file is called, its unit and its meaning. Only this module spells names."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bids_app.derivatives.columns import (
    CLUSTER_COLUMNS,
    COHORT_COLUMNS,
    CONVERGENCE_COLUMNS,
    DESCRIPTIVE_COLUMNS,
    MANUAL_COLUMNS,
    MODEL_COLUMNS,
    OUTLIER_COLUMNS,
    QC_COLUMNS,
    REGION_COLUMNS,
    REGISTRATION_COLUMNS,
    VOXELWISE_COLUMNS,
)

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
    columns: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
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
        """Whether the image holds integer labels, with a look-up table beside it."""
        return self.suffix == "dseg"

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
        key,
        "fmap",
        "magnitude",
        (("desc", desc),),
        "arbitrary",
        text,
        drop=("part", "echo", "rec"),
        skull_stripped=False,
    )


def _mask(key: str, desc: str, description: str) -> Product:
    return Product(key, "anat", "mask", (("desc", desc),), "", description, dtype="uint8")


def _work(key: str, description: str, extension: str = ".npy") -> Product:
    return Product(key, "work", key, description=description, extension=extension, drop=("part", "echo"))


def _work_mask(key: str, description: str) -> Product:
    return replace(_work(key, description), dtype="uint8")


#: Columns of the look-up table that goes with every segmentation.
LOOKUP_COLUMNS: dict[str, dict[str, str]] = {
    "index": {"Description": "Value of the label in the image"},
    "name": {"Description": "Name of the region"},
    "hemisphere": {"Description": "Side: L left, R right"},
}


def segmentation(key: str, seg: str, description: str, space: str = "", datatype: str = "anat") -> Product:
    """Return a ``dseg`` image of integer labels; its step gives the rows (``index``, ``name``) of the ``.tsv`` too.

    Without ``seg`` it is one product for every segmentation: ``KEY@SEG``.
    """
    entities = ((("space", space),) if space else ()) + ((("seg", seg),) if seg else ())
    return Product(
        key,
        datatype,
        "dseg",
        entities,
        "",
        description,
        dtype="int16" if seg else "int32",
        columns=LOOKUP_COLUMNS,
        labelled="" if seg else "seg",
    )


def transform(key: str, source: str, target: str, extension: str = ".h5", datatype: str = "anat") -> Product:
    """Return a transform file that a step writes itself; it maps images of ``source`` to ``target``.

    Without ``source`` it is one product for every atlas: ``KEY@ATLAS``.
    """
    entities = ((("from", source),) if source else ()) + (("to", target), ("mode", "image"))
    text = f"Transform that brings images of {source or 'the atlas'} into {target}"
    return Product(key, datatype, "xfm", entities, "", text, extension, labelled="" if source else "from")


def table(
    key: str,
    suffix: str,
    entities: tuple[tuple[str, str], ...],
    description: str,
    columns: Mapping[str, Mapping[str, Any]],
    datatype: str = "anat",
    labelled: str = "",
) -> Product:
    """Return a TSV table; ``columns`` becomes its JSON data dictionary and names the columns that it may have."""
    return Product(key, datatype, suffix, entities, "", description, ".tsv", columns=columns, labelled=labelled)


def _group(key: str, desc: str, description: str, columns: Mapping[str, Mapping[str, Any]] = REGION_COLUMNS) -> Product:
    return table(key, "stats", (("desc", desc),), description, columns, "", labelled="seg")


_TABLE = (
    _image("chimap", "Chimap", "ppm", "Magnetic susceptibility relative to the reference region"),
    _image(
        "chimap_singlepass",
        "Chimap",
        "ppm",
        "Susceptibility from the filled mask alone, without the second pass",
        entities=(("desc", "singlepass"),),
    ),
    _image("r2star", "R2starmap", "1/s", "Effective transverse relaxation rate"),
    _image("t2star", "T2starmap", "s", "Effective transverse relaxation time"),
    _image("s0", "S0map", "arbitrary", "Magnitude extrapolated to echo time zero"),
    _image(
        "magnitude",
        "T2starw",
        "arbitrary",
        "Magnitude combined over echoes (root of the sum of squares)",
        entities=(("part", "mag"), ("desc", "combined")),
        skull_stripped=False,
    ),
    _image(
        "swi",
        "T2starw",
        "arbitrary",
        "Susceptibility-weighted image",
        entities=(("part", "mag"), ("desc", "swi")),
        skull_stripped=False,
    ),
    _image(
        "minip",
        "T2starw",
        "arbitrary",
        "Minimum-intensity projection of the susceptibility-weighted image over slabs",
        entities=(("part", "mag"), ("desc", "minip")),
    ),
    _fieldmap("total_field", "total", "Total field: frequency offset fitted over the echoes"),
    _fieldmap("local_field", "local", "Local (tissue) field after removal of the background field"),
    _fieldmap_magnitude("total_field_magnitude", "total"),
    _fieldmap_magnitude("local_field_magnitude", "local"),
    _mask("mask_brain", "brain", "Object mask made from the data, holes filled, before any method's erosion"),
    _mask("mask_processing", "processing", "Object mask and what is around it, where the field is processed"),
    _mask("mask_reliable", "reliable", "Voxels whose phase is reliable (the holey mask of the two-pass method)"),
    _mask("mask_qsm", "qsm", "Voxels where the susceptibility map is valid"),
    _work("quality", "Voxel quality of the phase, 0 to 1"),
    _work("coil_phase", "Wrapped phase of the echoes, coils combined, echoes first, rad"),
    _work("coil_magnitude", "Magnitude of the echoes, coils combined, echoes first"),
    _work("phase", "Wrapped phase of every echo without offset, echoes first, rad"),
    _work("phase_checks", "What was done to the phase as stored", ".json"),
    _work_mask("support", "Voxels with any signal"),
    _work("field_sd", "Standard error of the total field, Hz"),
    _work("residual", "Weighted root-mean-square residual of the field fit over the echoes, rad"),
    _work("corrected_field", "Total field after its corrections, before background removal, ppm"),
    _work("pass_field", "Local field of every pass and echo, one after the other, ppm"),
    _work_mask("pass_mask", "Voxels where the local field is valid, of every pass and echo"),
    _work_mask("pass_domain", "Mask of every pass without boundary sources"),
    _work("chi_with_trend", "Susceptibility as inverted, with its null-space trend, ppm"),
    _work("chi_with_trend_singlepass", "Susceptibility of the filled mask as inverted, with its null-space trend, ppm"),
    _work("local_field_with_trend", "Local field as inverted, with that of the map's null-space trend, ppm"),
    _work("chi_unreferenced", "Susceptibility as inverted, before its zero is set, ppm"),
    _work("chi_unreferenced_singlepass", "Susceptibility of the filled mask as inverted, ppm"),
    _work("trend", "Smooth trend that was taken off the susceptibility, ppm"),
    Product(
        "mask_boundary_sources",
        "work",
        "rimsources",
        description="Strong sources at the rim, inverted apart",
        extension=".npy",
        dtype="uint8",
    ),
    Product(
        "mask_singlepass",
        "work",
        "singlepass",
        description="Voxels where the single-pass map is valid",
        extension=".npy",
        dtype="uint8",
    ),
    Product(
        "wraps",
        "work",
        "wraps",
        description="Neighbours (0 to 3) with half a turn between in unwrapped phase",
        extension=".npy",
        dtype="uint8",
    ),
    _work("echo_quality", "Signal, noise, ghosts and field drift of the echoes", ".json"),
    Product("qc", "anat", "qc", description="Numbers for quality control, with their usual ranges", extension=".json"),
    # Anatomy.
    _image(
        "t1w_preproc",
        "T1w",
        "arbitrary",
        "T1-weighted image without its bias field",
        entities=(("desc", "preproc"),),
        skull_stripped=False,
    ),
    Product(
        "labels_native",
        "work",
        "labels",
        description="Labels on the segmentation's own grid",
        dtype="int32",
        labelled="seg",
    ),
    Product(
        "brain_native",
        "work",
        "brain",
        description="Brain mask on the segmentation's own grid",
        dtype="uint8",
        labelled="seg",
    ),
    segmentation("dseg_t1w", "", "Segmentation on the grid of the T1-weighted image", space="T1w"),
    segmentation("dseg_gre", "", "Segmentation on the grid of the gradient-echo images", space="GRE"),
    transform("xfm_t1w_to_gre", "T1w", "GRE", ".txt"),
    transform("xfm_t1w_to_gre_warp", "T1w", "GRE", ".nii.gz"),
    transform("xfm_atlas_to_t1w", "", "T1w", ".nii.gz"),
    transform("xfm_atlas_to_gre", "", "GRE", ".nii.gz"),
    _work("t1w_on_gre", "T1-weighted image on the grid of the gradient-echo images"),
    _mask("mask_anatomy", "anatomy", "Brain mask of the segmentation on the grid of the gradient-echo images"),
    table(
        "regions",
        "stats",
        (("desc", "chi"),),
        "Susceptibility and R2* of every region of a segmentation",
        REGION_COLUMNS,
        labelled="seg",
    ),
    # The group.
    table("cohort", "cohort", (), "Who is in the group, and what the participant level has made", COHORT_COLUMNS, ""),
    table("group_qc", "stats", (("desc", "qc"),), "Numbers for quality control of all runs", QC_COLUMNS, ""),
    _group("group_long", "chi", "Regional values of all runs, one row for every region"),
    Product(
        "group_wide",
        "",
        "stats",
        (("desc", "chi"),),
        "",
        "Regional values of all runs, one row for every run",
        ".csv",
        labelled="seg",
    ),
    _group("group_descriptive", "descriptive", "Regions described over all runs", DESCRIPTIVE_COLUMNS),
    _group("group_outliers", "outliers", "How far every run's regional values are from the cohort's", OUTLIER_COLUMNS),
    _image(
        "member_t1w",
        "T1w",
        "arbitrary",
        "T1w image of all runs of a participant, for the template",
        entities=(("desc", "member"),),
        skull_stripped=False,
    ),
    _image(
        "member_magnitude",
        "T2starw",
        "arbitrary",
        "Magnitude of all runs of a participant, for the template",
        entities=(("part", "mag"), ("desc", "member")),
        skull_stripped=False,
    ),
    Product(
        "xfm_run_to_member",
        "anat",
        "xfm",
        (("to", "member"), ("mode", "image")),
        "",
        "Rigid transform that brings a run's images to the mean position of the participant",
        ".txt",
        labelled="from",
    ),
    Product(
        "xfm_linear",
        "anat",
        "xfm",
        (("from", "member"), ("to", "template"), ("mode", "image")),
        "",
        "Linear transform that brings the participant to the average before",
        ".txt",
        labelled="desc",
    ),
    Product(
        "xfm_warp",
        "anat",
        "xfm",
        (("from", "member"), ("to", "template"), ("mode", "image")),
        "",
        "Displacement field that brings the participant to the template",
        labelled="desc",
    ),
    Product(
        "xfm_round",
        "work",
        "xfm",
        (("from", "member"), ("to", "template"), ("mode", "image")),
        "",
        "Displacement field that brings the participant to the average before",
        labelled="desc",
        shared=True,
    ),
    Product(
        "xfm_update",
        "anat",
        "xfm",
        (("from", "update"), ("mode", "image")),
        "",
        "Inverse of the mean of all linear transforms of a round",
        ".txt",
        labelled="desc",
    ),
    _image("round_t1w", "T1w", "arbitrary", "Average of a round", labelled="desc", skull_stripped=False),
    _image("round_magnitude", "T2starw", "arbitrary", "Average of a round", labelled="desc", skull_stripped=False),
    _image(
        "template_t1w",
        "T1w",
        "arbitrary",
        "Template: average in the mean shape of the group",
        entities=(("desc", "template"),),
        skull_stripped=False,
    ),
    _image(
        "template_magnitude",
        "T2starw",
        "arbitrary",
        "Template: average in the mean shape of the group",
        entities=(("desc", "template"),),
        skull_stripped=False,
    ),
    _image("space_chimap", "Chimap", "ppm", "Magnetic susceptibility in the space of the template", labelled="space"),
    _image(
        "space_r2star",
        "R2starmap",
        "1/s",
        "Effective transverse relaxation rate in the space of the template",
        labelled="space",
    ),
    _image(
        "space_magnitude",
        "T2starw",
        "arbitrary",
        "Combined magnitude in the space of the template",
        entities=(("part", "mag"), ("desc", "combined")),
        skull_stripped=False,
        labelled="space",
    ),
    Product(
        "space_mask",
        "anat",
        "mask",
        (("desc", "qsm"),),
        "",
        "Voxels of the template where the susceptibility map is valid",
        dtype="uint8",
        labelled="space",
    ),
    *(
        _image(
            f"{statistic}_{key}",
            suffix,
            unit,
            f"{text} over participants of the {what}",
            entities=(("desc", statistic),),
        )
        for statistic, text in (("mean", "Mean"), ("median", "Median"), ("sd", "Standard deviation"))
        for key, suffix, unit, what in (
            ("chimap", "Chimap", "ppm", "magnetic susceptibility"),
            ("r2star", "R2starmap", "1/s", "effective transverse relaxation rate"),
        )
    ),
    Product(
        "count_chimap",
        "anat",
        "Chimap",
        (("desc", "count"),),
        "",
        "Number of participants with a valid value",
        dtype="int32",
    ),
    _mask("mask_group", "group", "Voxels where half of the participants at least have a valid value"),
    segmentation("dseg_template", "", "Segmentations of the participants, fused by majority"),
    table(
        "convergence",
        "stats",
        (("desc", "convergence"),),
        "How the template converged, one row for every average",
        CONVERGENCE_COLUMNS,
    ),
    table(
        "registrations",
        "stats",
        (("desc", "registration"),),
        "How well every run fits the average in the space of the template",
        REGISTRATION_COLUMNS,
    ),
    _group("group_model", "model", "Linear model of every region", MODEL_COLUMNS),
    # A segmentation drawn on the template, measured on the runs' own grids and on the template.
    Product(
        "dseg_drawn",
        "anat",
        "dseg",
        (("desc", "drawn"),),
        "",
        "Segmentation drawn in the space of the template",
        dtype="int32",
        columns=LOOKUP_COLUMNS,
        labelled="seg",
    ),
    Product(
        "dseg_drawn_gre",
        "anat",
        "dseg",
        (("space", "GRE"), ("desc", "drawn")),
        "",
        "Segmentation drawn on the template, on the grid of the gradient-echo images",
        dtype="int32",
        columns=LOOKUP_COLUMNS,
        labelled="seg",
    ),
    table(
        "regions_drawn",
        "stats",
        (("desc", "drawn"),),
        "Susceptibility and R2* of every region of a segmentation "
        "drawn on the template, on the run's own map and in the space of the template",
        MANUAL_COLUMNS,
        labelled="seg",
    ),
    # Voxel-wise model: one set of maps for every term, one volume for every coefficient of the term.
    *(
        Product(
            f"stat_{key}",
            "anat",
            "statmap",
            (("stat", stat), *((("desc", desc),) if desc else ())),
            "",
            text,
            labelled="contrast",
        )
        for key, stat, desc, text in (
            ("effect", "effect", "", "Coefficient, in the unit of the map for each unit of the term"),
            ("t", "t", "", "Coefficient over its standard error"),
            ("z", "z", "", "Standard normal value of the same p as t"),
            ("logp", "logp", "", "-log10 of the two-sided p value, uncorrected"),
            ("fdr", "t", "fdr", "t where it is significant by the false discovery rate, else 0"),
            ("fwe", "t", "fwe", "t where it is significant by the family-wise error rate, else 0"),
            ("logpfwe", "logp", "fwe", "-log10 of the family-wise error rate from permutations"),
        )
    ),
    _mask("mask_voxelwise", "voxelwise", "Voxels of the group's mask that are tested: everybody has a value"),
    table(
        "voxelwise",
        "stats",
        (("desc", "voxelwise"),),
        "Voxel-wise model, one row for every coefficient",
        VOXELWISE_COLUMNS,
    ),
    table("voxelwise_clusters", "stats", (("desc", "clusters"),), "Clusters of significant voxels", CLUSTER_COLUMNS),
    # The template in another space.
    Product(
        "xfm_template",
        "anat",
        "xfm",
        (("from", "template"), ("mode", "image")),
        "",
        "Displacement field that brings images of the template to the output space",
        labelled="to",
    ),
    _image(
        "onto_t1w",
        "T1w",
        "arbitrary",
        "Template in the output space",
        entities=(("desc", "template"),),
        skull_stripped=False,
        labelled="space",
    ),
    _image(
        "onto_magnitude",
        "T2starw",
        "arbitrary",
        "Template in the output space",
        entities=(("desc", "template"),),
        skull_stripped=False,
        labelled="space",
    ),
)


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


def _by_key(products: tuple[Product, ...]) -> dict[str, Product]:
    found = _Products()
    names: dict[tuple[Any, ...], str] = {}
    for product in products:
        name = (product.datatype, product.suffix, frozenset(product.entities), product.extension, product.labelled)
        if product.key in found or name in names:
            raise ValueError(f"products {product.key!r} and {names.get(name, product.key)!r} would have one name")
        found[product.key], names[name] = product, product.key
    return found


PRODUCTS: dict[str, Product] = _by_key(_TABLE)


def spell(entities: dict[str, str], suffix: str, extension: str) -> str:
    """Return a BIDS file name with the entities in the specification's order."""
    unknown = set(entities) - set(ENTITY_ORDER)
    if unknown:
        raise ValueError(f"no place is known in a file name for the entities {sorted(unknown)}")
    parts = [f"{key}-{entities[key]}" for key in ENTITY_ORDER if key in entities]
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
