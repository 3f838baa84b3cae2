"""What the methods text says of masks, and of maps that were made elsewhere."""

from bids_app.model.step_record import StepRecord
from bids_app.report.participant.collect import Run

#: What the maps of other datasets are called, by the step that imports them.
_IMPORTS = {
    "import-total-field": "total field",
    "import-local-field": "local field",
    "import-chimap": "susceptibility map",
    "import-r2star": "R2* map",
    "import-r2": "R2 map",
    "import-r2prime": "R2' map",
}


def imported(run: Run) -> str:
    """Return which maps were those of another dataset, so that the steps before them were not run."""
    names = [name for step, name in _IMPORTS.items() if step in run.records]
    if not names:
        return ""
    listed = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    several = len(names) > 1
    return (
        f"The {listed} {'were' if several else 'was'} made elsewhere and used as given. This text cannot describe how."
    )


def mask_sentences(record: StepRecord | None) -> list[str]:
    """Return where the mask comes from, and where the field was processed."""
    choice = {} if record is None else record.section("mask")
    if record is None or not choice:
        return []
    given = record.metrics.get("mask_given", False)
    source = record.metrics.get("mask_source")
    text = [
        f"The mask was taken from another dataset ({source})."
        if given and source
        else "The mask was taken from another dataset."
        if given
        else f"The mask was computed from the data with the recipe “{choice['filled']}”."
    ]
    if choice.get("from_anatomy") and not given:
        text.append("It was restricted to the brain mask of the segmentation.")
    if "mask_processing" in record.paths:
        text.append(
            f"The field was also processed up to {choice['margin']:g} mm outside the mask, where the recipe "
            f"“{choice['filled']}” finds the object; the maps were then restricted to the mask."
        )
    return text
