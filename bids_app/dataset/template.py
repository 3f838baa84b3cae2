"""Records of the template: participants, rounds, registrations, and the runs in a template's space."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bids_app.dataset.cohort import GroupRun, entities_in
from bids_app.errors import UsageError
from bids_app.model.records import Entities


class _OfTemplate:
    """A record whose products lie in the folder of its template."""

    template: str

    @property
    def entities(self) -> Entities:
        """Products lie in the template's folder."""
        return (("tpl", self.template),)


@dataclass(frozen=True)
class TemplateSubject:
    """One participant in the template: all runs, brought together before anything else."""

    subject: str
    runs: tuple[GroupRun, ...]

    @property
    def entities(self) -> Entities:
        """Products carry the participant alone."""
        return (("sub", self.subject),)

    @property
    def basename(self) -> str:
        """``sub-01_member``."""
        return f"sub-{self.subject}_member"

    def facts(self) -> Mapping[str, Any]:
        """Return what results depend on besides bytes of images and parameters."""
        return {"runs": [run.basename for run in self.runs]}


@dataclass(frozen=True)
class Iteration(_OfTemplate):
    """One average of the template: the first by centres of mass, then of maps found by registration to that before."""

    template: str
    number: int
    kind: str  # start, rigid, affine or syn; single: one affine registration of each to the first average, no more
    members: tuple[TemplateSubject, ...]
    before: "Iteration | None" = None
    is_last: bool = False
    #: The last round with linear maps before this one.
    start: "Iteration | None" = None

    def registration(self, member: TemplateSubject) -> "Registration":
        """Return a participant's registration for this round."""
        return Registration(member, self.before, self.kind, self.label, self.start)

    @property
    def label(self) -> str:
        """``round2``, or ``single``."""
        return self.kind if self.kind == "single" else f"round{self.number}"

    @property
    def basename(self) -> str:
        """``tpl-study_round2``."""
        return f"tpl-{self.template}_{self.label}"

    def facts(self) -> Mapping[str, Any]:
        """Return what results depend on besides bytes of images and parameters."""
        return {"kind": self.kind, "members": [member.basename for member in self.members]}


@dataclass(frozen=True)
class Registration:
    """A participant's registration to the average before a round, or to the finished template (``final``)."""

    member: TemplateSubject
    target: Iteration | None  # None: the images are files
    kind: str  # rigid, affine, single, syn or final
    label: str  # round2, single, tostudy
    #: The last round with linear maps before this one: its map is where this registration starts.
    start: Iteration | None = None
    #: Images of a finished template (``--template``): T1w and magnitude, where they are there.
    files: tuple[tuple[str, Path], ...] = ()

    @property
    def entities(self) -> Entities:
        """Products carry the participant alone."""
        return self.member.entities

    @property
    def basename(self) -> str:
        """``sub-01_round2``."""
        return f"sub-{self.member.subject}_{self.label}"

    def facts(self) -> Mapping[str, Any]:
        """Return what results depend on besides bytes of images and parameters."""
        return {"kind": self.kind}


@dataclass(frozen=True)
class StandardSpace(_OfTemplate):
    """The template's registration to an output space of TemplateFlow."""

    template: str
    target: str
    space_files: tuple[tuple[str, Path], ...]
    source: Iteration | None = None
    #: Images of the template, where it was not built here.
    files: tuple[tuple[str, Path], ...] = ()

    @property
    def basename(self) -> str:
        """``tpl-study_toMNI152NLin2009cAsym``."""
        return f"tpl-{self.template}_to{self.target}"

    def facts(self) -> Mapping[str, Any]:
        """Return what results depend on besides bytes of images and parameters."""
        return {"target": self.target}


@dataclass(frozen=True)
class NormalizedRun:
    """A run that is brought to the template."""

    run: GroupRun
    registration: Registration
    template: str  # the space: the template's name, or that of the output space
    #: How the template comes to the output space, where that is meant.
    onward: StandardSpace | None = None

    @property
    def entities(self) -> Entities:
        """Products carry what the run's carry."""
        return self.run.entities

    @property
    def basename(self) -> str:
        """``sub-01_ses-1_template``, or the name of the output space at its end."""
        return f"{self.run.basename}_{self.template if self.onward else 'template'}"

    def facts(self) -> Mapping[str, Any]:
        """Return what results depend on besides bytes of images and parameters."""
        return {"entities": self.entities, "template": self.template}


@dataclass(frozen=True)
class Space(_OfTemplate):
    """All runs in the space of a template: what the average maps run over."""

    template: str
    runs: tuple[NormalizedRun, ...]
    rounds: tuple[Iteration, ...] = ()

    @property
    def basename(self) -> str:
        """``tpl-study_maps``."""
        return f"tpl-{self.template}_maps"

    def having(self, start: str) -> tuple[str, ...]:
        """Return the keys beginning so that any run has."""
        return tuple(sorted({key for space in self.runs for key in space.run.made if key.startswith(start)}))

    def facts(self) -> Mapping[str, Any]:
        """Return what results depend on besides bytes of images and parameters."""
        return {"runs": [run.basename for run in self.runs]}


@dataclass(frozen=True)
class Voxelwise:
    """The voxel-wise model of all participants in a space."""

    space: Space
    participants: Path | None
    sessions: tuple[Path, ...] = ()

    @property
    def entities(self) -> Entities:
        """Products lie in the space's folder."""
        return self.space.entities

    @property
    def basename(self) -> str:
        """``tpl-study_voxelwise``."""
        return f"tpl-{self.space.template}_voxelwise"

    def facts(self) -> Mapping[str, Any]:
        """Return what results depend on besides bytes of images and parameters."""
        return self.space.facts()


@dataclass(frozen=True)
class ManualSegmentation(_OfTemplate):
    """A segmentation that was drawn on the template."""

    name: str  # as in ``seg-<name>``
    image: Path
    table: Path | None
    template: str
    target: Iteration | None
    files: tuple[tuple[str, Path], ...] = ()

    @property
    def basename(self) -> str:
        """``tpl-study_drawing``."""
        return f"tpl-{self.template}_drawing"

    def facts(self) -> Mapping[str, Any]:
        """Return what results depend on besides bytes of images and parameters."""
        return {"name": self.name}


@dataclass(frozen=True)
class ManualSegmentationRun:
    """A run that a drawn segmentation is measured in."""

    space: NormalizedRun
    drawing: ManualSegmentation

    @property
    def entities(self) -> Entities:
        """Products carry what the run's carry."""
        return self.space.entities

    @property
    def basename(self) -> str:
        """``sub-01_ses-1_drawn``."""
        return f"{self.space.run.basename}_drawn"

    def facts(self) -> Mapping[str, Any]:
        """Return what results depend on besides bytes of images and parameters."""
        return {"entities": self.entities, "name": self.drawing.name}


def space_files(spec: str) -> tuple[str, tuple[tuple[str, Path], ...]]:
    """Return the name and the images of an output space: ``NAME``, or ``NAME:res-2`` for images of that resolution.

    Raises
    ------
    UsageError
        If TemplateFlow's folder does not hold it.
    """
    place, _, resolution = spec.partition(":")
    try:
        return _images_of(place, resolution.removeprefix("res-").lstrip("0"), "is no")
    except UsageError as error:
        text = f"--output-space: {error}; set TEMPLATEFLOW_HOME to the folder that holds it"
        raise UsageError(text) from error


def template_files(place: str) -> tuple[str, tuple[tuple[str, Path], ...]]:
    """Return the name of a finished template and its images (``t1w``, ``magnitude``), from a folder or TemplateFlow's.

    Raises
    ------
    UsageError
        If there is no such folder, or no image in it.
    """
    try:
        return _images_of(place, "", "is neither build, none, a folder, nor a")
    except UsageError as error:
        raise UsageError(f"--template: {error}") from error


def _images_of(place: str, resolution: str, unlike: str) -> tuple[str, tuple[tuple[str, Path], ...]]:
    """Return name and images; ``unlike`` begins what is said of a place that is no template."""
    home = Path(os.environ.get("TEMPLATEFLOW_HOME", Path.home() / ".cache" / "templateflow")).expanduser()
    folder = next((path for path in (Path(place), home / f"tpl-{place}") if path.is_dir()), None)
    if folder is None:
        raise UsageError(f"{place!r} {unlike} template in {home}")
    images = sorted(p for p in [*folder.glob("*.nii.gz"), *folder.glob("anat/*.nii.gz")] if p.stat().st_size > 0)
    found: dict[str, Path] = {}
    for name, suffix in (("t1w", "T1w"), ("magnitude", "T2starw")):
        chosen = [path for path in images if path.name.endswith(f"_{suffix}.nii.gz")]
        if resolution:
            chosen = [p for p in chosen if dict(entities_in(p.name)).get("res", "").lstrip("0") == resolution]
        # Our own templates, then images of whole heads, of the finest voxels.
        chosen.sort(key=lambda p: ("desc-template" not in p.name, "desc-" in p.name, "res-01" not in p.name, p.name))
        if chosen:
            found[name] = chosen[0].absolute()
    if not found:
        raise UsageError(f"{folder} holds no *_T1w.nii.gz and no *_T2starw.nii.gz with data")
    label = dict(entities_in(next(iter(found.values())).name)).get("tpl", folder.absolute().name)
    return re.sub(r"[^A-Za-z0-9]", "", label.removeprefix("tpl-")), tuple(found.items())
