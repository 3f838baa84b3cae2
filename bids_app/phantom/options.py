"""The options of ``python -m bids_app.phantom``; imports nothing heavy."""

import argparse
import math
from pathlib import Path
from typing import NoReturn

from bids_app.errors import UsageError

_EPILOG = """\
examples:
  python -m bids_app.phantom study --subjects 4 --voxel-size 2
  python -m bids_app.phantom study --voxel-size 0.8 0.8 1.6 --orientation sagittal --oblique 15 0 5
  python -m bids_app.phantom study --echo-times 0.005 --field-strength 7 --real-imag

The truth is in OUT/derivatives/phantom; python -m bids_app.phantom.score compares maps with it.
The same command again computes nothing. Exit codes: 0 done, 1 failed, 2 usage, 4 the template is not installed.
"""


class Parser(argparse.ArgumentParser):
    """A parser whose mistakes come back as UsageError."""

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print."""
        raise UsageError(f"{message}\nsee {self.prog} --help")


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {text}")
    return value


def _positive(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"must be a positive number, got {text}")
    return value


def _not_negative(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError(f"must be zero or a positive number, got {text}")
    return value


def build_parser() -> Parser:
    """Return the parser."""
    parser = Parser(
        prog="python -m bids_app.phantom",
        description="Simulate a BIDS study of heads with known susceptibility, offline.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the dataset: new, or made by this command")
    _study(parser.add_argument_group("study"))
    scan = parser.add_argument_group("gradient-echo scan")
    _sampling(scan)
    _signal(scan)
    _sources(parser.add_argument_group("paramagnetic and diamagnetic sources"))
    _living(parser.add_argument_group("as in living brains"))
    _structural(parser.add_argument_group("T1-weighted image"))
    parser.add_argument("--omp-nthreads", type=_count, metavar="N", help="threads (default: processors)")
    return parser


def _study(group: "argparse._ArgumentGroup") -> None:
    add = group.add_argument
    add("--subjects", type=_count, default=2, metavar="N", help="participants (default: 2)")
    add("--sessions", type=_count, default=1, metavar="N", help="sessions of each, at intervals of a year (default: 1)")
    add("--seed", type=int, default=1, metavar="N", help="another number, other persons and noise (default: 1)")
    add(
        "--age-effect",
        type=float,
        default=1.0,
        metavar="F",
        help="iron's change with age: 1 as measured by Hallgren and Sourander (default), 0 none",
    )
    add(
        "--group-effect",
        type=float,
        default=0.04,
        metavar="PPM",
        help="added to putamen and pallidum of patients (default: 0.04)",
    )
    add("--null", action="store_true", help="neither age nor group has an effect")
    add(
        "--texture",
        type=_not_negative,
        default=1.0,
        metavar="F",
        help="random variation of susceptibility and R2* within a tissue, relative to 10 ppb (default: 1)",
    )


def _sampling(group: "argparse._ArgumentGroup") -> None:
    add = group.add_argument
    add(
        "--voxel-size",
        type=_positive,
        nargs="+",
        default=[2.0],
        metavar="MM",
        help="one edge length, or three (default: 2)",
    )
    add("--matrix", type=_count, nargs=3, metavar="N", help="voxels per axis (default: what holds the head)")
    add(
        "--orientation",
        default="axial",
        metavar="NAME",
        help="axial (default), sagittal, coronal, or three letters such as RAS",
    )
    add(
        "--oblique",
        type=float,
        nargs="+",
        default=[0.0],
        metavar="DEG",
        help="turn the slab about the scanner's x, or x y z axes (degrees)",
    )
    add(
        "--tilt",
        type=float,
        nargs="+",
        default=[0.0],
        metavar="DEG",
        help="turn the head in the scanner about x, or x y z (degrees)",
    )
    add(
        "--echo-times",
        type=_positive,
        nargs="+",
        default=[0.004, 0.012, 0.020, 0.028],
        metavar="S",
        help="seconds; a single one makes a T2starw (default: 0.004 0.012 0.020 0.028)",
    )


def _signal(group: "argparse._ArgumentGroup") -> None:
    add = group.add_argument
    add("--field-strength", type=_positive, default=3.0, metavar="T", help="tesla (default: 3)")
    add(
        "--snr",
        type=_positive,
        default=60.0,
        metavar="F",
        help="brain signal at the first echo over the noise of each channel (default: 60)",
    )
    add(
        "--phase-offset",
        type=float,
        default=4.0,
        metavar="RAD",
        help="size of the coil's smooth phase at echo time zero (default: 4; 0 none)",
    )
    add(
        "--in-vivo",
        action="store_true",
        help="tissue around the brain as in life: fat with its chemical shift, bone marrow, thin bones, muscle, orbits",
    )
    add(
        "--coil-shading",
        type=float,
        default=0.0,
        metavar="F",
        help="how much more the coils receive at the skin than in the middle, relative to the middle (default: 0)",
    )
    add(
        "--bandwidth",
        type=_positive,
        default=400.0,
        metavar="HZ",
        help="bandwidth of the readout per voxel, which displaces fat (default: 400)",
    )
    add("--bipolar", action="store_true", help="alternating readout: every other echo has an extra linear phase")
    add("--real-imag", action="store_true", help="store real and imaginary parts instead of magnitude and phase")
    add(
        "--oversampling",
        type=_count,
        default=2,
        metavar="N",
        help="fine voxels per voxel along each axis in the simulation (default: 2)",
    )


def _sources(group: "argparse._ArgumentGroup") -> None:
    add = group.add_argument
    add(
        "--sources",
        action="store_true",
        help="R2* from paramagnetic and diamagnetic sources, a multi-echo spin echo (MESE), and the truth of both",
    )
    add("--relaxivity", type=_positive, default=137.0, metavar="HZ", help="R2' per ppm at 3 T (default: 137)")
    add(
        "--anisotropy",
        type=float,
        default=0.016,
        metavar="PPM",
        help="susceptibility of white matter along its fibres less that across them (default: 0.016; 0 isotropic)",
    )
    add(
        "--spin-echo-times",
        type=_positive,
        nargs="+",
        default=[round(0.010 * (n + 1), 4) for n in range(16)],
        metavar="S",
        help="multiples of the first (default: 16 echoes, every 0.010 s)",
    )
    add(
        "--refocusing-angle",
        type=_positive,
        default=155.0,
        metavar="DEG",
        help="mean refocusing angle of the spin echoes (default: 155)",
    )


def _living(group: "argparse._ArgumentGroup") -> None:
    add = group.add_argument
    add("--living", action="store_true", help="all of this group but COSMOS, with values that fit two living heads")
    add(
        "--tensor",
        type=float,
        metavar="PPM",
        help="susceptibility tensor of white matter: along its fibres less across them (default: 0; living: 0.07)",
    )
    add(
        "--microstructure",
        type=float,
        metavar="PPM",
        help="frequency of white matter across the main field less that along it (default: 0; living: 0.017)",
    )
    add(
        "--fine-fibres",
        type=_not_negative,
        default=0.7,
        metavar="F",
        help="weight of fibres that turn within 2.5 mm, relative to those that turn within 8 mm (default: 0.7)",
    )
    add(
        "--living-texture",
        type=_not_negative,
        metavar="PPM",
        help="SD of fine susceptibility with the spectrum of living heads (default: 0; living: 0.015)",
    )
    add("--t1-weighting", action="store_true", help="magnitude with the contrast of spoiled echoes")
    _cosmos(group)


def _cosmos(group: "argparse._ArgumentGroup") -> None:
    add = group.add_argument
    add(
        "--cosmos",
        type=_count,
        metavar="N",
        help="also write a COSMOS map of N orientations, and a local field with what V-SHARP leaves of the background",
    )
    add(
        "--cosmos-tilt",
        type=_positive,
        default=25.0,
        metavar="DEG",
        help="largest tilt of the orientations (default: 25)",
    )
    add(
        "--misplacement",
        type=_not_negative,
        default=0.1,
        metavar="MM",
        help="largest error of their registration along each axis, which blurs COSMOS (default: 0.1)",
    )
    add(
        "--field-noise",
        type=_not_negative,
        default=0.004,
        metavar="PPM",
        help="noise of each orientation's field (default: 0.004)",
    )


def _structural(group: "argparse._ArgumentGroup") -> None:
    group.add_argument("--no-t1w", action="store_true", help="simulate no T1-weighted image")
    group.add_argument("--t1w-voxel-size", type=_positive, default=1.0, metavar="MM", help="edge length (default: 1)")
    group.add_argument("--t1w-orientation", default="RAS", metavar="NAME", help="as --orientation (default: RAS)")
    group.add_argument(
        "--t1w-oblique",
        type=float,
        nargs="+",
        default=[0.0],
        metavar="DEG",
        help="turn its slab about the scanner's x, or x y z axes (degrees)",
    )
