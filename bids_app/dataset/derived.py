"""What other datasets (``--derivatives``) have for a gradient-echo run: a mask, and maps that stand for steps of it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bids_app.dataset.given_masks import belongs, on_grid, participant_folders, with_given_mask
from bids_app.dataset.images import look_at
from bids_app.derivatives.names import sidecar_path
from bids_app.derivatives.presence import read_json_object
from bids_app.model.naming import entities_in
from bids_app.model.records import GivenMap, GreRun
from bids_app.qsm.units import FIELD_UNITS

MASK = "mask"


@dataclass(frozen=True)
class MapKind:
    """Maps of one product: how their files are named, and the units that are understood.

    ``default`` is the unit of a map whose sidecar has none; empty: the sidecar must say it.
    """

    product: str
    title: str
    suffix: str
    descs: tuple[str, ...]
    units: tuple[str, ...]
    default: str = ""


_RATES = ("1/s", "Hz", "s^-1")
KINDS = {
    kind.product: kind
    for kind in (
        MapKind("total_field", "total field", "fieldmap", ("", "total"), FIELD_UNITS),
        MapKind("local_field", "local field", "fieldmap", ("local", "tissue"), FIELD_UNITS),
        MapKind("chimap", "susceptibility map", "Chimap", ("",), ("ppm", "ppb")),
        MapKind("r2star", "R2*", "R2starmap", ("",), _RATES, "1/s"),
        MapKind("r2", "R2", "R2map", ("",), _RATES, "1/s"),
        MapKind("r2prime", "R2'", "R2map", ("R2prime",), _RATES, "1/s"),
        MapKind("fibre_angle", "fibre angle", "anglemap", ("fibre",), ("rad",), "rad"),
    )
}
#: What ``--derivatives-use`` chooses from.
USES = (MASK, *KINDS)


def with_given(
    run: GreRun, folders: Sequence[Path], output_dir: Path, uses: Collection[str] = USES, mask_desc: str = ""
) -> GreRun:
    """Return the run with what other datasets have for it, and a remark about each.

    Parameters
    ----------
    run : GreRun
    folders : sequence of paths
        Derivative datasets; the first one that has a mask or a map wins.
    own : Path
        Folder of the command's own outputs, whose maps are no input of it (a corrected mask is).
    uses : collection of str
        Of :data:`USES`, what is looked for.
    mask_desc : str
        Description of the mask that is asked for; empty: ``brain``, or none.
    """
    if MASK in uses:
        run = with_given_mask(run, folders, mask_desc)
    others = [folder for folder in folders if folder.resolve() != output_dir.resolve()]
    return with_given_maps(run, others, [name for name in KINDS if name in uses])


def with_given_maps(run: GreRun, folders: Sequence[Path], products: Collection[str] = tuple(KINDS)) -> GreRun:
    """Return the run with the maps that the first of the datasets has for it: fields, susceptibility, relaxation.

    :data:`KINDS` has their names and units. A map belongs to a run as a mask does
    (:func:`bids_app.dataset.given_masks.with_given_mask`), and lies on its grid. A map that the run has already (a
    field map of the dataset itself) stays.
    """
    maps = {given.product: given for given in run.given_maps}
    remarks = []
    for kind in (KINDS[product] for product in products):
        for path in (path for folder in folders for path in _maps(run, folder, kind)):
            state = look_at(path, is_phase=False)
            if state.problem:
                remarks.append(state.problem)
            elif not on_grid(run, state.shape, state.affine):
                remarks.append(f"{path.name} of --derivatives is not used: it lies on another grid than the run")
            elif kind.product not in maps:
                maps[kind.product] = GivenMap(kind.product, path, units_of(kind, read_json_object(sidecar_path(path))))
                remarks.append(f"{path.name} of {path.parent} is used as the {kind.title} of the run")
    return replace(run, given_maps=tuple(maps.values()), remarks=(*run.remarks, *remarks))


def units_of(kind: MapKind, sidecar: Mapping[str, object]) -> str:
    """Return the unit by a sidecar, as :class:`MapKind` spells it; one that is not understood stays as it is."""
    said = str(sidecar.get("Units", kind.default)).strip()
    return next((unit for unit in kind.units if unit.lower() == said.lower()), said)


def _maps(run: GreRun, folder: Path, kind: MapKind) -> list[Path]:
    home = participant_folders(run, folder)[0]
    paths = [path for end in (".nii", ".nii.gz") for path in home.glob(f"*/*_{kind.suffix}{end}")]
    return sorted(
        path for path in paths if belongs(run, path) and dict(entities_in(path.name)).get("desc", "") in kind.descs
    )


def given_units(run: GreRun) -> Iterator[str]:
    """Maps of other datasets have a unit that is understood."""
    for given in run.given_maps:
        kind = KINDS[given.product]
        if given.units in kind.units:
            continue
        what = f'"Units" is {given.units!r}' if given.units else 'there is no "Units"'
        yield (
            f"{given.path.name}: {what} in its JSON sidecar {sidecar_path(given.path).name}; set it to one of "
            f"{', '.join(kind.units)}, or leave this {kind.title} out (--derivatives-use)"
        )
