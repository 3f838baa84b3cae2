"""The smooth trend of the map that no field determines, removed where the settings say so."""

from bids_app.derivatives.files import read_mask
from bids_app.model.records import GreRun
from bids_app.model.settings import Settings
from bids_app.model.step import Output, Step, StepInput, StepResult
from bids_app.steps.participant.background import local_field_outputs
from bids_app.steps.participant.common import grid_image, grid_of, has_magnitude, memory, read_array
from bids_app.steps.participant.mask import two_pass


def without_trend(step: StepInput[GreRun]) -> StepResult:
    """Remove the trend from the map, and its field from the local field."""
    from bids_app import qsm

    files, like = step.inputs, step.inputs["magnitude"]
    chi, mask = read_array(files["chi_with_trend"]), read_mask(files["mask_qsm"])
    has_two_passes, local = "mask_singlepass" in files, None
    single, single_mask = chi, mask
    if has_two_passes:
        single, single_mask = read_array(files["chi_with_trend_singlepass"]), read_mask(files["mask_singlepass"])
    if "local_field_with_trend" in files:
        local = read_array(files["local_field_with_trend"])
    maps = qsm.Susceptibility(chi, mask, local, single, single_mask)
    done = qsm.remove_null_space_trend(maps, read_array(files["magnitude"]), grid_of(step.record, chi.shape))
    outputs = {"trend": Output(done.trend, like), "chi_unreferenced": Output(done.susceptibility.chi, like)}
    if has_two_passes:
        outputs["chi_unreferenced_singlepass"] = Output(done.susceptibility.single_chi, like)
    if done.susceptibility.local_field is not None:
        outputs |= local_field_outputs(step, done.susceptibility.local_field)
    return StepResult(outputs, {"trend_ppm": round(done.sd, 5)}, (), done.methods)


def removes_trend(run: GreRun, settings: Settings) -> bool:
    """Return whether the trend is removed: tissue is recognised by its magnitude, without which the trend stays."""
    return bool(settings.background.choice.null_space_trend != "keep" and has_magnitude(run))


def _needs(run: GreRun, settings: Settings) -> tuple[str, ...]:
    keys: tuple[str, ...] = ("magnitude", "chi_with_trend", "mask_qsm")
    if settings.background.choice.method != "none":
        keys += ("local_field_with_trend",)
    return (*keys, "chi_with_trend_singlepass", "mask_singlepass") if two_pass(run, settings) else keys


def _makes(run: GreRun, settings: Settings) -> tuple[str, ...]:
    if not removes_trend(run, settings):
        return ()
    keys: tuple[str, ...] = ("trend", "chi_unreferenced")
    if settings.background.choice.method != "none":
        keys += ("local_field", "local_field_magnitude")
    return (*keys, "chi_unreferenced_singlepass") if two_pass(run, settings) else keys


#: Field and inversion are read for the sidecar of the local field alone, which names how it was made.
NULL_SPACE_TREND = Step(
    "null_space_trend",
    "Null-space trend",
    without_trend,
    reads=("field", "background", "inversion"),
    headers=grid_image,
    needs=_needs,
    makes=_makes,
    memory=memory(32),
)
