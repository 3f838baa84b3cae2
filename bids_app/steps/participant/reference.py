"""The zero of the susceptibility scale: a step of its own, so that another reference never inverts again."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from bids_app.derivatives.files import read_image
from bids_app.errors import QsmAppError
from bids_app.model.records import GivenMap, GreRun
from bids_app.model.settings import Settings
from bids_app.model.step import Output, Step, StepInput, StepResult
from bids_app.steps.participant.common import memory
from bids_app.steps.participant.mask import two_pass
from bids_app.steps.participant.null_space_trend import removes_trend
from bids_app.steps.participant.segmentations import gre_keys, regions_in

#: References that need no segmentation.
PLAIN = ("mask", "none")
#: Fewer voxels than this give a reference that is mostly noise.
_FEW_VOXELS = 50


def referenced(step: StepInput[GreRun]) -> StepResult:
    """Subtract the mean over the mask or a region from the maps, inside their masks."""
    from bids_app.qsm.inversion.combine import reference

    name, like = step.settings.reference.choice.region, step.inputs["magnitude"]
    facts: dict[str, object] = {"MagneticFieldStrength": step.record.field_strength, "ReferenceRegion": name}
    facts |= _imported(step)
    places = {"chimap": step.inputs["mask_qsm"]}
    arrays = {"chimap": read_image(step.inputs["chi_unreferenced"])[0]}
    if "chi_unreferenced_singlepass" in step.inputs:
        arrays["chimap_singlepass"] = read_image(step.inputs["chi_unreferenced_singlepass"])[0]
        places["chimap_singlepass"] = step.inputs["mask_singlepass"]
    if "chi_with_trend" in step.inputs:
        arrays["chimap_with_trend"] = read_image(step.inputs["chi_with_trend"])[0]
        places["chimap_with_trend"] = places["chimap"]
    masks = {key: read_image(path)[0] > 0 for key, path in places.items()}
    region, warnings = None, []
    if name not in PLAIN:
        region, source = _region(step, name)
        count = int((region & masks["chimap"]).sum())
        facts |= {"ReferenceSegmentation": source, "ReferenceVoxels": count}
        if not count:
            raise QsmAppError(f"the reference region {name!r} has no voxel inside the valid mask; choose another one")
        if count < _FEW_VOXELS:
            warnings.append(f"the reference region {name!r} has {count} voxels only: the map's zero is uncertain")
    outputs, metrics = {}, {}
    for key, chi in arrays.items():
        offset, used = 0.0, {}
        if name != "none":
            chi, offset = reference(chi, masks[key], region)
            used = {"ReferenceMask": places[key].name}
        metrics[f"offset_{key}"] = offset
        outputs[key] = Output(chi, like, facts | used | {"ReferenceOffset": offset, "ReferenceOffsetUnits": "ppm"})
    return StepResult(outputs, metrics, tuple(warnings))


def _imported(step: StepInput[GreRun]) -> dict[str, object]:
    """Return what the sidecar says of a map or a local field that was made elsewhere: no method that did not run."""
    given = _start(step.record)
    if given is None:
        return {}
    parameters: dict[str, object] = {"reference": step.settings.reference.to_mapping()}
    if given.product == "local_field":
        trend = {"null_space_trend": step.settings.background.choice.null_space_trend}
        parameters |= {"background": trend, "inversion": step.settings.inversion.to_mapping()}
    return {"ImportedFrom": given.path.name, "Parameters": parameters}


def _start(run: GreRun) -> GivenMap | None:
    """Return the map or the local field of another dataset that the susceptibility map comes from."""
    return run.given("chimap") or run.given("local_field")


def _start_file(run: GreRun, settings: Settings) -> dict[str, Path]:
    """Return its file, which the sidecar names as a source."""
    given = _start(run)
    return {given.product: given.path} if given else {}


def _region(step: StepInput[GreRun], name: str) -> tuple[npt.NDArray[np.bool_], str]:
    """Return the voxels of a region, from the first segmentation that has it, and the segmentation's file name."""
    from bids_app.adapters import labels
    from bids_app.errors import UsageError

    problem: UsageError | None = None
    for key, path in step.inputs.items():
        if not key.startswith("dseg_gre@"):
            continue
        try:
            wanted = labels.find(regions_in(path), name)
        except UsageError as error:
            problem = error
            continue
        return np.isin(read_image(path)[0], wanted), path.name
    raise problem or QsmAppError(f"no segmentation is here to take the reference region {name!r} from")


def _needs(run: GreRun, settings: Settings) -> tuple[str, ...]:
    keys: tuple[str, ...] = ("chi_unreferenced", "mask_qsm", "magnitude")
    if two_pass(run, settings):
        keys += ("chi_unreferenced_singlepass", "mask_singlepass")
    if _keeps_trend_map(run, settings):
        keys += ("chi_with_trend",)
    return keys if settings.reference.choice.region in PLAIN else keys + gre_keys(run, settings)


def _keeps_trend_map(run: GreRun, settings: Settings) -> bool:
    is_reconstructed = run.given("chimap") is None
    return is_reconstructed and settings.reference.choice.keep_trend_map and removes_trend(run, settings)


def _makes(run: GreRun, settings: Settings) -> tuple[str, ...]:
    keys: tuple[str, ...] = ("chimap", "chimap_singlepass") if two_pass(run, settings) else ("chimap",)
    return (*keys, "chimap_with_trend") if _keeps_trend_map(run, settings) else keys


#: Background and inversion are read for the sidecar alone, which names how the map was made.
REFERENCE = Step(
    "reference",
    "Zero of the susceptibility scale",
    referenced,
    reads=("background", "inversion", "reference"),
    sources=_start_file,
    needs=_needs,
    makes=_makes,
    memory=memory(16),
)
