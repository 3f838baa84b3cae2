"""Records of the template: participants, iterations, registrations, and the runs in a template's space."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bids_app.model.group_run import GroupRun
from bids_app.model.records import Entities

#: Images that a template is made of.
CHANNELS = ("t1w", "magnitude")


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

    label: str
    runs: tuple[GroupRun, ...]

    @property
    def entities(self) -> Entities:
        """Products carry the participant alone."""
        return (("sub", self.label),)

    @property
    def basename(self) -> str:
        """``sub-01_subject``."""
        return f"sub-{self.label}_subject"

    @property
    def has_t1w(self) -> bool:
        """Whether every run has a T1w image that was registered to it."""
        return all(run.t1w is not None and run.t1w_transform for run in self.runs)

    def facts(self) -> Mapping[str, object]:
        """Return what results depend on besides bytes of images and parameters."""
        return {"runs": [run.basename for run in self.runs]}


@dataclass(frozen=True)
class Iteration(_OfTemplate):
    """One average of the template: the first by centres of mass, then of maps found by registration to that before."""

    template: str
    number: int
    kind: str  # start, rigid, affine or syn; single: one affine registration of each to the first average, no more
    subjects: tuple[TemplateSubject, ...]
    before: "Iteration | None" = None
    is_last: bool = False
    #: The last iteration with linear maps before this one.
    start: "Iteration | None" = None

    def registration(self, subject: TemplateSubject) -> "Registration":
        """Return a participant's registration for this iteration."""
        return Registration(subject, self.before, self.kind, self.label, self.start)

    @cached_property
    def channels(self) -> tuple[str, ...]:
        """The images that are averaged: T1w only where all participants have one, magnitude always."""
        return CHANNELS if all(subject.has_t1w for subject in self.subjects) else ("magnitude",)

    @property
    def label(self) -> str:
        """``iteration2``, or ``single``."""
        return self.kind if self.kind == "single" else f"iteration{self.number}"

    @property
    def basename(self) -> str:
        """``tpl-study_round2``."""
        return f"tpl-{self.template}_{self.label}"

    def facts(self) -> Mapping[str, object]:
        """Return what results depend on besides bytes of images and parameters."""
        return {"kind": self.kind, "participants": [subject.basename for subject in self.subjects]}


@dataclass(frozen=True)
class Registration:
    """A participant's registration to the average before an iteration, or to the finished template (``final``)."""

    subject: TemplateSubject
    target: Iteration | None  # None: the images are files
    kind: str  # rigid, affine, single, syn or final
    label: str  # iteration2, single, tostudy
    #: The last iteration with linear maps before this one: its map is where this registration starts.
    start: Iteration | None = None
    #: Images of a finished template (``--template``): T1w and magnitude, where they are there.
    files: tuple[tuple[str, Path], ...] = ()

    @property
    def entities(self) -> Entities:
        """Products carry the participant alone."""
        return self.subject.entities

    @property
    def basename(self) -> str:
        """``sub-01_round2``."""
        return f"sub-{self.subject.label}_{self.label}"

    def facts(self) -> Mapping[str, object]:
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

    def facts(self) -> Mapping[str, object]:
        """Return what results depend on besides bytes of images and parameters."""
        return {"target": self.target}


@dataclass(frozen=True)
class NormalizedRun:
    """A run that is brought to the template."""

    run: GroupRun
    registration: Registration
    template: str  # the space: the template's name, or that of the output space
    #: How the template comes to the output space; None: the map stays in the space of the template.
    standard_space: StandardSpace | None = None

    @property
    def entities(self) -> Entities:
        """Products carry what the run's carry."""
        return self.run.entities

    @property
    def basename(self) -> str:
        """``sub-01_ses-1_template``, or the name of the output space at its end."""
        return f"{self.run.basename}_{self.template if self.standard_space else 'template'}"

    def facts(self) -> Mapping[str, object]:
        """Return what results depend on besides bytes of images and parameters."""
        return {"entities": self.entities, "template": self.template}


@dataclass(frozen=True)
class Space(_OfTemplate):
    """All runs in the space of a template: what the average maps run over."""

    template: str
    runs: tuple[NormalizedRun, ...]
    iterations: tuple[Iteration, ...] = ()

    @property
    def basename(self) -> str:
        """``tpl-study_maps``."""
        return f"tpl-{self.template}_maps"

    def keys_of(self, start: str) -> tuple[str, ...]:
        """Return the keys beginning so that any run has."""
        return tuple(sorted({key for space in self.runs for key in space.run.made if key.startswith(start)}))

    def facts(self) -> Mapping[str, object]:
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

    def facts(self) -> Mapping[str, object]:
        """Return what results depend on besides bytes of images and parameters."""
        return self.space.facts()


@dataclass(frozen=True)
class ManualSegmentation(_OfTemplate):
    """A manual segmentation of the template."""

    name: str  # as in ``seg-<name>``
    image: Path
    table: Path | None
    template: str
    target: Iteration | None
    files: tuple[tuple[str, Path], ...] = ()

    @property
    def basename(self) -> str:
        """``tpl-study_manual``."""
        return f"tpl-{self.template}_manual"

    def facts(self) -> Mapping[str, object]:
        """Return what results depend on besides bytes of images and parameters."""
        return {"name": self.name}


@dataclass(frozen=True)
class ManualSegmentationRun:
    """A run that a manual segmentation of the template is measured in."""

    space: NormalizedRun
    segmentation: ManualSegmentation

    @property
    def entities(self) -> Entities:
        """Products carry what the run's carry."""
        return self.space.entities

    @property
    def basename(self) -> str:
        """``sub-01_ses-1_manual``."""
        return f"{self.space.run.basename}_manual"

    def facts(self) -> Mapping[str, object]:
        """Return what results depend on besides bytes of images and parameters."""
        return {"entities": self.entities, "name": self.segmentation.name}
