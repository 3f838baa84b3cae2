"""``--export-dicom``: the maps of the participants as DICOM, with the identity of the scans they came from."""

import argparse
import importlib.util
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bids_app.cli.config import Selection
from bids_app.dataset.subjects import selected_subjects
from bids_app.derivatives.files import read_image
from bids_app.derivatives.names import product_path
from bids_app.derivatives.products import PRODUCTS
from bids_app.errors import InputRefusedError, ToolMissingError, UsageError
from bids_app.model.context import Context
from bids_app.model.records import GreRun

if TYPE_CHECKING:
    from bids_app.convert.export.source import Volume


class _Unit(NamedTuple):
    """Unit of an exported map: UCUM's code, its meaning, and by what the product's values are multiplied."""

    code: str
    meaning: str
    factor: float


_PPB = _Unit("[ppb]", "parts per billion", 1000.0)
_RATE = _Unit("/s", "per second", 1.0)
_NONE = _Unit("1", "no units", 1.0)
#: Products that are exported, what their series are called, and their units.
_EXPORTED = {
    "chimap": ("QSM", _PPB),
    "r2star": ("R2*", _RATE),
    "swi": ("SWI", _NONE),
    "chi_paramagnetic": ("QSM paramagnetic", _PPB),
    "chi_diamagnetic": ("QSM diamagnetic", _PPB),
}
#: Number of the first new series of a run.
_FIRST_SERIES = 9001


def _source(args: argparse.Namespace) -> Path | None:
    """Return the folder of the source: that of the conversion where no other is given."""
    folder: Path | None = args.dicom_source or args.dicom_dir
    return folder


def check_export(args: argparse.Namespace) -> None:
    """Refuse an export that cannot be done, before anything runs.

    Raises
    ------
    UsageError
        If the level, the source or the place does not fit.
    InputRefusedError
        If the source folder is not there, or the place is in a BIDS dataset or not empty.
    ToolMissingError
        If highdicom is not installed.
    """
    target, source = args.export_dicom, _source(args)
    if target is None:
        if args.dicom_source is not None:
            raise UsageError("--dicom-source is for --export-dicom: give both")
        return
    if source is None:
        raise UsageError("--export-dicom needs --dicom-source: the DICOM files that the dataset was converted from")
    if "participant" not in args.levels or args.cluster or args.write_jobs:
        raise UsageError("--export-dicom goes with level participant, without --cluster or --write-jobs")
    if not source.is_dir():
        raise InputRefusedError([f"--dicom-source: there is no folder {source}"])
    roots = [args.bids_dir.resolve(), args.output_dir.resolve()]
    for folder in (target.resolve(), *target.resolve().parents):
        if folder in roots or (folder / "dataset_description.json").exists():
            raise InputRefusedError(
                [f"--export-dicom: {target} lies in the BIDS dataset {folder}; choose a folder elsewhere"]
            )
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputRefusedError([f"--export-dicom: {target} is not empty; give a new folder"])
    if importlib.util.find_spec("highdicom") is None:
        raise ToolMissingError("--export-dicom needs the Python package highdicom: pip install highdicom")


def export_maps(args: argparse.Namespace, chosen: Selection, context: Context) -> int:
    """Write the maps of the selected participants; return the exit code: 1 where a run has no map."""
    from bids_app.convert.export.source import volumes_of
    from bids_app.convert.scan.files import scan

    source, code = _source(args), 0
    assert source is not None  # check_export has asked for it
    subjects = selected_subjects(context.bids_dir, chosen.participants, chosen.sessions, chosen.filters, False)
    with tempfile.TemporaryDirectory(dir=context.work_dir if context.work_dir.is_dir() else None) as scratch:
        series = scan(source, Path(scratch) / "unpacked", args.nprocs or 1, (args.export_dicom,))
        volumes = volumes_of(series.instances)
        if not volumes:
            raise InputRefusedError([f"--dicom-source: no MR images of whole volumes are in {source}"])
        for run in (run for subject in subjects for run in subject.runs):
            maps = list(_maps(run, context))
            if not maps:
                print(f"{run.basename}: there is no map to export")
                code = 1
                continue
            for line in _export(run, maps, volumes, args.export_dicom / run.basename):
                print(line)
    return code


def _maps(run: GreRun, context: Context) -> Iterator[tuple[str, Path]]:
    """Yield the products of a run that exist, with their files."""
    for key in _EXPORTED:
        path = product_path(PRODUCTS[key], dict(run.entities), context.output_dir, context.work_dir)
        if path.is_file():
            yield key, path


def _export(run: GreRun, maps: Sequence[tuple[str, Path]], volumes: "Sequence[Volume]", folder: Path) -> Iterator[str]:
    """Write every map of a run twice: classic slices and a parametric map."""
    from bids_app.convert.export.classic import Map, write_classic
    from bids_app.convert.export.parametric import write_parametric
    from bids_app.convert.export.source import find_source, on_slices

    echo = run.echoes[0]
    image = echo.magnitude or echo.phase or echo.real
    assert image is not None  # an echo has one of them
    volume = find_source(volumes, *read_image(image), image.name)
    for place, (key, path) in enumerate(maps):
        title, unit = _EXPORTED[key]
        data, affine = read_image(path)
        turned = on_slices(data * np.float32(unit.factor), affine, volume)
        if turned is None:
            raise InputRefusedError([f"{path} does not lie on the grid of {image.name}: compute it again"])
        derivation = f"{PRODUCTS[key].description}, by QSM BIDS App"
        exported = Map(np.asarray(turned, np.float32), title, derivation, unit.code, unit.meaning)
        number = _FIRST_SERIES + 2 * place
        write_classic(exported, volume, folder / f"{key}_classic", number)
        write_parametric(exported, volume, folder / f"{key}_parametric" / "0001.dcm", number + 1)
        yield f"{folder / f'{key}_classic'}: {title} as DICOM, unit {unit.meaning}; {key}_parametric in the same folder"
