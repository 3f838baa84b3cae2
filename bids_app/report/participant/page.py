"""The page of a subject, ``sub-X.html``: called once when all its runs have ended, well or not."""

import hashlib
import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from bids_app import __version__
from bids_app.derivatives.files import write_bytes, write_json
from bids_app.derivatives.presence import read_json_object
from bids_app.derivatives.text import utf8
from bids_app.model.context import Context
from bids_app.model.json_values import JsonObject
from bids_app.model.records import Subject
from bids_app.model.results import Payload, earlier_failures
from bids_app.model.settings import Settings
from bids_app.report.participant.collect import Run, collect
from bids_app.report.participant.view import View, view_of

if TYPE_CHECKING:  # they load matplotlib, which the check whether a page is there does without
    from bids_app.report.methods.text import Methods


def report(subject: Subject, settings: Settings, context: Context, payload: Payload) -> list[str]:
    """Write the page of a subject and return warnings.

    Parameters
    ----------
    subject
        The dataset's record of the subject (``label``, ``runs``).
    settings
        Effective parameters (``to_mapping``).
    context
        Where the call happens (``output_dir``, ``bids_dir``).
    payload
        ``results``: how the subject's jobs ended, by their name; without it what the records say.
    """
    from bids_app.report.html import render

    runs = _runs(subject, context, payload)
    views, texts = [view_of(run) for run in runs], _texts(runs)
    program = _add_volumes(views) if settings.to_mapping().get("report", {}).get("viewer", True) else ""
    content = {
        "command": _command(context.output_dir),
        "program": program,
        "label": subject.label,
        "runs": views,
        "parameters": settings.to_mapping(),
        "texts": texts,
    }
    page = render("subject.html.j2", content)
    write_bytes(_page(subject, context), utf8(page))
    failures = {run.basename: [vars(failure) for failure in run.failures] for run in runs if run.failures}
    state = {
        "digest": _digest(runs, settings),
        "size": len(utf8(page)),
        "failures": failures,
        "methods": {names: text.paragraphs for names, text in texts},
    }
    write_json(_state_path(subject, context), state)
    return [f"{view.run.basename}: {text}" for view in views for stage in view.stages for text in stage.problems]


def report_done(subject: Subject, settings: Settings, context: Context, payload: Payload) -> bool:
    """Return whether the page is there and shows what there is now; arguments as for ``report``."""
    state, page = _state(subject, context), _page(subject, context)
    if not state or not page.is_file() or page.stat().st_size != state.get("size"):
        return False
    return bool(state.get("digest") == _digest(_runs(subject, context, payload), settings))


def _page(subject: Subject, context: Context) -> Path:
    return context.output_dir / f"sub-{subject.label}.html"


def _state_path(subject: Subject, context: Context) -> Path:
    return context.output_dir / "logs" / "reports" / f"sub-{subject.label}.json"


def _state(subject: Subject, context: Context) -> JsonObject:
    """Return what was kept with the last page; empty where there is none or it is damaged."""
    return read_json_object(_state_path(subject, context))


def _runs(subject: Subject, context: Context, payload: Payload) -> list[Run]:
    """Return the runs; failures of runs that this call has not processed are those of the call before."""
    results = payload.get("results", {})
    runs = collect(subject, context, results)
    before = earlier_failures(_state(subject, context).get("failures"))
    for run in runs:
        if run.basename not in results and run.basename in before:
            run.failures = before[run.basename]
    return runs


def _digest(runs: Sequence[Run], settings: Settings) -> str:
    content = {
        run.basename: [
            {name: [r.fingerprint, r.started, r.outputs] for name, r in run.records.items()},
            [(f.step, f.sentence, f.blocked) for f in run.failures],
            run.remarks,
        ]
        for run in runs
    }
    text = json.dumps([content, settings.to_mapping(), code_digest()], sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@cache
def code_digest() -> str:
    """Return the version and a digest of what makes pages."""
    digest = hashlib.blake2b(__version__.encode(), digest_size=8)
    for path in sorted(Path(__file__).parents[1].rglob("*")):
        if path.suffix in (".py", ".j2", ".css", ".js", ".json"):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _texts(runs: Sequence[Run]) -> list[tuple[str, "Methods"]]:
    """Return every different methods text with the runs that it is about."""
    from bids_app.report.methods.text import methods_text

    anatomical = [run for run in runs if run.is_anatomical]
    names_of: dict[Methods, list[str]] = {}
    for run in runs:
        if run.records and not run.is_anatomical:
            names_of.setdefault(methods_text([run, *_used(run, anatomical)]), []).append(run.basename)
    return [(", ".join(names), text) for text, names in names_of.items()]


def _used(run: Run, anatomical: Sequence[Run]) -> list[Run]:
    t1w = getattr(run.source, "t1w", None)
    return [image for image in anatomical if t1w is None or image.basename == t1w.basename]


#: A page stays below 8 MB: this many characters for everything but the pictures' frame.
_PAGE_BUDGET = 7_400_000


def _add_volumes(views: Sequence[View]) -> str:
    """Give every run its volumes for the viewer while they fit the page; return the viewer's program."""
    from bids_app.report.participant import viewer

    program = viewer.program()
    pictures = sum(len(p.uri) + len(p.other) for view in views for stage in view.stages for p in stage.pictures)
    left_over = _PAGE_BUDGET - pictures - len(program)
    shown = [view for view in views if view.stages]
    for view in shown:
        if left_over > 0:
            try:
                view.volumes = viewer.volumes(view.run, min(viewer.BUDGET, left_over // len(shown)))
            except Exception as error:  # as for figures: the page is more than its viewer
                view.stages[0].problems.append(f"Interactive viewer: not drawn ({type(error).__name__}: {error})")
    return program if any(view.volumes for view in views) else ""


#: First line of a log: date and time (not in logs of earlier versions), version, and the words of the command.
_FIRST_LINE = re.compile(r"(?:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d )?qsm-bids-app [^ :]+: (.+)")


def _command(output_dir: Path) -> str:
    """Return the last command that wrote a log in the output folder; empty where there is none."""
    for path in sorted((output_dir / "logs").glob("qsm-bids-app-*.log"), reverse=True):
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                first = file.readline().strip()
        except OSError:
            continue
        if match := _FIRST_LINE.match(first):
            return f"qsm-bids-app {match[1]}"
    return ""
