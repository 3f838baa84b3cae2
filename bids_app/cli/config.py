"""From the command line, presets and files to one frozen Config.

Values of the settings come, later ones winning, from the methods' defaults, the preset, ``--config FILE``, the
short-cut options and ``--set section.name=value``.
"""

import argparse
import os
import secrets
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bids_app.adapters.brain_extraction import extractor_of
from bids_app.cli.cluster import Cluster, cluster_from
from bids_app.cli.filters import read_filters
from bids_app.cli.group_options import GroupRules, group_rules
from bids_app.cli.setting_paths import with_absolute_paths
from bids_app.cli.types import derivative_dataset
from bids_app.errors import UsageError
from bids_app.group.formulas import parse_formula
from bids_app.model.aliases import PRESETS, STAGES, with_new_names
from bids_app.model.context import Context
from bids_app.model.json_values import JsonObject
from bids_app.model.settings import Settings, build_settings, merge, parse_set, preset_text
from bids_app.model.toml_files import parse_toml, read_text

DEFAULT_PRESET = "default"


@dataclass(frozen=True)
class Scans:
    """What the convert level is given: one source at most, and how its series get their names."""

    dicom_dir: Path | None = None
    nifti_dir: Path | None = None
    nifti_table: Path | None = None
    heuristic: str = "generic"
    subject_pattern: str | None = None
    session_pattern: str | None = None
    series: Path | None = None  # table that corrects single series
    add: bool = False

    @property
    def given(self) -> bool:
        """Whether there is a source at all."""
        return any((self.dicom_dir, self.nifti_dir, self.nifti_table))


@dataclass(frozen=True)
class Selection:
    """Which part of the dataset is meant; nothing that is named means all."""

    participants: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    #: Entities that images must have, by kind (``gre``, ``t1w``).
    filters: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


@dataclass(frozen=True)
class Config:
    """Everything a run of the command was asked for."""

    bids_dir: Path
    output_dir: Path
    levels: tuple[str, ...]
    work_dir: Path
    settings: Settings
    preset: str = DEFAULT_PRESET
    selection: Selection = Selection()
    #: Other derivative datasets whose masks win.
    derivatives: tuple[Path, ...] = ()
    derivatives_use: tuple[str, ...] = ()  # what is taken from them; empty: all
    mask_desc: str = ""  # description of the masks that are used; empty: brain, or none
    validate_input: bool = True
    reports_only: bool = False
    group: GroupRules = field(default_factory=GroupRules)
    stage: str = ""  # the only stage of the group level that is run
    stage_part: tuple[int, int] = (1, 1)  # which part of it, of how many
    stage_patience: float = 0.0  # seconds in which what is missing may still come to light
    nprocs: int = 1
    omp_nthreads: int = 1
    mem_gb: float | None = None
    stop_on_first_crash: bool = False
    force: bool = False
    dry_run: bool = False
    verbosity: int = 0
    events: Path | None = None  # file that gets every event as a line of JSON
    command: tuple[str, ...] = ()
    scans: Scans = Scans()
    cluster: Cluster = field(default_factory=Cluster)
    scratch: bool = False  # the work directory is this process's own and goes with it

    @property
    def context(self) -> Context:
        """Where the steps run."""
        shared = self.output_dir / "work" if self.scratch else None
        return Context(self.bids_dir, self.output_dir, self.work_dir, self.omp_nthreads, self.force, shared)


def settings_from_arguments(args: argparse.Namespace) -> Settings:
    """Return the settings from ``--preset``, ``--config``, the short-cut options and ``--set``, in this order."""
    if args.preset in PRESETS:
        _warn(PRESETS[args.preset])
    tree = parse_toml(preset_text(args.preset), f"preset {args.preset}")
    tree.pop("title", None)
    tree = _with_new_names(tree, f"preset {args.preset}")
    if args.config is not None:
        text = read_text(args.config, f"--config: {args.config}")
        origin = f"--config {args.config}"
        tree = merge(tree, _with_new_names(parse_toml(text, origin), origin))
    shortcuts: JsonObject = {}
    if args.qsm_reference is not None:
        shortcuts = merge(shortcuts, {"reference": {"region": args.qsm_reference}})
    if args.brain_extraction is not None:
        shortcuts = merge(shortcuts, {"brain_extraction": {"program": extractor_of(args.brain_extraction).word}})
    if args.mask is not None:
        shortcuts = merge(shortcuts, {"mask": {"filled": args.mask}})
    if args.device is not None:
        shortcuts = merge(shortcuts, {name: {"device": args.device} for name in ("background", "inversion")})
    shortcuts = merge(shortcuts, _anatomy_shortcuts(args))
    shortcuts = merge(shortcuts, _group_shortcuts(args))
    tree = merge(tree, shortcuts)
    for assignment in args.set or ():
        tree = merge(tree, _with_new_names(parse_set(assignment), "--set"))
    settings = build_settings(with_absolute_paths(tree))
    if settings.statistics.choice.model:
        parse_formula(settings.statistics.choice.model)
    return settings


def _with_new_names(tree: JsonObject, origin: str) -> JsonObject:
    """Return settings with the new names of what has one, and warn of each."""
    renamed, notices = with_new_names(tree, origin)
    for notice in notices:
        _warn(notice)
    return renamed


def _warn(notice: str) -> None:
    print(f"qsm-bids-app: warning: {notice}", file=sys.stderr)


def _anatomy_shortcuts(args: argparse.Namespace) -> dict[str, dict[str, object]]:
    folders = args.derivatives or ()
    words = {
        "which": [part for word in args.segmentation or () for part in _methods(word)],
        "atlas": args.atlas or "",
        "extra": list(args.extra_dseg or ()),
        "fastsurfer_home": str(args.fastsurfer_home or ""),
        "derivatives": [str(path) for path in folders],
    }
    tree: dict[str, dict[str, object]] = {"segmentation": {name: word for name, word in words.items() if word}}
    if args.roi_erosion is not None:
        tree["regions"] = {"erosion": args.roi_erosion}
    if args.mask_from_anatomy:
        tree["mask"] = {"from_anatomy": True}
    return tree


def _group_shortcuts(args: argparse.Namespace) -> dict[str, dict[str, object]]:
    statistics: dict[str, object] = {"model": args.model} if args.model else {}
    statistics |= {"small_groups": True} if args.small_groups else {}
    tree: dict[str, dict[str, object]] = {"statistics": statistics} if statistics else {}
    voxelwise: dict[str, object] = {"run": True} if args.voxelwise else {}
    if args.permutations is not None:
        voxelwise["permutations"] = args.permutations
    chosen: dict[str, object] = {"output_space": args.output_space} if args.output_space else {}
    for name, path in (("dseg", args.group_dseg), ("labels", args.group_labels)):
        chosen |= {name: str(path)} if path else {}
    chosen |= {"template": args.template} if args.template else {}
    if args.template_iterations:
        chosen["linear_iterations"], chosen["syn_iterations"] = args.template_iterations
    return tree | {"group": chosen, "voxelwise": voxelwise}


def _methods(word: str) -> list[str]:
    """Return the methods of a word that commas separate; commas of a path are its own."""
    return [word] if "/" in word else word.split(",")


def from_arguments(args: argparse.Namespace, command: tuple[str, ...] = (), passed_on: tuple[str, ...] = ()) -> Config:
    """Return the frozen Config of a parsed command line; every mistake in it raises UsageError."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    nprocs, threads = share_processors(cpus, args.nprocs, args.omp_nthreads)
    output_dir = args.output_dir.absolute()
    scans = _scans(args)
    return Config(
        bids_dir=args.bids_dir.absolute(),
        output_dir=output_dir,
        levels=_levels(args.levels, scans),
        work_dir=_work_dir(args, output_dir),
        settings=settings_from_arguments(args),
        preset=args.preset,
        selection=Selection(
            tuple(_labels(args.participant_label, "sub-")),
            tuple(_labels(args.session_label, "ses-")),
            read_filters(args.bids_filter_file),
        ),
        nprocs=nprocs,
        derivatives=tuple(derivative_dataset(path) for path in args.derivatives or ()),
        derivatives_use=tuple(args.derivatives_use or ()),
        mask_desc=args.mask_desc or "",
        validate_input=not args.skip_bids_validation,
        omp_nthreads=threads,
        mem_gb=args.mem,
        group=group_rules(args, output_dir),
        stage=_stage(args.stage or ""),
        stage_part=args.stage_part or (1, 1),
        stage_patience=args.stage_patience,
        stop_on_first_crash=args.stop_on_first_crash,
        force=args.force,
        reports_only=args.reports_only,
        dry_run=args.dry_run,
        verbosity=args.verbose,
        events=args.events,
        command=command,
        scans=scans,
        cluster=cluster_from(args, passed_on),
        scratch=args.scratch is not None,
    )


def _stage(name: str) -> str:
    """Return the name of a stage; one of its old names is taken with a warning."""
    new = STAGES.get(name, name)
    if new != name:
        _warn(f"--stage {name} is called --stage {new} now; the old name goes with the next release")
    return new


def _work_dir(args: argparse.Namespace, output_dir: Path) -> Path:
    """Return the folder of working files; one of its own for this process where it is on a node's scratch disk."""
    if args.scratch is None:
        chosen: Path = args.work_dir or output_dir / "work"
        return _usable(chosen, args)
    if args.work_dir is not None:
        raise UsageError("--scratch and --work-dir both say where working files go: give one of them")
    root = os.path.expandvars(args.scratch)
    # In scripts the name is expanded on the node where the job runs and not here.
    if "$" in root and args.write_jobs is None and args.cluster is None:
        raise UsageError(f"--scratch {args.scratch}: the variable is not set here; name a folder or set it")
    return Path(root).absolute() / f"qsm-bids-app-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


def _usable(work_dir: Path, args: argparse.Namespace) -> Path:
    """Return the folder of working files; it is no file, and none of the dataset's own folders."""
    existing = next(path for path in (work_dir, *work_dir.parents) if path.exists())
    if not existing.is_dir():
        raise UsageError(f"--work-dir: {existing} is a file; name a folder")
    bids, place = args.bids_dir.resolve(), work_dir.resolve()
    inside = place.relative_to(bids).parts if bids in place.parents else ()
    if place == bids or (inside and inside[0].startswith(("sub-", "sourcedata"))):
        raise UsageError(f"--work-dir: {work_dir} lies among the input data; choose another folder")
    return work_dir


def _scans(args: argparse.Namespace) -> Scans:
    paths = {name: getattr(args, name) for name in ("dicom_dir", "nifti_dir", "nifti_table")}
    return Scans(
        **{name: path.absolute() if path else None for name, path in paths.items()},
        heuristic=args.heuristic,
        subject_pattern=args.subject_pattern,
        session_pattern=args.session_pattern,
        series=args.series,
        add=args.add,
    )


def _levels(levels: list[str], scans: Scans) -> tuple[str, ...]:
    """Return the levels; scans to convert make ``convert`` the first of them, and without scans it is a mistake."""
    if scans.given and "convert" not in levels:
        return ("convert", *levels)
    if "convert" in levels and not scans.given:
        raise UsageError("level convert: say where the scans are with --dicom-dir, --nifti-dir or --nifti-table")
    return tuple(levels)


def share_processors(cpus: int, nprocs: int | None, threads: int | None) -> tuple[int, int]:
    """Return how many processes run at once and the threads of each; what is not given follows from the processors.

    Four threads are the default where there are as many: more help a single run little, and another process more.
    """
    if threads is None:
        threads = min(4, cpus) if nprocs is None else max(1, min(8, cpus // nprocs))
    return nprocs or max(1, cpus // threads), threads


def _labels(labels: list[str] | None, prefix: str) -> list[str]:
    """Return labels without their prefix; commas may separate them too."""
    parts = [part for label in labels or () for part in label.replace(",", " ").split()]
    return list(dict.fromkeys(part.removeprefix(prefix) for part in parts))
