"""Puts the decision which segmentations are made into the settings, so that steps and records see it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bids_app.adapters import atlas, choose, existing, labels
from bids_app.errors import InputRefusedError, UsageError
from bids_app.model.records import GreRun, Subject
from bids_app.model.settings import Section, Settings
from bids_app.steps.participant.reference import PLAIN
from bids_app.steps.participant.segmentations import segmentations


def decided(settings: Settings, bids_dir: Path) -> tuple[Settings, str]:
    """Return the settings with ``auto`` replaced by what is here, and a warning (empty: none).

    Raises
    ------
    UsageError, ToolMissingError
        As :func:`bids_app.adapters.choose.resolve`; or if a reference region or the anatomy's brain mask is asked for
        and no segmentation can give it.
    """
    section = settings.segmentation
    choice = section.choice
    folders = [Path(place) for place in choice.derivatives]
    which, spec, warning = choose.resolve(
        choice.which, choice.atlas, choice.fastsurfer_home, folders, settings.fastsurfer.choice.python
    )
    patterns = [("given", word) for word in which if existing.is_pattern(word)]
    for word in (*(word for _, word in patterns), *choice.extra):
        existing.check_pattern(word)
    choose.check_names(spec, [*patterns, *(("extra", word) for word in choice.extra)])
    _check(settings, which, spec)
    roots = (*map(str, folders), str(bids_dir / "derivatives"))
    new = Section(replace(choice, which=which, atlas=spec, derivatives=roots), section.methods)
    return replace(settings, segmentation=new), warning


def _check(settings: Settings, which: Sequence[str], spec: str) -> None:
    """Refuse what needs a segmentation where there is none."""
    region = settings.reference.choice.region
    if region not in ("mask", "none") and which == ("none",) and not settings.segmentation.choice.extra:
        raise UsageError(f"--qsm-reference {region}: a region needs a segmentation; see --segmentation and --atlas")
    if not settings.mask.choice.from_anatomy or "fastsurfer" in which:
        return
    if not spec or atlas.find(spec).brain_mask is None:
        raise UsageError(
            "--mask-from-anatomy: there is no brain mask: it comes from FastSurfer, or from an atlas whose "
            "folder holds a *_desc-brain_mask.nii.gz"
        )


def remarks(run: GreRun, settings: Settings) -> tuple[str, ...]:
    """Return what the user should know about a run's regions before it starts."""
    if run.t1w is None and "fastsurfer" in settings.segmentation.choice.which:
        return (f"{run.t1w_choice}: FastSurfer has nothing to segment; the run continues without its regions",)
    return ()


def check_reference(subjects: Sequence[Subject], settings: Settings) -> None:
    """Refuse a reference region that no segmentation of a run has, before anything runs.

    Raises
    ------
    UsageError
        If no run has it.
    InputRefusedError
        If some runs have it not.
    """
    name = settings.reference.choice.region
    if name in PLAIN:
        return
    runs = [run for subject in subjects for run in subject.runs]
    problems = {run.basename: text for run in runs if (text := _without_region(run, name, settings))}
    if runs and len(problems) == len(runs):
        raise UsageError(f"--qsm-reference {name}: {next(iter(problems.values()))}")
    if problems:
        raise InputRefusedError([f"{run}: --qsm-reference {name}: {text}" for run, text in problems.items()])


def _without_region(run: GreRun, name: str, settings: Settings) -> str:
    """Return why a run has no such region; empty if one of its segmentations lists it."""
    problem = "there is no segmentation of it to take the region from"
    for segmentation in segmentations(run, settings):
        try:
            labels.find(segmentation.regions(), name)
        except UsageError as error:
            problem = str(error)
        else:
            return ""
    return problem
