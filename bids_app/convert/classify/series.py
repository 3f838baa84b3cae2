"""Series and the volumes in them, as the rules that classify and name them see them."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from bids_app.convert.classify.coil_elements import coil_order, is_by_coil
from bids_app.convert.classify.identity import identified, with_common_echo_times
from bids_app.convert.scan.header import Instance, read_instance
from bids_app.convert.scan.series_header import SeriesHeader

_VENDORS = (
    ("SIEMENS", "Siemens"),
    ("GE", "GE"),
    ("PHILIPS", "Philips"),
    ("UIH", "UIH"),
    ("CANON", "Canon"),
    ("TOSHIBA", "Canon"),
)


@dataclass(frozen=True)
class Volume:
    """All slices of one part of one echo (of one repetition)."""

    part: str  # mag, phase, real, imag, field (Hz), difference or unknown
    echo_time: float | None  # ms, to the hundredth
    repetition: int  # 1, 2 ... in order of acquisition
    slices: int  # different positions
    images: int  # equals slices, unless several images share a position
    gap: bool  # a slice is missing in the middle
    coil: str = ""  # the coil element, where the series holds an image of each


@dataclass(frozen=True)
class SeriesFacts:
    """What the header of a series says; hashable, so that heudiconv can carry it as ``custom``."""

    uid: str
    study_uid: str
    number: int
    description: str
    protocol: str
    sequence: str
    vendor: str
    tokens: frozenset[str]  # all values of ImageType, in capitals
    is_mr_image: bool
    modality: str
    scanning_sequence: str
    gradient_echo: bool | None  # None: the header does not say
    epi: bool
    dimension: str
    tr: float | None
    flip: float | None
    ti: float | None
    angio: bool
    diffusion: bool
    orientations: int  # slices with different normals: a localizer
    geometry: tuple[object, ...]
    coils: tuple[str, ...]  # names of coil elements, in the order of their numbers
    seconds: float | None  # acquisition time of the first image; any zero point
    date_time: str  # the same as YYYYMMDDHHMMSS.fff
    files: int
    volumes: tuple[Volume, ...]
    mixed_files: bool  # one file holds several volumes (enhanced multi-frame)
    is_stated: bool  # the headers say which part every image is; else magnitudes are supposed
    field: float | None  # tesla

    @cached_property
    def parts(self) -> frozenset[str]:
        """Parts of the complex image in the series."""
        return frozenset(v.part for v in self.volumes)

    @cached_property
    def echo_times(self) -> tuple[float, ...]:
        """Different echo times in ms, ascending."""
        return tuple(sorted({v.echo_time for v in self.volumes if v.echo_time is not None}))

    @property
    def of_coils(self) -> bool:
        """Whether it holds an image of each coil element."""
        return any(v.coil for v in self.volumes)

    @property
    def slices(self) -> int:
        """Slices of the fullest volume."""
        return max((v.slices for v in self.volumes), default=0)

    @property
    def name(self) -> str:
        """Series description, or protocol name where there is none."""
        return self.description or self.protocol


@dataclass(frozen=True)
class Series:
    """A series with its files."""

    facts: SeriesFacts
    instances: tuple[Instance, ...]
    files: dict[Volume, tuple[Path, ...]]  # files that hold frames of the volume

    def redacted(self, redact: Callable[[str], str]) -> "Series":
        """Return the series with patients' names taken out of the texts that people type at the scanner."""
        facts = replace(self.facts, description=redact(self.facts.description), protocol=redact(self.facts.protocol))
        return replace(self, facts=facts)


def group_series(instances: Iterable[Instance]) -> list[Series]:
    """Group instances by examination and series (see :mod:`.identity`), in order of acquisition."""
    groups: dict[tuple[str, str], list[Instance]] = defaultdict(list)
    for instance in with_common_echo_times(identified(instances)):
        groups[instance.series].append(instance)
    series = [make_series(group) for group in groups.values()]
    return sorted(series, key=lambda s: (s.facts.date_time, s.facts.number, s.facts.uid))


def make_series(instances: Sequence[Instance]) -> Series:
    """Make the record of one series from its files."""
    files = volumes_of(instances)
    first = min(instances, key=lambda i: i.path).values
    times = sorted(i.values["date_time"] for i in instances if i.values["date_time"])
    tokens = {t for i in instances for t in i.values["image_type"]}
    facts = SeriesFacts(
        uid=first["series_uid"],
        study_uid=first["study_uid"],
        number=first["number"],
        description=first["description"],
        protocol=first["protocol"],
        sequence=first["sequence"],
        vendor=vendor_of(first["manufacturer"]),
        tokens=frozenset(tokens),
        is_mr_image=first["is_mr_image"],
        modality=first["modality"],
        scanning_sequence=first["scanning_sequence"],
        gradient_echo=_is_gradient_echo(first),
        epi=first["epi"] or "EP" in first["scanning_sequence"].split("\\"),
        dimension=first["dimension"],
        tr=first["tr"],
        flip=first["flip"],
        ti=first["ti"],
        angio=first["angio"],
        diffusion=any((i.values["b_value"] or 0) > 0 for i in instances),
        orientations=_count_orientations(instances),
        geometry=_geometry(first, files),
        coils=tuple(sorted({i.values["coil"] for i in instances} - {""}, key=coil_order)),
        seconds=_seconds(times[0]) if times else None,
        date_time=times[0] if times else "",
        files=len(instances),
        volumes=tuple(files),
        is_stated=all(f.is_stated for i in instances for f in i.frames),
        field=first["field"],
        mixed_files=any(len({(f.part, f.echo_time) for f in i.frames}) > 1 for i in instances),
    )
    return Series(facts, tuple(instances), files)


def custom_seqinfo(wrapper: object, series_files: Sequence[str]) -> SeriesFacts | None:
    """Give heudiconv's ``SeqInfo.custom`` the facts of a series; a heuristic imports this function under this name."""
    read = [read_instance(Path(f)) for f in series_files]
    instances = [i for i in read if i is not None]
    return make_series(instances).facts if instances else None


def vendor_of(manufacturer: str) -> str:
    """Return the short name of a manufacturer; unknown ones as they are."""
    for start, name in _VENDORS:
        if manufacturer.upper().startswith(start):
            return name
    return manufacturer


def volumes_of(instances: Sequence[Instance]) -> dict[Volume, tuple[Path, ...]]:
    """Sort frames into volumes: by part, echo time and coil, and by repetition where positions occur again."""
    groups: dict[tuple[str, float | None, str], list[_Frame]] = defaultdict(list)
    by_coil = is_by_coil(instances)
    for instance in instances:
        for frame in instance.frames:
            # DICOM's decimal strings may differ in the last digit from slice to slice.
            echo_time = None if frame.echo_time is None else round(frame.echo_time, 2)
            key = (frame.part, echo_time, instance.values["coil"] if by_coil else "")
            groups[key].append((frame.repetition, frame.positions, instance.path))
    files: dict[Volume, tuple[Path, ...]] = {}
    for key in sorted(groups, key=lambda k: (k[0], k[1] or 0.0, coil_order(k[2]))):
        for number, frames in enumerate(_split_repetitions(groups[key]), start=1):
            positions = Counter(z for _, zs, _ in frames for z in zs)
            gap = _has_gap(sorted(positions))
            volume = Volume(key[0], key[1], number, len(positions), sum(positions.values()), gap, key[2])
            files[volume] = tuple(sorted({path for *_, path in frames}))
    return files


#: Repetition, slice positions and file of an image.
_Frame = tuple[int, tuple[float, ...], Path]


def _split_repetitions(frames: list[_Frame]) -> list[list[_Frame]]:
    """Split by repetition number, but only where that leaves one image per position and the same positions in each."""
    positions = Counter(z for _, zs, _ in frames for z in zs)
    if max(positions.values()) == 1:
        return [frames]
    by_number: dict[int, list[_Frame]] = defaultdict(list)
    for frame in frames:
        by_number[frame[0]].append(frame)
    parts = [by_number[number] for number in sorted(by_number)]
    if all(max(Counter(z for _, zs, _ in part for z in zs).values()) == 1 for part in parts):
        return parts
    return [frames]


def _has_gap(positions: list[float]) -> bool:
    """Return whether the distance between neighbouring slices jumps: one in the middle is missing."""
    steps = np.diff(positions)
    return bool(len(steps) > 1 and steps.max() > 1.5 * np.median(steps))


def _is_gradient_echo(values: SeriesHeader) -> bool | None:
    codes = values["scanning_sequence"].split("\\")
    pulse = values["echo_pulse"]
    if pulse in ("GRADIENT", "BOTH") or "GR" in codes:
        return True
    if pulse == "SPIN" or "SE" in codes:
        return False
    sequence = values["sequence"].lower()
    if any(word in sequence for word in ("ffe", "tfe", "fl3d", "fl2d", "gre", "tfl")):
        return True
    return None if codes in ([""], ["RM"]) else "EP" in codes or None


def _count_orientations(instances: Sequence[Instance]) -> int:
    normals = {
        tuple(np.round(np.abs(np.cross(o[:3], o[3:])), 1)) for i in instances if len(o := i.values["orientation"]) == 6
    }
    return len(normals)


def _geometry(first: SeriesHeader, files: dict[Volume, tuple[Path, ...]]) -> tuple[object, ...]:
    """Return what must agree for two series to be parts of one acquisition."""
    orientation = tuple(round(v, 2) + 0.0 for v in first["orientation"])
    slices = max((v.slices for v in files), default=0)
    return first["rows"], first["columns"], slices, first["spacing"], orientation, first["origin"]


def _seconds(date_time: str) -> float | None:
    """Return seconds since some midnight of YYYYMMDDHHMMSS.fff, or None."""
    from datetime import datetime

    try:
        stamp = datetime.strptime(date_time[:14], "%Y%m%d%H%M%S")
        fraction = float(f"0{date_time[14:]}") if date_time[14:15] == "." else 0.0
    except ValueError:
        return None
    return (stamp - datetime(1970, 1, 1)).total_seconds() + fraction
