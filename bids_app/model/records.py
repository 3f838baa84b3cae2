"""Frozen records of what a dataset holds; made by ``dataset.query``, read by steps."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bids_app.model.json_values import JsonObject
from bids_app.model.naming import Entities, entities_in

__all__ = [
    "FIELDS",
    "Anatomical",
    "Echo",
    "Entities",
    "GivenMap",
    "GivenMask",
    "GreRun",
    "Record",
    "Subject",
    "entities_in",
    "spelled",
]


#: Products that stand for the phase of the echoes where another dataset has one of them, the last stage first.
FIELDS = ("chimap", "local_field", "total_field")


class Record(Protocol):
    """What steps run over: an image, a run, a template subject, the cohort."""

    @property
    def entities(self) -> Entities:
        """Return the entities that its products are named after."""

    @property
    def basename(self) -> str:
        """Return the name that the user sees; no two records have the same."""

    def facts(self) -> Mapping[str, object]:
        """Return what results depend on besides bytes of images and parameters."""


def spelled(entities: Entities) -> str:
    """Return ``sub-01_ses-1_acq-x_run-1``."""
    return "_".join(f"{key}-{value}" for key, value in entities)


@dataclass(frozen=True)
class Echo:
    """The images of one echo; either ``phase`` (with or without ``magnitude``) or ``real`` and ``imag`` are there."""

    number: int
    echo_time: float | None  # seconds
    magnitude: Path | None = None
    phase: Path | None = None
    real: Path | None = None
    imag: Path | None = None
    metadata: JsonObject = field(default_factory=dict, compare=False, hash=False)  # of the phase (or real) image
    magnitude_echo_time: float | None = None  # by the magnitude's own sidecar
    #: Files of single receive coils, where there is one for each; the parts above are those of the first coil.
    coil_files: tuple[tuple[Path, ...], ...] = ()

    def files(self, part: str) -> tuple[Path, ...]:
        """Return the files of a part (magnitude, phase, real, imag): of all coils where each has its own, else one."""
        first: Path | None = getattr(self, part)
        if first is None:
            return ()
        return next((files for files in self.coil_files if files[0] == first), (first,))


@dataclass(frozen=True)
class Anatomical:
    """A T1-weighted image of a subject; steps over it run once, however many gradient-echo runs use it.

    ``is_needed``: masks of other datasets come to a run through it, also where no segmentation is wanted.
    """

    path: Path
    subject: str
    session: str | None
    entities: Entities  # short BIDS keys in file-name order: sub, ses, acq, rec, run ...
    suffix: str = "T1w"
    is_needed: bool = False

    @property
    def basename(self) -> str:
        """``sub-01_ses-1_acq-x_T1w``: with the suffix, so that it never reads like a gradient-echo run."""
        return f"{spelled(self.entities)}_{self.suffix}"

    def facts(self) -> Mapping[str, object]:
        """Return what results depend on besides bytes of images and parameters."""
        return {"entities": self.entities}


@dataclass(frozen=True)
class GivenMap:
    """A map of another dataset on a run's grid, with the unit of its sidecar (empty: that of the product)."""

    product: str  # total_field, local_field, chimap, r2star, r2, r2prime, fibre_angle
    path: Path
    units: str = ""
    period_hz: float = 0.0  # values that differ by it are the same wrapped field; 0: the field is not wrapped


@dataclass(frozen=True)
class GivenMask:
    """A mask of another dataset: on the run's grid (``gre``), or to be brought there through ``t1w`` or ``headers``."""

    path: Path
    space: str = "gre"


@dataclass(frozen=True)
class GreRun:
    """One gradient-echo acquisition: all echoes that share every entity but ``echo`` and ``part``."""

    subject: str
    session: str | None
    entities: Entities  # short BIDS keys in file-name order: sub, ses, acq, rec, run ...
    suffix: str  # MEGRE, T2starw, T1w, MPM, VFA or MP2RAGE
    datatype: str
    echoes: tuple[Echo, ...]  # by echo time
    field_strength: float | None  # tesla
    #: Direction of B0 in voxel axes from a sidecar's B0_dir; None: the scanner's z axis through the image's affine.
    b0_dir: tuple[float, float, float] | None = None
    #: The anatomical image that goes with the run, by the rule of ``dataset.pairing``.
    t1w: Anatomical | None = None
    #: One sentence that says which image was chosen and why.
    t1w_choice: str = ""
    #: A mask from ``--derivatives``; it wins over a computed one.
    given_mask: GivenMask | None = None
    #: Multi-echo spin echoes (MESE) of the session, magnitudes alone, by echo time.
    spin_echo: tuple[Echo, ...] = ()
    #: Maps of other datasets (``--derivatives``, field maps of ``fmap/``) on the run's grid, one of a product at most.
    given_maps: tuple[GivenMap, ...] = ()
    #: Receive coils, in the images' fourth dimension or in files of their own, which are combined.
    coils: int = 1
    #: Axis along which every slice is computed by itself, as the run is no volume; None: a volume.
    slice_axis: int | None = None
    #: Whether the user chose single echoes: then gaps in their numbers are no mistake.
    has_chosen_echoes: bool = False
    #: Names of files that cannot be distinguished by the entities that we know, in pairs.
    clashes: tuple[tuple[str, str], ...] = ()
    #: What the user should know about the input, in sentences.
    remarks: tuple[str, ...] = ()

    @property
    def basename(self) -> str:
        """``sub-01_ses-1_acq-x_run-1``: every entity of the source, so that two runs never collide."""
        return spelled(self.entities)

    @property
    def has_coil_files(self) -> bool:
        """Whether every receive coil has files of its own."""
        return any(echo.coil_files for echo in self.echoes)

    @property
    def volumes(self) -> int:
        """Volumes that each file has."""
        return 1 if self.has_coil_files else self.coils

    @property
    def echo_times(self) -> tuple[float, ...]:
        """Echo times in seconds (preflight has made sure that they are all there)."""
        return tuple(float(e.echo_time) for e in self.echoes if e.echo_time is not None)

    @property
    def spin_echo_times(self) -> tuple[float, ...]:
        """Echo times of the spin echoes in seconds."""
        return tuple(float(e.echo_time) for e in self.spin_echo if e.echo_time is not None)

    @property
    def starts_from_phase(self) -> bool:
        """Whether the field is estimated from the echoes: no other dataset has the field or the susceptibility."""
        return not any(self.given(product) for product in FIELDS)

    def given(self, product: str) -> GivenMap | None:
        """Return the map that another dataset has of a product, if it has one."""
        return next((given_map for given_map in self.given_maps if given_map.product == product), None)

    def facts(self) -> Mapping[str, object]:
        """Return what results depend on besides bytes of images and parameters."""
        several: dict[str, object] = {"coils": self.coils} if self.coils > 1 else {}
        numbers = [echo.number for echo in self.echoes]
        if numbers and numbers != [*range(numbers[0], numbers[0] + len(numbers))]:
            several["echo_numbers"] = numbers  # they say which echoes of a bipolar readout have which polarity
        if self.spin_echo:
            several["spin_echo"] = [echo.metadata for echo in self.spin_echo]
        return several | {
            "entities": self.entities,
            "echo_times": self.echo_times,
            "field_strength": self.field_strength,
            "b0_dir": self.b0_dir,
            "metadata": [echo.metadata for echo in self.echoes],
        }


@dataclass(frozen=True)
class Subject:
    """Everything of one participant that the app may use."""

    label: str
    runs: tuple[GreRun, ...]
    t1w: tuple[Anatomical, ...] = ()
