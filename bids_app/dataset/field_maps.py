"""Field maps of the dataset (``fmap/*_fieldmap``) as total fields, where a session has no phase to make one from."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bids_app.dataset.derived import KINDS, units_of
from bids_app.dataset.given_masks import on_grid
from bids_app.dataset.images import look_at
from bids_app.dataset.pairing import choose_t1w
from bids_app.dataset.sidecars import Sidecars
from bids_app.model.json_values import JsonObject
from bids_app.model.naming import run_entities
from bids_app.model.records import Echo, GivenMap, GreRun, Subject

_SUFFIX = "_fieldmap"
#: Fields of a sidecar that say that a field map was acquired to correct other images.
_OF_OTHERS = ("IntendedFor", "B0FieldIdentifier")


def with_field_maps(subjects: Sequence[Subject], bids_dir: Path, sessions: Sequence[str] = ()) -> tuple[Subject, ...]:
    """Return the subjects with the field maps of sessions that have no phase of a gradient echo.

    A field map on the grid of a gradient echo without phase is that run's total field; another one is a run of its
    own, with its own magnitude (``*_magnitude``). One that is intended for other images (``IntendedFor``,
    ``B0FieldIdentifier``: the distortion correction of functional images) is left alone.
    """
    sidecars = Sidecars(bids_dir)
    return tuple(_with_field_maps(subject, bids_dir, sidecars, sessions) for subject in subjects)


def _with_field_maps(subject: Subject, bids_dir: Path, sidecars: Sidecars, sessions: Sequence[str]) -> Subject:
    runs = list(subject.runs)
    with_phase = {run.session for run in runs if any(echo.phase or echo.real for echo in run.echoes)}
    for path in _field_maps(bids_dir / f"sub-{subject.label}", subject.label):
        session = dict(run_entities(path.name)).get("ses")
        if session in with_phase or (sessions and session not in sessions):
            continue
        if any(sidecars.of(path).get(field) for field in _OF_OTHERS):
            continue
        t1w, sentence = choose_t1w(new := _run(path, sidecars), subject.t1w)
        state = look_at(path, is_phase=False)
        place = next(
            (
                number
                for number, run in enumerate(runs)
                if run.session == session
                and not run.given_maps
                and not state.problem
                and on_grid(run, state.shape, state.affine)
            ),
            None,
        )
        if place is None:
            runs.append(replace(new, t1w=t1w, t1w_choice=sentence))
        else:
            text = f"{path.name} is used as the total field of the run, which has no phase"
            old = runs[place]
            runs[place] = replace(old, given_maps=new.given_maps, remarks=(*old.remarks, text))
    return replace(subject, runs=tuple(runs))


def _field_maps(home: Path, label: str) -> Iterator[Path]:
    for pattern in ("fmap", "ses-*/fmap"):
        for folder in sorted(home.glob(pattern)):
            paths = sorted(folder.glob(f"*{_SUFFIX}.nii*"))
            yield from (path for path in paths if path.is_file() and path.name.startswith(f"sub-{label}_"))


def _period(metadata: JsonObject) -> float:
    """Return the period (Hz) of GE's field maps, which the scanner does not unwrap; 0 for the maps of others."""
    first, second = metadata.get("EchoTime1"), metadata.get("EchoTime2")
    is_ge = str(metadata.get("Manufacturer", "")).upper().startswith("GE")
    if is_ge and isinstance(first, float) and isinstance(second, float) and second > first:
        return 1.0 / (second - first)
    return 0.0


def _run(path: Path, sidecars: Sidecars) -> GreRun:
    """Return the run that a field map and its magnitude are."""
    entities, metadata = run_entities(path.name), sidecars.of(path)
    stem = path.name.rpartition(_SUFFIX)[0]
    names = [path.with_name(f"{stem}_magnitude{extension}") for extension in (".nii.gz", ".nii")]
    magnitude = next((name for name in names if name.exists()), names[0])  # one that is missing is reported as such
    strength, b0_dir = metadata.get("MagneticFieldStrength"), metadata.get("B0_dir")
    return GreRun(
        subject=dict(entities)["sub"],
        session=dict(entities).get("ses"),
        entities=entities,
        suffix="fieldmap",
        datatype="fmap",
        echoes=(Echo(1, None, magnitude=magnitude, metadata=metadata),),
        field_strength=strength,
        b0_dir=tuple(b0_dir) if isinstance(b0_dir, list) else None,
        given_maps=(GivenMap("total_field", path, units_of(KINDS["total_field"], metadata), _period(metadata)),),
        remarks=(f"{path.name} is used as the total field: there is no phase of a gradient echo in its session",),
    )
