"""Maps of other datasets in place of the steps that make them, each in its own unit and on the run's grid.

Every map is imported by a step that names the steps which it replaces (``Step.replaces``): a total field takes the
place of everything from the phase to the field, a susceptibility map also that of background removal and inversion.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from bids_app.derivatives.files import read_image, read_mask
from bids_app.errors import QsmAppError
from bids_app.model.records import FIELDS, GivenMap, GreRun
from bids_app.model.settings import Settings
from bids_app.model.step import Output, Step, StepInput, StepResult
from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.units import field_to_hz, hz_to_ppm
from bids_app.steps.participant.common import (
    combined,
    field_strength,
    has_magnitude,
    load_magnitude,
    magnitude_files,
    memory,
    read_array,
)

#: Steps from the echoes to the total field; coils are combined for the magnitude's sake.
_TO_FIELD = ("phase", "field")
#: Steps from the total field to the map.
_TO_MAP = ("background", "inversion", "null_space_trend")
#: Time (s) at which the phase of a given field is judged: neighbours that differ by 25 Hz, as noise does and tissue
#: does not, differ by pi / 2.
_QUALITY_TIME_S = 0.01
#: A wrapped field spans one period, with a little for rounding.
_ONE_PERIOD = 1.02


def _key(given: GivenMap) -> str:
    """Return what names a given map among a step's files: another unit, or another period, is another result."""
    wrapped = f"@{given.period_hz:g}" if given.period_hz else ""
    return f"{given.product}@{given.units}{wrapped}"


def _source(run: GreRun, product: str) -> dict[str, Path]:
    """Return the file of a given map."""
    given = run.given(product)
    return {_key(given): given.path} if given else {}


def _values(step: StepInput[GreRun], given: GivenMap) -> FloatArray:
    """Return a given map with 0 where it is not finite; nothing but zeros is no map."""
    data = np.nan_to_num(read_image(step.inputs[_key(given)])[0], posinf=0, neginf=0)
    if not data.any():
        raise QsmAppError(f"{given.path} is 0 everywhere: there is no map in it; make it again, or take it away")
    return data


def _the(step: StepInput[GreRun], product: str) -> GivenMap:
    given = step.record.given(product)
    if given is None:
        raise RuntimeError(f"step imports {product}, which the run does not have")
    return given


def field_hz(step: StepInput[GreRun], product: str) -> FloatArray:
    """Return a given total or local field in Hz, unwrapped."""
    given = _the(step, product)
    field = field_to_hz(_values(step, given), given.units, field_strength(step.record))
    return _unwrapped(field, given.period_hz) if given.period_hz else field


def _unwrapped(field: FloatArray, period: float) -> FloatArray:
    """Return a field (Hz) without jumps by its period; a field that reaches beyond one period is not wrapped."""
    from bids_app.qsm.unwrap.romeo import romeo

    if np.ptp(field) > _ONE_PERIOD * period:
        return field
    turn = np.float32(2 * np.pi / period)
    return romeo((field * turn).astype(np.float32), field != 0) / turn


def last_given(run: GreRun) -> GivenMap:
    """Return the map with which the run starts: that of the last stage."""
    return next(given for product in FIELDS if (given := run.given(product)) is not None)


def extent_files(run: GreRun) -> dict[str, Path]:
    """Return the file of the map with which the run starts."""
    return _source(run, last_given(run).product)


def extent_of(step: StepInput[GreRun]) -> BoolArray:
    """Return where the map with which the run starts has a value."""
    inside: BoolArray = _values(step, last_given(step.record)) != 0
    return inside


def import_basis(step: StepInput[GreRun]) -> StepResult:
    """Make what the steps after the field need of the echoes: magnitude, quality of the phase, error of the field.

    The standard error of a given field is not known: every voxel of it counts the same. Its quality is that of the
    phase which the field has at one echo time, so that recipes of masks find noise; a map of a later stage has been
    masked already.
    """
    from bids_app.qsm.unwrap.romeo import romeo_quality

    run, inside = step.record, extent_of(step)
    magnitude = inside.astype(np.float32)
    if run.echoes and has_magnitude(run):
        echoes = np.nan_to_num(load_magnitude(step))
        magnitude = np.sqrt(np.sum(np.square(echoes), axis=0, dtype=np.float32)).astype(np.float32)
    quality = inside.astype(np.float32)
    if last_given(run).product == "total_field":
        angle = np.float32(2 * np.pi * _QUALITY_TIME_S) * field_hz(step, "total_field")
        wrapped = np.angle(np.exp(1j * angle)).astype(np.float32)
        quality *= romeo_quality(wrapped, inside, magnitude=magnitude)
    like = last_given(run).path
    outputs = {
        "magnitude": Output(magnitude, like, {"EchoTimes": list(run.echo_times)} if run.echo_times else {}),
        "quality": Output(quality, like),
        "field_sd": Output(inside.astype(np.float32), like),
        "residual": Output(np.zeros_like(magnitude), like),
    }
    return StepResult(outputs, {"given": last_given(run).product})


def import_total_field(step: StepInput[GreRun]) -> StepResult:
    """Take a total field over, in Hz."""
    given, like = _the(step, "total_field"), step.inputs["magnitude"]
    facts = {"MagneticFieldStrength": step.record.field_strength, "ImportedFrom": given.path.name}
    outputs = {
        "total_field": Output(field_hz(step, "total_field"), like, facts),
        "total_field_magnitude": Output(read_array(like), like),
    }
    return StepResult(outputs)


def import_local_field(step: StepInput[GreRun]) -> StepResult:
    """Take a local field over: as the field of the first pass, or as a product where the map is given too."""
    given, like = _the(step, "local_field"), step.inputs["magnitude"]
    field = field_hz(step, "local_field")
    if step.record.given("chimap"):
        facts = {"MagneticFieldStrength": step.record.field_strength, "ImportedFrom": given.path.name}
        magnitude = Output(read_array(like), like)
        return StepResult({"local_field": Output(field, like, facts), "local_field_magnitude": magnitude})
    valid = (field != 0) & read_mask(step.inputs["mask_brain"])
    if not valid.any():
        raise QsmAppError(f"{given.path.name} has no value inside the mask: check that they belong together")
    ppm = hz_to_ppm(field, field_strength(step.record)) * valid
    return StepResult({"pass_field": Output(ppm[None], like), "pass_mask": Output(valid[None], like)})


def import_chimap(step: StepInput[GreRun]) -> StepResult:
    """Take a susceptibility map over, in ppm; where it is not 0, inside the mask, it is valid."""
    given, like = _the(step, "chimap"), step.inputs["magnitude"]
    chi = _values(step, given) * np.float32(0.001 if given.units == "ppb" else 1)
    valid = (chi != 0) & read_mask(step.inputs["mask_brain"])
    if not valid.any():
        raise QsmAppError(f"{given.path.name} has no value inside the mask: check that they belong together")
    outputs = {"chi_unreferenced": Output(chi * valid, like), "mask_qsm": Output(valid, like)}
    return StepResult(outputs, {"qsm_voxels": int(np.count_nonzero(valid))})


def import_rate(product: str) -> Callable[[StepInput[GreRun]], StepResult]:
    """Return the function that takes a map of R2*, R2 or R2' over, in 1/s."""

    def function(step: StepInput[GreRun]) -> StepResult:
        given = _the(step, product)
        return StepResult({product: Output(_values(step, given), given.path, {"ImportedFrom": given.path.name})})

    return function


def _basis_keys(run: GreRun, settings: Settings) -> tuple[str, ...]:
    return () if run.starts_from_phase else ("magnitude", "quality", "field_sd", "residual")


def _basis_files(run: GreRun, settings: Settings) -> dict[str, Path]:
    return {} if run.starts_from_phase else magnitude_files(run) | extent_files(run)


def _local_keys(run: GreRun, settings: Settings) -> tuple[str, ...]:
    if run.given("local_field") is None:
        return ()
    return ("local_field", "local_field_magnitude") if run.given("chimap") else ("pass_field", "pass_mask")


def _import(
    product: str,
    title: str,
    function: Callable[[StepInput[GreRun]], StepResult],
    makes: Callable[[GreRun, Settings], tuple[str, ...]],
    replaces: tuple[str, ...],
    needs: tuple[str, ...] = (),
) -> Step[GreRun]:
    """Return the step that takes a product of another dataset over."""
    return Step(
        f"import-{product.replace('_', '-')}",
        title,
        function,
        sources=lambda run, settings: _source(run, product),
        needs=lambda run, settings: needs,
        makes=makes,
        replaces=replaces,
        memory=memory(8),
    )


def _if_given(product: str, *keys: str) -> Callable[[GreRun, Settings], tuple[str, ...]]:
    return lambda run, settings: keys if run.given(product) else ()


BASIS = Step(
    "import-basis",
    "Magnitude and extent of imported maps",
    import_basis,
    sources=_basis_files,
    needs=lambda run, settings: combined(run)[1:],
    makes=_basis_keys,
    replaces=_TO_FIELD,
    memory=memory(10, 2),
)
TOTAL_FIELD = _import(
    "total_field",
    "Import of the total field",
    import_total_field,
    _if_given("total_field", "total_field", "total_field_magnitude"),
    _TO_FIELD,
    ("magnitude",),
)
LOCAL_FIELD = _import(
    "local_field",
    "Import of the local field",
    import_local_field,
    _local_keys,
    ("background",),
    ("magnitude", "mask_brain"),
)
CHIMAP = _import(
    "chimap",
    "Import of the susceptibility map",
    import_chimap,
    _if_given("chimap", "chi_unreferenced", "mask_qsm"),
    _TO_MAP,
    ("magnitude", "mask_brain"),
)
R2STAR = _import("r2star", "Import of R2*", import_rate("r2star"), _if_given("r2star", "r2star"), ("relaxometry",))
R2 = _import("r2", "Import of R2", import_rate("r2"), _if_given("r2", "r2"), ("spin-echo",))
R2PRIME = _import("r2prime", "Import of R2'", import_rate("r2prime"), _if_given("r2prime", "r2prime"), ("r2prime",))
