"""Which anatomical image and which spin echoes go with a gradient-echo run."""

from collections.abc import Sequence
from dataclasses import replace

from bids_app.model.naming import T1_WEIGHTED
from bids_app.model.records import Anatomical, GreRun


def choose_t1w(run: GreRun, images: Sequence[Anatomical]) -> tuple[Anatomical | None, str]:
    """Return the T1-weighted image for a run, and one sentence that says which and why.

    The rule, in this order: an image of the run's own session, else of the subject's other sessions; without contrast
    agent (``ce``); T1w, else the combined image of MP2RAGE (UNIT1); intensity-normalised (``rec-norm``), else without
    ``rec``, else with another ``rec``; the fewest entities; the lowest ``run``; the first name in alphabetical order.
    ``acq`` plays no part: scanners and sites name acquisitions as they like.
    """
    if not images:
        return None, "no T1w image of this subject"
    of_session = [image for image in images if image.session == run.session]
    candidates = sorted(of_session or images, key=_order)
    image, name = candidates[0], candidates[0].path.name
    why = "the only T1w image of the session" if run.session else "the only T1w image of the subject"
    if not of_session:
        why = f"no T1w image in session {run.session or '(none)'}, taken from session {image.session or '(none)'}"
    if len(candidates) > 1:
        why = f"{'' if of_session else why + '; '}first of {len(candidates)} T1w images by the order of preference"
    return image, f"{name}: {why}"


def _order(image: Anatomical) -> tuple[object, ...]:
    entities = dict(image.entities)
    rec = {"norm": 0, "": 1}.get(entities.get("rec", "").lower(), 2)
    run = entities.get("run", "0")
    return (
        image.session or "",
        "ce" in entities,
        T1_WEIGHTED.index(image.suffix),
        rec,
        len(entities.keys() - {"run"}),
        int(run) if run.isdigit() else 0,
        image.path.name,
    )


def with_spin_echo(run: GreRun, trains: Sequence[GreRun]) -> GreRun:
    """Return the run with the multi-echo spin echo (MESE) of its subject and session; a remark says if there are more.

    Of several, the one with the fewest entities is taken, then the first name in alphabetical order.
    """
    of_session = [train for train in trains if (train.subject, train.session) == (run.subject, run.session)]
    if not of_session:
        return run
    train = min(of_session, key=lambda mese: (len(mese.entities), mese.basename))
    remarks = run.remarks
    if len(of_session) > 1:
        remarks += (
            f"{train.basename}_MESE is used for R2, the first of {len(of_session)}; "
            "choose another with --bids-filter-file",
        )
    return replace(run, spin_echo=train.echoes, clashes=run.clashes + train.clashes, remarks=remarks)
