"""From the options of ``python -m bids_app.phantom`` to the study that they describe."""

import argparse
import math

from bids_app.errors import UsageError
from bids_app.phantom.acquisition import Acquisition, axis_codes
from bids_app.phantom.living import Living
from bids_app.phantom.orientations import SMALLEST_TILT, Orientations
from bids_app.phantom.sources import SourceModel
from bids_app.phantom.study import Study
from bids_app.phantom.white_matter import WhiteMatter
from bids_app.qsm.relaxometry.epg import is_cpmg

#: Values of the options that stand for several, in ppm: those that fit two living heads (``benchmarks/README.md``).
_LIVING = {"tensor": 0.07, "microstructure": 0.017, "living_texture": 0.015}
_PLAIN = dict.fromkeys(_LIVING, 0.0)


def study_from(args: argparse.Namespace) -> Study:
    """Return the study of the options.

    Raises
    ------
    UsageError
        If a value makes no sense.
    """
    try:
        for orientation in (args.orientation, args.t1w_orientation):
            axis_codes(orientation)
    except ValueError as error:
        raise UsageError(str(error)) from error
    times = tuple(args.echo_times)
    if list(times) != sorted(set(times)):
        raise UsageError(f"--echo-times must rise, got {' '.join(f'{t:g}' for t in times)}")
    if max(times) > 0.5:
        raise UsageError(f"--echo-times are in seconds; {max(times):g} s looks like milliseconds")
    voxel_size = _three("--voxel-size", args.voxel_size, args.voxel_size * 3)
    if not all(0.2 <= v <= 10 for v in (*voxel_size, args.t1w_voxel_size)):
        raise UsageError("voxel sizes must lie between 0.2 and 10 mm")
    if args.oversampling > 6:
        raise UsageError(f"--oversampling must be 6 or less, got {args.oversampling}")
    scan = Acquisition(
        voxel_size=voxel_size,
        matrix=tuple(args.matrix) if args.matrix else None,
        orientation=args.orientation,
        oblique=_three("--oblique", args.oblique, [*args.oblique, 0, 0]),
        echo_times=times,
        field_strength=args.field_strength,
        snr=args.snr,
        phase_offset=args.phase_offset,
        bipolar=args.bipolar,
        oversampling=args.oversampling,
        coil_shading=args.coil_shading,
        bandwidth=args.bandwidth,
    )
    return Study(
        subjects=args.subjects,
        sessions=args.sessions,
        seed=args.seed,
        scan=scan,
        tilt=_three("--tilt", args.tilt, [*args.tilt, 0, 0]),
        real_imag=args.real_imag,
        t1w=not args.no_t1w,
        t1w_voxel_size=args.t1w_voxel_size,
        t1w_orientation=args.t1w_orientation,
        t1w_oblique=_three("--t1w-oblique", args.t1w_oblique, [*args.t1w_oblique, 0, 0]),
        age_effect=0.0 if args.null else args.age_effect,
        group_effect=0.0 if args.null else args.group_effect,
        in_vivo=args.in_vivo,
        texture=args.texture,
        sources=_source_model(args),
        living=_living(args),
    )


def _living(args: argparse.Namespace) -> Living | None:
    """Return what makes the head like a living one; None without such options."""
    default = _LIVING if args.living else _PLAIN
    values = [getattr(args, name) if getattr(args, name) is not None else default[name] for name in default]
    tensor, frequency, texture = (float(value) for value in values)
    if max(abs(tensor), abs(frequency)) > 0.2:
        raise UsageError(f"--tensor and --microstructure must be at most 0.2 ppm, got {tensor:g} and {frequency:g}")
    if args.sources and (tensor or frequency):
        raise UsageError("--sources has fibres of its own (--anisotropy): leave out --living, --tensor and the like")
    if args.cosmos == 1 or args.cosmos_tilt < SMALLEST_TILT:
        raise UsageError(f"--cosmos needs 2 orientations or more, and a --cosmos-tilt of {SMALLEST_TILT:g} or more")
    plan = Orientations(args.cosmos, args.cosmos_tilt, args.misplacement) if args.cosmos else None
    white = WhiteMatter(tensor, frequency, args.fine_fibres) if tensor or frequency else None
    living = Living(white, texture, args.t1_weighting or args.living, plan, args.field_noise if plan else 0.0)
    return None if living == Living() else living


def _source_model(args: argparse.Namespace) -> SourceModel | None:
    """Return the model of the sources; None without ``--sources``."""
    if not args.sources:
        return None
    if not is_cpmg(args.spin_echo_times):
        raise UsageError("--spin-echo-times must be the multiples 1, 2, 3 ... of the first")
    if not -0.2 <= args.anisotropy <= 0.2:
        raise UsageError(f"--anisotropy must lie between -0.2 and 0.2 ppm, got {args.anisotropy:g}")
    if not 60 <= args.refocusing_angle <= 180:
        raise UsageError(f"--refocusing-angle must lie between 60 and 180 degrees, got {args.refocusing_angle:g}")
    return SourceModel(
        relaxivity=args.relaxivity,
        anisotropy=args.anisotropy,
        echo_times=tuple(args.spin_echo_times),
        refocusing_angle=args.refocusing_angle,
    )


def _three(option: str, given: list[float], alone: list[float]) -> tuple[float, float, float]:
    values = alone if len(given) == 1 else given
    if len(values) != 3 or not all(math.isfinite(v) for v in values):
        raise UsageError(f"{option} takes one number or three, got {len(given)}")
    return values[0], values[1], values[2]
