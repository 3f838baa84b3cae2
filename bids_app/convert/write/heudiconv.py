"""Convert the series of one session with heudiconv.

heudiconv gets the conversion table that the heuristic led to, one line per volume, as it would write it itself
(``.heudiconv/SUBJECT/info/*.edit.txt``, made for being edited) and works in a folder of its own: nothing of it
touches the dataset, and its notes, which hold the PatientID, go with the folder.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from pprint import pformat

from bids_app.convert.name.heuristic import Heuristic
from bids_app.convert.name.plan import VolumePlan
from bids_app.convert.write.tools import Ran, link, run_module


def run_heudiconv(
    volumes: Sequence[VolumePlan], heuristic: Heuristic, subject: str, session: str | None, scratch: Path
) -> tuple[Path, Ran]:
    """Convert volumes; returns the folder in which the images lie under their names, and how heudiconv ended.

    What heudiconv did not make is missing there: the caller sees to it, volume by volume.
    """
    out, dicoms = scratch / "heudiconv", scratch / "dicom"
    info = out / ".heudiconv" / subject / (f"ses-{session}" if session else "") / "info"
    info.mkdir(parents=True)
    table, groups = {}, {}
    for index, volume in enumerate(volumes, start=1):
        folder = dicoms / subject / f"{index:04d}"
        folder.mkdir(parents=True)
        groups[f"{index:04d}"] = link_files(volume.files, folder)
        table[volume.target, ("nii.gz",), None] = [f"{index:04d}"]
    suffix = f"_ses-{session}" if session else ""
    (info / f"{subject}{suffix}.edit.txt").write_text(pformat(table), encoding="utf-8")
    (info / f"filegroup{suffix}.json").write_text(json.dumps(groups), encoding="utf-8")
    # heudiconv reuses the table as long as the heuristic is the one that it was made with.
    shutil.copyfile(heuristic.path, info / "heuristic.py")
    arguments = [
        "-d",
        f"{dicoms}/{{subject}}/*/*",
        "-s",
        subject,
        *(["-ss", session] if session else []),
        "-f",
        str(heuristic.path),
        "-c",
        "dcm2niix",
        "-b",
        "notop",
        "--minmeta",
        "--random-seed",
        "1",
        "-o",
        str(out),
    ]
    return out, run_module("heudiconv.cli.run", arguments, scratch)


def link_files(files: Sequence[Path], folder: Path) -> list[str]:
    """Link files under short unique names: files of one volume may have equal names in different folders."""
    linked = []
    for number, path in enumerate(files, start=1):
        target = folder / f"{number:05d}.dcm"
        link(path, target)
        linked.append(str(target))
    return linked
