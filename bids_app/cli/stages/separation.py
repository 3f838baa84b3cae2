"""``qsm separate``: paramagnetic and diamagnetic susceptibility from loose maps."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from bids_app import qsm
from bids_app.cli.stages.images import Image, echo_times, field_strength, in_ppm, load, load_echoes, load_mask, save
from bids_app.cli.stages.inputs import b0_dir, method_of, parameters_of, related, volume_of
from bids_app.errors import InputRefusedError, ParameterError, UsageError
from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.relaxometry import r2prime
from bids_app.qsm.separation import SeparationData
from bids_app.steps.participant.separation import RELAXIVITY, SIGN

#: A susceptibility (ppm) above this is in ppb.
_LARGEST_PPM = 50.0
#: The method where none is named: two equations in every voxel.
_METHOD = "closed_form"


def separate(args: argparse.Namespace, further: Sequence[str]) -> Iterator[str]:
    """Separate the sources of a susceptibility map; give a line about each file."""
    method = method_of(qsm.SEPARATION, args.method or _METHOD)
    image = load(args.image)
    params = parameters_of(method, further)
    info: dict[str, object] = {}
    try:
        sources = method(_data(args, image), params=params, info=info)
    except ParameterError as error:
        raise UsageError(f"qsm separate --method {method.name}: {error}") from error
    facts: dict[str, object] = {
        "Units": "ppm",
        "Method": method.label,
        "Parameters": params.to_mapping(),
        "MagneticFieldStrength": field_strength(args.b0, image),
    }
    facts |= {"Sign": SIGN} | {RELAXIVITY[name]: value for name, value in info.items() if name in RELAXIVITY}
    for name, data in (("paramagnetic", sources.paramagnetic), ("diamagnetic", sources.diamagnetic)):
        written = save(related(args.output, name), data, image, **facts)
        yield f"{written}: {name} susceptibility in ppm, by {method.label}"
    if sources.residual is not None:
        written = save(related(args.output, "residual"), sources.residual, image, **facts | {"Units": "1/s"})
        yield f"{written}: relaxation that the model leaves, in 1/s"


def _data(args: argparse.Namespace, image: Image) -> SeparationData:
    """Return the maps that were given, all on the grid of the susceptibility map."""
    mask = load_mask(args.mask, image)
    rate, rate_sd, rate_mask = _r2prime(args, image, mask)
    local = None
    if args.local_field is not None:
        volume_of(args.local_field, image)  # refuses another grid
        local = in_ppm(load(args.local_field), args.units, args.b0)
    magnitude, times = _echoes(args, image)
    return SeparationData(
        image.grid(b0_dir(args)),
        mask,
        field_strength(args.b0, image),
        local_field=local,
        chi=_chi(image),
        r2prime=rate,
        r2prime_sd=rate_sd,
        r2prime_mask=rate_mask,
        r2star=volume_of(args.r2star, image),
        r2=volume_of(args.r2, image),
        magnitude=magnitude,
        echo_times=times,
        fibre_angle=volume_of(args.fibre_angle, image),
        white_matter=volume_of(args.white_matter, image),
    )


def _chi(image: Image) -> FloatArray:
    """Return the susceptibility in ppm."""
    if str(image.sidecar.get("Units", "")).lower() == "ppb":
        return (image.data * np.float32(0.001)).astype(np.float32)
    largest = float(np.nanpercentile(np.abs(image.data), 99.9))
    if largest > _LARGEST_PPM:
        raise UsageError(
            f'{image.path.name} has values of {largest:.0f}, too large for ppm: say "Units": "ppb" in its sidecar'
        )
    return image.data


def _r2prime(
    args: argparse.Namespace, image: Image, mask: BoolArray
) -> tuple[FloatArray | None, FloatArray | None, BoolArray | None]:
    """Return R2', its standard deviation and where it is valid: as given, or R2* less R2 where both are given."""
    given = volume_of(args.r2prime, image)
    if given is None and args.r2star is not None and args.r2 is not None:
        star, r2 = volume_of(args.r2star, image), volume_of(args.r2, image)
        assert star is not None and r2 is not None
        made = r2prime(star, r2, mask & (r2 > 0))
        return made.r2prime, made.sd, made.valid
    valid = None if args.r2prime_mask is None else load_mask(args.r2prime_mask, image)
    return given, volume_of(args.r2prime_sd, image), valid


def _echoes(args: argparse.Namespace, image: Image) -> tuple[FloatArray | None, tuple[float, ...]]:
    """Return the magnitude of the echoes and their times; none where they were not given."""
    paths: list[Path] | None = args.magnitude
    if not paths:
        return None, ()
    echoes = load_echoes(paths)
    if not image.shares_grid(echoes.data.shape[-3:], echoes.affine):
        raise InputRefusedError([f"{echoes.path} does not lie on the grid of {image.path.name}: resample it first"])
    return echoes.data, echo_times(args.te, echoes)
