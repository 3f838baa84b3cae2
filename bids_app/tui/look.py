"""What a folder holds, what of it can be mapped, and what is wrong: with the checks of the command itself."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from urllib.parse import unquote, urlparse

from bids_app.convert import ConversionReport, ConvertRequest, convert
from bids_app.derivatives.presence import is_system_file
from bids_app.errors import InputRefusedError, QsmAppError
from bids_app.model.records import GreRun
from bids_app.tui.plan import BIDS, DICOM, NIFTI, RESULTS, Plan

#: So many files are looked at to see what a folder holds.
_FILES = 2000
#: Of results whose dataset is unknown or has moved.
NO_DATASET = "The dataset of these results is not known. Choose its folder in step 1 to map it again."
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


@dataclass(frozen=True)
class Sight:
    """What a folder is, in a sentence; of a folder with results the dataset that they are of."""

    kind: str
    sentence: str
    bids_dir: Path | None = None


@dataclass(frozen=True)
class Found:
    """One gradient-echo run, and what is wrong with it."""

    run: GreRun
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Survey:
    """The runs of a dataset, and what is wrong that is about none of them."""

    runs: tuple[Found, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()


def identify(folder: Path) -> Sight:
    """Return what a folder holds by a look at its files."""
    if not folder.is_dir():
        return Sight("", "There is no such folder." if not folder.exists() else "This is a file; choose a folder.")
    description = folder / "dataset_description.json"
    if description.is_file():
        return _dataset(folder, description)
    try:
        counts = _count(folder)
    except OSError as error:
        return Sight("", f"This folder cannot be read: {error.strerror}.")
    if counts[DICOM]:
        return Sight(DICOM, "DICOM files. They become a BIDS dataset first.")
    if counts[NIFTI]:
        return Sight(NIFTI, "NIfTI files. They become a BIDS dataset first.")
    return Sight("", "Neither a BIDS dataset nor scans are here. Choose a folder inside, or another one.")


def _dataset(folder: Path, description: Path) -> Sight:
    try:
        content = json.loads(description.read_text(encoding="utf-8"))
        makers = [maker.get("Name") for maker in content.get("GeneratedBy", [])]
    except (OSError, ValueError, AttributeError):
        return Sight(BIDS, "A BIDS dataset, but its dataset_description.json cannot be read.")
    if "qsm-bids-app" in makers and content.get("DatasetType") == "derivative":
        link = urlparse(str((content.get("DatasetLinks") or {}).get("raw", "")))
        source = Path(unquote(link.path)) if link.scheme == "file" else None
        return Sight(RESULTS, "Results of this app. Go to Results to look at them.", source)
    people = sum(e.is_dir() and e.name.startswith("sub-") for e in os.scandir(folder))
    return Sight(BIDS, f"A BIDS dataset with {people} participant{'' if people == 1 else 's'}.")


def _count(folder: Path) -> dict[str, int]:
    counts = {DICOM: 0, NIFTI: 0}
    for path in islice(_files(folder), _FILES):
        name = path.name.lower()
        if name.endswith((".nii", ".nii.gz")):
            counts[NIFTI] += 1
        elif name.endswith((".dcm", ".ima", *_ARCHIVES)) or _is_dicom(path):
            counts[DICOM] += 1
    return counts


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_system_file(name))
        yield from (Path(place) / name for name in sorted(files) if not is_system_file(name))


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def survey(plan: Plan) -> Survey:
    """Return the runs of the plan's dataset with what the command would refuse before it starts."""
    from bids_app.cli.app import check_participants

    if plan.bids_dir is None:
        return Survey((), (NO_DATASET,))
    try:
        checked = check_participants(plan.config())
    except InputRefusedError as error:
        return Survey((), error.problems)
    except QsmAppError as error:
        return Survey((), (str(error).partition("\n")[0],))
    runs = [run for subject in checked.subjects for run in subject.runs]
    return assigned(runs, checked.problems, [*checked.skipped, *filter(None, [checked.warning])])


def assigned(runs: Sequence[GreRun], problems: Sequence[str], notes: Sequence[str] = ()) -> Survey:
    """Return every problem with the run that it is about; its sentence starts with the run or one of its files."""
    names: Mapping[str, str] = {name: run.basename for run in runs for name in _names(run)}
    of_run: dict[str, list[str]] = {run.basename: [] for run in runs}
    others: list[str] = []
    for problem in problems:
        about = names.get(problem.partition(":")[0].split(" ")[0])
        (of_run[about] if about else others).append(problem)
    return Survey(tuple(Found(run, tuple(of_run[run.basename])) for run in runs), tuple(others), tuple(notes))


def _names(run: GreRun) -> Iterator[str]:
    yield run.basename
    for echo in (*run.echoes, *run.spin_echo):
        yield from (path.name for path in (echo.magnitude, echo.phase, echo.real, echo.imag) if path)


def planned(plan: Plan, say: Callable[[str], None]) -> ConversionReport:
    """Return what a conversion would do; nothing is written.

    Raises
    ------
    QsmAppError
        As :func:`bids_app.convert.convert`.
    """
    assert plan.folder is not None and plan.bids_dir is not None and plan.output_dir is not None
    with tempfile.TemporaryDirectory(prefix="qsm-bids-app-") as work:
        table = plan.series_file if plan.series else None
        request = ConvertRequest(
            bids_dir=plan.bids_dir,
            report_dir=plan.output_dir,
            work_dir=Path(work),
            dicom_dir=plan.folder if plan.kind == DICOM else None,
            nifti_dir=plan.folder if plan.kind == NIFTI else None,
            heuristic=plan.options.get("heuristic", "generic"),
            subject_pattern=plan.options.get("subject_pattern"),
            session_pattern=plan.options.get("session_pattern"),
            series_table=table,
            add="add" in plan.options,
            dry_run=True,
            nprocs=min(os.cpu_count() or 1, 4),
        )
        return convert(request, say)
