"""The options of ``qsm``; imports nothing heavy, so that its help comes at once."""

import argparse
from collections.abc import Callable
from pathlib import Path

from bids_app import __version__
from bids_app.cli.execution_options import DEVICES
from bids_app.cli.parser import Parser
from bids_app.cli.types import number, positive, tesla

#: Name of each stage, the sentence of its help, and one example.
STAGES = {
    "unwrap": ("Unwrap the phase of one or several echoes.", "qsm unwrap phase.nii.gz --te 0.02 -o unwrapped.nii.gz"),
    "field": (
        "Estimate the total field from phase and magnitude.",
        "qsm field p1.nii.gz p2.nii.gz --magnitude m1.nii.gz m2.nii.gz --te 0.004 0.012 -o total.nii.gz",
    ),
    "mask": (
        "Make a mask by a recipe.",
        'qsm mask --magnitude mag.nii.gz --recipe "magnitude,even:10,otsu:1,open:1,largest,holes" -o mask.nii.gz',
    ),
    "background": (
        "Remove the background field.",
        "qsm background total.nii.gz --mask mask.nii.gz --units hz --b0 3 --method vsharp -o local.nii.gz",
    ),
    "invert": (
        "Invert a local field to susceptibility.",
        "qsm invert local.nii.gz --mask mask.nii.gz --units ppm --method tv --lambda 2e-4 -o chi.nii.gz",
    ),
    "reference": (
        "Set the zero of a susceptibility map to the mean of a region.",
        "qsm reference chi.nii.gz --mask mask.nii.gz --region csf.nii.gz -o referenced.nii.gz",
    ),
    "r2star": (
        "Estimate R2* from the magnitude of the echoes.",
        "qsm r2star m1.nii.gz m2.nii.gz m3.nii.gz --te 0.004 0.012 0.02 --mask mask.nii.gz -o r2star.nii.gz",
    ),
    "swi": (
        "Make a susceptibility-weighted image and its minimum-intensity projection.",
        "qsm swi total.nii.gz --magnitude mag.nii.gz --mask mask.nii.gz --units hz -o swi.nii.gz",
    ),
    "separate": (
        "Separate paramagnetic and diamagnetic susceptibility.",
        "qsm separate chi.nii.gz --r2prime r2prime.nii.gz --mask mask.nii.gz --b0 3 -o sources.nii.gz",
    ),
    "reconstruct": (
        "Go from phase and magnitude to a map, a mask and a report of one page.",
        "qsm reconstruct --phase p1.nii.gz p2.nii.gz --magnitude m1.nii.gz m2.nii.gz --te 0.004 0.012 --b0 3 "
        "-o chi.nii.gz",
    ),
    "score": ("Compare a susceptibility map with a reference.", "qsm score chi.nii.gz truth.nii.gz --mask mask.nii.gz"),
}


def build_parser() -> Parser:
    """Return the parser of ``qsm`` with one subcommand for each stage."""
    parser = Parser(
        prog="qsm",
        description="Quantitative susceptibility mapping, one stage at a time, on NIfTI files. The JSON sidecar of an "
        "image fills in what is not given: EchoTime, MagneticFieldStrength, Units, B0_dir.",
        epilog="qsm STAGE --help shows the options of a stage and an example. For a BIDS dataset use qsm-bids-app.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"qsm {__version__}")
    stages = parser.add_subparsers(dest="stage", metavar="STAGE", required=True, parser_class=Parser)
    for name, (text, example) in STAGES.items():
        stage = stages.add_parser(
            name,
            help=text,
            description=text,
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        _add_options(name, stage)
    return parser


def _add_options(name: str, stage: Parser) -> None:
    if name == "score":
        stage.add_argument("map", type=Path, help="susceptibility map")
        stage.add_argument("reference", type=Path, help="reference map, in the same unit, on the same grid")
        stage.add_argument("--mask", type=Path, required=True, help="where to compare")
        return
    _inputs(name, stage)
    stage.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="image to write (.nii.gz)")
    stage.add_argument("--omp-nthreads", type=positive, metavar="N", help="threads (default: processors)")
    stage.add_argument(
        "--b0-dir",
        nargs="+",
        default=["auto"],
        metavar="X",
        help="direction of the main field along the voxel axes (default auto: from the sidecar or the affine)",
    )


#: Options by what they are called: the stages that have them, whether they need them, and the arguments of argparse.
_FIELDS = ("background", "invert", "swi")
_OPTIONS: tuple[tuple[tuple[str, ...], tuple[str, ...], dict[str, object]], ...] = (
    (
        ("phase",),
        ("unwrap", "field"),
        {"nargs": "+", "type": Path, "help": "phase, one file for each echo or one 4D file"},
    ),
    (
        ("magnitude",),
        ("r2star",),
        {"nargs": "+", "type": Path, "help": "magnitude, a file for each echo or one 4D file"},
    ),
    (("image",), _FIELDS, {"type": Path, "help": "field map"}),
    (("image",), ("reference", "separate"), {"type": Path, "help": "susceptibility map"}),
    (("--r2prime",), ("separate",), {"type": Path, "help": "R2' in 1/s (or give --r2star and --r2)"}),
    (("--r2prime-sd",), ("separate",), {"type": Path, "help": "standard deviation of R2' in 1/s"}),
    (("--r2prime-mask",), ("separate",), {"type": Path, "help": "where R2' is valid (default: the mask)"}),
    (("--r2star",), ("separate",), {"type": Path, "help": "R2* in 1/s"}),
    (("--r2",), ("separate",), {"type": Path, "help": "R2 in 1/s"}),
    (("--local-field",), ("separate",), {"type": Path, "help": "local field, for methods that invert it"}),
    (("--fibre-angle",), ("separate",), {"type": Path, "help": "angle between fibres and main field in rad"}),
    (("--white-matter",), ("separate",), {"type": Path, "help": "fraction of white matter, 0 to 1"}),
    (("--phase",), ("reconstruct",), {"nargs": "+", "type": Path, "required": True, "help": "phase of each echo"}),
    (("--phase",), ("mask",), {"nargs": "+", "type": Path, "help": "phase, for recipes that begin with quality"}),
    (
        ("--magnitude",),
        ("unwrap", "field", "mask", "reconstruct", "separate"),
        {"nargs": "+", "type": Path, "help": "magnitude of each echo"},
    ),
    (("--magnitude",), ("invert",), {"type": Path, "help": "combined magnitude"}),
    (("--magnitude",), ("swi",), {"type": Path, "required": True, "help": "magnitude, combined or of one echo"}),
    (("--chi",), ("swi",), {"type": Path, "help": "susceptibility map in ppm, for tswi and smwi"}),
    (
        ("--te",),
        ("unwrap", "field", "r2star", "reconstruct", "mask", "separate", "swi"),
        {"nargs": "+", "type": number, "metavar": "S", "help": "echo times in seconds"},
    ),
    (("--recipe",), ("mask",), {"help": "source and operations (default: the recipe of the preset default)"}),
    (
        ("--mask",),
        (*_FIELDS, "reference", "r2star", "separate"),
        {"type": Path, "required": True, "help": "mask on the grid of the image"},
    ),
    (("--mask",), ("unwrap", "reconstruct"), {"type": Path, "help": "mask on the grid of the image"}),
    (
        ("--b0",),
        ("background", "invert", "field", "reconstruct", "separate"),
        {"type": tesla, "metavar": "T", "help": "main field in tesla"},
    ),
    (("--units",), (*_FIELDS, "separate"), {"choices": ("hz", "ppm"), "help": "unit of the field"}),
    (
        ("--device",),
        ("background", "invert", "reconstruct"),
        {"choices": DEVICES, "default": "cpu", "help": "where the method runs: cpu (default), cuda, auto"},
    ),
    (("--weights",), ("background", "invert"), {"type": Path, "help": "relative reliability of the field (about 1)"}),
    (("--region",), ("reference",), {"type": Path, "help": "mask of the reference region (default: the whole mask)"}),
    (("--preset",), ("field", "reconstruct"), {"default": "default", "help": "preset (default: default)"}),
    (("--no-report",), ("reconstruct",), {"action": "store_true", "help": "write no report"}),
    (
        ("--method",),
        ("unwrap", "background", "invert", "r2star", "separate", "swi"),
        {"help": "method; its parameters are options of their own, such as --lambda 2e-4"},
    ),
)


def _inputs(name: str, stage: Parser) -> None:
    add: Callable[..., object] = stage.add_argument
    for flags, stages, more in _OPTIONS:
        if name in stages:
            add(*flags, **more)
