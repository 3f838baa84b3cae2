"""Convert the series of one subject and session, and put them into the dataset at once."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from bids_app.convert.name.heuristic import Heuristic, add_entity, get_entity
from bids_app.convert.name.plan import SeriesPlan, VolumePlan
from bids_app.convert.name.privacy import Redactor
from bids_app.convert.write import sidecars
from bids_app.convert.write.dcm2niix import run_dcm2niix, run_split, sidecar
from bids_app.convert.write.heudiconv import run_heudiconv
from bids_app.convert.write.tables import write_table
from bids_app.derivatives.files import write_json
from bids_app.derivatives.nifti import load
from bids_app.derivatives.scratch import scratch_folder


class PlacementError(RuntimeError):
    """The session cannot be put into the dataset; what is there stays as it is."""


@dataclass
class Made:
    """What was made of the planned series: outputs, the way and the reason of failure, by series UID."""

    outputs: dict[str, list[str]] = field(default_factory=dict)
    ways: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    remarks: dict[str, list[str]] = field(default_factory=dict)
    times: dict[str, str] = field(default_factory=dict)  # acquisition time by output


def make_images(
    plans: Sequence[SeriesPlan],
    heuristic: Heuristic,
    subject: str,
    session: str | None,
    scratch: Path,
    redact: Redactor,
) -> tuple[Path, Made]:
    """Convert all planned series below ``scratch``; returns the folder of the finished tree and what became of them.

    heudiconv comes first; what it cannot take, or did not make, is converted with dcm2niix under the same names.
    """
    tree, made = scratch / "tree", Made()
    tree.mkdir(parents=True)
    by_heudiconv = [p for p in plans if p.way == "heudiconv"]
    if by_heudiconv:
        volumes = [v for p in by_heudiconv for v in p.volumes]
        out, ran = run_heudiconv(volumes, heuristic, subject, session, scratch / "first")
        for plan in by_heudiconv:
            if all(_is_there(out, v) for v in plan.volumes):
                made.ways[plan.series.facts.uid] = "heudiconv"
                collect(out, plan, tree, made, redact)
            else:
                said = redact(ran.last_line)
                made.remarks.setdefault(plan.series.facts.uid, []).append(f"heudiconv made no image of it: {said}")
    for number, plan in enumerate(p for p in plans if p.series.facts.uid not in made.ways):
        _by_dcm2niix(plan, scratch / f"series-{number:03d}", tree, made, redact)
    complete_complex(plans, tree, made)
    return tree, made


def _by_dcm2niix(plan: SeriesPlan, scratch: Path, tree: Path, made: Made, redact: Redactor) -> None:
    """Convert one series with dcm2niix: its files as they are, then enhanced ones after they are split."""
    uid = plan.series.facts.uid
    made.ways[uid] = "dcm2niix"
    first = ""
    for way in (run_dcm2niix, run_split) if plan.series.facts.mixed_files else (run_dcm2niix,):
        made.failures.pop(uid, None)
        out, missing = way(plan.volumes, scratch / way.__name__)
        if not missing:
            collect(out, plan, tree, made, redact)
        else:
            made.failures[uid] = "; ".join(sorted(set(missing.values())))
        if uid not in made.failures:
            return
        first = first or made.failures[uid]
    made.failures[uid] = first


def _is_there(out: Path, volume: VolumePlan) -> bool:
    image = out / f"{volume.target}.nii.gz"
    return image.is_file() and sidecar(image).is_file()


def collect(out: Path, plan: SeriesPlan, tree: Path, made: Made, redact: Redactor) -> None:
    """Check and finish the images of one series and move them to the tree; all of them or none."""
    facts = plan.series.facts
    values = plan.series.instances[0].values
    polarity = sidecars.readout_polarity(plan.volumes[0].files) if len(facts.echo_times) > 1 else None
    for volume in plan.volumes:
        image = out / f"{volume.target}.nii.gz"
        problem = _wrong_size(image, plan, volume)
        if not problem and volume.volume.part == "mag" and not facts.is_stated and sidecars.looks_like_phase(image):
            problem = "its header does not say whether it is magnitude or phase, and its values look like phase"
        if problem:
            made.failures[facts.uid] = problem
            return
    for volume in plan.volumes:
        target = tree / volume.target
        target.parent.mkdir(parents=True, exist_ok=True)
        for extension in (".nii.gz", ".json", ".bval", ".bvec"):
            if (out / f"{volume.target}{extension}").is_file():
                shutil.move(out / f"{volume.target}{extension}", f"{target}{extension}")
    phases = [tree / f"{v.target}.nii.gz" for v in plan.volumes if v.volume.part == "phase"]
    sidecars.scale_to_radians(phases, facts.vendor, values["rescale_type"])
    for volume in plan.volumes:
        image = tree / f"{volume.target}.nii.gz"
        image.chmod(0o644)
        described = json.loads(sidecar(image).read_text(encoding="utf-8"))
        if volume.volume.part == "field":
            described |= sidecars.echo_times_of_field(volume.volume.echo_time, values.get("echo_spacing"))
        units = _units(image, volume.volume.part, described.get("Units"))
        sidecars.clean_header(image, redact)
        write_json(sidecar(image), sidecars.finish_sidecar(described, volume.volume, facts, units, polarity, redact))
        made.outputs.setdefault(facts.uid, []).append(f"{volume.target}.nii.gz")
        made.times[f"{volume.target}.nii.gz"] = facts.date_time


def _units(image: Path, part: str, declared: object) -> str | None:
    if part == "field":
        return "Hz"
    return sidecars.phase_units(load(image), declared) if part == "phase" else None


def _wrong_size(image: Path, plan: SeriesPlan, volume: VolumePlan) -> str:
    """Return what is wrong with the number of voxels of an image, or an empty text."""
    values = plan.series.instances[0].values
    try:
        shape = load(image).shape
    except Exception as error:  # nibabel raises its own and the operating system's errors
        return f"the converted image cannot be read ({type(error).__name__})"
    voxels, expected = 1, values["rows"] * values["columns"] * volume.volume.images
    for n in shape:
        voxels *= n
    if voxels != expected:
        return f"the converted image has {voxels} voxels, the DICOM files {expected}"
    return ""


def complete_complex(plans: Sequence[SeriesPlan], tree: Path, made: Made) -> None:
    """Add magnitude and phase to every pair of real and imaginary images that came without them."""
    targets = {t: (p, v) for p in plans for v in p.volumes for t in [v.target] if (tree / f"{t}.nii.gz").is_file()}
    for target, (plan, _) in sorted(targets.items()):
        if get_entity(target, "part") != "real" or add_entity(target, "part", "imag") not in targets:
            continue
        new = {part: add_entity(target, "part", part) for part in ("mag", "phase")}
        if set(new.values()) & set(targets):
            continue
        paths = {part: tree / f"{add_entity(target, 'part', part)}.nii.gz" for part in ("real", "imag", "mag", "phase")}
        uid = plan.series.facts.uid
        try:
            sidecars.write_complex_parts(*(paths[part] for part in ("real", "imag", "mag", "phase")))
        except ValueError as error:
            made.failures[uid] = str(error)
            continue
        made.outputs[uid] += [f"{t}.nii.gz" for t in new.values()]
        made.times.update({f"{t}.nii.gz": plan.series.facts.date_time for t in new.values()})
        remark = "magnitude and phase were computed from real and imaginary images"
        if remark not in made.remarks.setdefault(uid, []):
            made.remarks[uid].append(remark)


def write_scans(tree: Path, subject: str, session: str | None, times: Mapping[str, str]) -> None:
    """Write the session's ``_scans.tsv``: file name and acquisition time of every image."""
    base = tree / f"sub-{subject}" / (f"ses-{session}" if session else "")
    name = f"sub-{subject}" + (f"_ses-{session}" if session else "") + "_scans.tsv"
    rows: list[dict[str, object]] = []
    for output in sorted(times):
        relative = (tree / output).relative_to(base).as_posix()
        rows.append({"filename": relative, "acq_time": _iso(times[output])})
    write_table(base / name, ("filename", "acq_time"), rows)


def _iso(date_time: str) -> str:
    whole, _, fraction = date_time.partition(".")
    try:
        stamp = datetime.strptime(whole, "%Y%m%d%H%M%S")
    except ValueError:
        return ""
    return stamp.isoformat() + (f".{fraction[:6]:0<6}" if fraction else "")


def existing(bids_dir: Path, subject: str, session: str | None) -> bool:
    """Return whether the dataset holds images of this subject and session already."""
    folder = bids_dir / f"sub-{subject}" / (f"ses-{session}" if session else "")
    return folder.is_dir() and next(folder.rglob("*.nii*"), None) is not None


def layout_conflict(bids_dir: Path, subject: str, session: str | None) -> str | None:
    """Return why a session cannot join the subject: a subject is stored with sessions or without, not both."""
    folder = bids_dir / f"sub-{subject}"
    if not folder.is_dir():
        return None
    with_sessions = any(folder.glob("ses-*"))
    without = any(p.is_dir() and not p.name.startswith("ses-") for p in folder.iterdir())
    if session and without:
        return f"sub-{subject} is in the dataset without sessions: remove it to convert all its studies anew"
    if not session and with_sessions:
        return f"sub-{subject} is in the dataset with sessions: name this one with --session-pattern"
    return None


def place(tree: Path, bids_dir: Path, subject: str, session: str | None) -> None:
    """Move a finished session into the dataset by one rename.

    Raises PlacementError when another run has put the same session there in the meantime.
    """
    relative = Path(f"sub-{subject}") / (f"ses-{session}" if session else "")
    with scratch_folder(bids_dir / "sourcedata" / "conversion", "staging") as staging:
        moved = staging / "session"
        shutil.move(tree / relative, moved)  # may cross file systems: the rename below does not
        target = bids_dir / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            moved.rename(target)  # refuses a folder that holds something
        except OSError as error:
            raise PlacementError(f"{relative} was put into the dataset by another run ({error.strerror})") from error
