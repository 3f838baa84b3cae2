"""Puts the decision which segmentations are made into the settings, so that steps and records see it."""

import os
from dataclasses import replace
from pathlib import Path

from bids_app.adapters import atlas, choose, existing
from bids_app.cli.config import Config
from bids_app.errors import UsageError
from bids_app.model.records import GreRun
from bids_app.model.settings import Section


def decided(config: Config) -> tuple[Config, str]:
    """Return the configuration with ``auto`` replaced by what is here, and a warning (empty: none).

    Raises
    ------
    UsageError, ToolMissingError
        As :func:`bids_app.adapters.choose.resolve`; or if a reference region or the anatomy's brain mask is asked for
        and no segmentation can give it.
    """
    section = config.settings.segmentation
    choice = section.choice
    folders = [Path(p) for p in choice.derivatives.split(os.pathsep) if p]
    python = config.settings.fastsurfer.choice.python
    which, spec, warning = choose.resolve(choice.which, choice.atlas, choice.fastsurfer_home, folders, python)
    patterns = [("given", word) for word in which.split(",") if existing.is_pattern(word)]
    extra = [("extra", word) for word in choice.extra.split(os.pathsep) if word]
    choose.check_names(spec, [*patterns, *extra])
    region = config.settings.reference.choice.region
    if region not in ("mask", "none") and which == "none" and not extra:
        raise UsageError(f"--qsm-reference {region}: a region needs a segmentation; see --segmentation and --atlas")
    if config.settings.mask.choice.from_anatomy:
        brain = "fastsurfer" in which.split(",") or (spec and atlas.find(spec).brain_mask is not None)
        if not brain:
            raise UsageError(
                "--mask-from-anatomy: no brain mask can be had: it comes from FastSurfer, or from an atlas whose "
                "folder holds a *_desc-brain_mask.nii.gz"
            )
    roots = os.pathsep.join([*map(str, folders), str(config.bids_dir / "derivatives")])
    new = Section(replace(choice, which=which, atlas=spec, derivatives=roots), section.methods)
    return replace(config, settings=replace(config.settings, segmentation=new)), warning


def remarks(run: GreRun, config: Config) -> tuple[str, ...]:
    """Return what the user should know about a run's regions before it starts."""
    choice = config.settings.segmentation.choice
    words = choice.which.split(",")
    if run.t1w is None and "fastsurfer" in words:
        return (f"{run.t1w_choice}: FastSurfer has nothing to segment, the run goes on without its regions",)
    return ()
