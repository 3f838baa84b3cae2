"""The step that judges how well every run fits the average in the space of the template."""

import numpy as np
import numpy.typing as npt

from bids_app.derivatives.files import read_image
from bids_app.errors import QsmAppError
from bids_app.model.records import Record
from bids_app.model.settings import Settings
from bids_app.model.step import Output, Step, StepInput, StepResult
from bids_app.model.template import NormalizedRun, Space


def judge(step: StepInput[Space]) -> StepResult:
    """Compare every run's magnitude and mask with the group's; who is far below the others is flagged, and stays."""
    import pandas as pd

    from bids_app.group.outliers import robust_z

    record = step.record
    group = read_image(step.inputs["mask_group"])[0] > 0
    if not group.any():
        raise QsmAppError("the group's mask is empty: the runs do not lie on each other in the space of the template")
    runs = [run for run in record.runs if all(f"{key}@{run.basename}" in step.inputs for key in ("magnitude", "mask"))]
    mean = np.zeros(int(group.sum()))
    for run in runs:
        mean += _seen(step, run, group)
    rows: list[dict[str, object]] = []
    for run in runs:
        values = _seen(step, run, group)
        rest = mean - values if len(runs) > 1 else mean  # the average of the others: a run is no witness for itself
        mask = read_image(step.inputs[f"mask@{run.basename}"])[0] > 0
        overlap = 2 * int((mask & group).sum()) / max(int(mask.sum()) + int(group.sum()), 1)
        both = values.std() > 0 and rest.std() > 0
        rows.append(
            {
                "participant_id": f"sub-{run.run.subject}",
                "session_id": f"ses-{run.run.session}" if run.run.session else None,
                "run": run.run.basename,
                "correlation": float(np.corrcoef(values, rest)[0, 1]) if both else 0.0,
                "mask_overlap": overlap,
            }
        )
    threshold, warnings = step.settings.statistics.choice.outlier_z, []
    frame = pd.DataFrame(rows)
    for name in ("correlation", "mask_overlap"):
        for row, z in zip(rows, robust_z(frame[name]), strict=True):
            row[f"{name}_z"] = float(z) if np.isfinite(z) else None
    for row in rows:
        low = [name for name in ("correlation", "mask_overlap") if _number(row[f"{name}_z"]) < -threshold]
        row["flagged"] = bool(low)
        warnings += [
            f"{row['run']}: its {name.replace('_', ' ')} in the space {record.template} ({row[name]:.2f}) is far below "
            f"the others' (robust z {row[f'{name}_z']:.1f}): look at its registration; it stays in all averages"
            for name in low
        ]
    metrics = {"flagged": sum(row["flagged"] is True for row in rows)}
    return StepResult({"registrations": Output(rows=rows)}, metrics, tuple(warnings))


def _number(value: object) -> float:
    return value if isinstance(value, int | float) else 0.0


def _seen(step: StepInput[Space], run: NormalizedRun, group: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Return the run's magnitude in the group's mask over its median there: scanners have units of their own."""
    values = np.nan_to_num(read_image(step.inputs[f"magnitude@{run.basename}"])[0])[group].astype(np.float64)
    middle = float(np.median(values))
    return values / middle if middle > 0 else np.zeros_like(values)


def _inputs(record: Space, settings: Settings) -> dict[str, tuple[Record, str]]:
    return {
        f"{key}@{run.basename}": (run, f"space_{key}@{record.template}")
        for run in record.runs
        if "magnitude" in run.run.made
        for key in ("magnitude", "mask")
    }


FIT_STEPS = (
    Step(
        "fit",
        "How well the runs fit the average",
        judge,
        reads=("statistics",),
        collects=_inputs,
        needs=lambda record, settings: ("mask_group",),
        makes=lambda record, settings: ("registrations",) if _inputs(record, settings) else (),
        memory=lambda record, settings: 1_500_000_000,
    ),
)
