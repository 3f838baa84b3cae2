"""The page of a subject, ``sub-X.html``: called once when all its runs have ended, well or not."""

import hashlib
import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from bids_app import __version__
from bids_app.derivatives.files import write_bytes, write_json
from bids_app.derivatives.presence import read_json_object
from bids_app.model.context import Context
from bids_app.model.records import Subject
from bids_app.model.results import Payload, earlier_failures
from bids_app.model.settings import Settings
from bids_app.report.participant.collect import Run, collect


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
    views, texts = [_view(run) for run in runs], _texts(runs)
    wanted = settings.to_mapping().get("report", {}).get("viewer", True)
    program = _add_volumes(views) if wanted else ""
    content = {
        "command": _command(context.output_dir),
        "program": program,
        "label": subject.label,
        "runs": views,
        "parameters": settings.to_mapping(),
        "texts": texts,
    }
    page = render("subject.html.j2", content)
    write_bytes(_page(subject, context), page.encode())
    failures = {run.basename: [vars(failure) for failure in run.failures] for run in runs if run.failures}
    state = {
        "digest": _digest(runs, settings),
        "size": len(page.encode()),
        "failures": failures,
        "methods": {names: text.paragraphs for names, text in texts},
    }
    write_json(_state_path(subject, context), state)
    return [f"{run['run'].basename}: {text}" for run in views for stage in run["stages"] for text in stage.problems]


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


def _state(subject: Subject, context: Context) -> dict[str, Any]:
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


def _texts(runs: Sequence[Run]) -> list[tuple[str, Any]]:
    """Return every different methods text with the runs that it is about."""
    from bids_app.report.methods.text import methods_text

    anatomical = [run for run in runs if run.is_anatomical]
    found: dict[Any, list[str]] = {}
    for run in runs:
        if run.records and not run.is_anatomical:
            found.setdefault(methods_text([run, *_used(run, anatomical)]), []).append(run.basename)
    return [(", ".join(names), text) for text, names in found.items()]


def _used(run: Run, anatomical: Sequence[Run]) -> list[Run]:
    t1w = getattr(run.source, "t1w", None)
    return [one for one in anatomical if t1w is None or one.basename == t1w.basename]


#: A page stays below 8 MB: this many characters for everything but the pictures' frame.
_PAGE_BUDGET = 7_400_000


def _add_volumes(views: Sequence[dict[str, Any]]) -> str:
    """Give every run its volumes for the viewer while the page has room; return the viewer's program."""
    from bids_app.report.participant import viewer

    program = viewer.program()
    pictures = sum(len(p.uri) + len(p.other) for view in views for stage in view["stages"] for p in stage.pictures)
    room = _PAGE_BUDGET - pictures - len(program)
    shown = [view for view in views if view["stages"]]
    for view in shown:
        if room > 0:
            try:
                view["volumes"] = viewer.volumes(view["run"], min(viewer.BUDGET, room // len(shown)))
            except Exception as error:  # as for figures: the page is more than its viewer
                view["stages"][0].problems.append(f"Interactive viewer: not drawn ({type(error).__name__}: {error})")
    return program if any(view["volumes"] for view in views) else ""


def _view(run: Run) -> dict[str, Any]:
    """Return what the page's template shows of one run."""
    from bids_app.report import charts
    from bids_app.report.participant import figures

    return {
        "run": run,
        "volumes": None,
        "facts": _facts(run),
        "made": _made(run),
        "tables": _tables(run),
        "quality": _quality(run),
        "registrations": _registrations(run),
        "stages": [] if run.is_anatomical else figures.stages(run),
        "durations": charts.durations(list(run.records.values())),
    }


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
        if found := _FIRST_LINE.match(first):
            return f"qsm-bids-app {found[1]}"
    return ""


def _made(run: Run) -> list[tuple[str, str]]:
    """Return when and by what the map of a run was made, and the zero of its scale."""
    if not run.records:
        return []
    started = max(record.started for record in run.records.values())
    facts = [("Processed", f"{started[:16].replace('T', ' ')} UTC, version {__version__}")]
    chosen = run.parameters("reference").get("reference")
    region = chosen.get("region") if isinstance(chosen, dict) else None
    offset = run.metric("reference", "offset_chimap")
    if region and isinstance(offset, int | float):
        known = {"mask": "mean of the valid mask", "none": "as inverted, no reference"}
        words = known.get(str(region), f"mean of {region}")
        facts.append(("Zero of the scale", f"{words} ({offset:+.4f} ppm was subtracted)"))
    return facts


#: Columns of the table of regions on the page: column of the file, heading, unit factor and format.
_REGION_COLUMNS = (
    ("volume_mm3", "Volume (ml)", 1e-3, "{:.2f}"),
    ("chi_mean", "Mean χ (ppb)", 1e3, "{:.1f}"),
    ("chi_std", "SD (ppb)", 1e3, "{:.1f}"),
    ("chi_median", "Median (ppb)", 1e3, "{:.1f}"),
    ("chi_paramagnetic_mean", "Mean paramagnetic χ (ppb)", 1e3, "{:.1f}"),
    ("chi_diamagnetic_mean", "Mean diamagnetic χ (ppb)", 1e3, "{:.1f}"),
    ("r2star_mean", "Mean R2* (1/s)", 1.0, "{:.1f}"),
    ("r2prime_mean", "Mean R2' (1/s)", 1.0, "{:.1f}"),
)


def _tables(run: Run) -> list[dict[str, Any]]:
    """Return the tables of regions: title, headings and rows of texts."""
    from bids_app.report.charts import number, read_table

    found = []
    for key in run.keys("regions@"):
        path = run.path(key)
        rows = read_table(path) if path is not None else []
        if not rows:
            continue
        columns = [column for column in _REGION_COLUMNS if column[0] in rows[0]]
        lines = []
        for row in rows:
            side = row.get("hemisphere", "n/a")
            name = row["name"] + (f", {side}" if side not in ("n/a", "") else "")
            cells = [(number(row[name_]), factor, form) for name_, _, factor, form in columns]
            lines.append((name, [form.format(v * factor) if v == v else "n/a" for v, factor, form in cells]))
        found.append({"name": key.partition("@")[2], "heads": [c[1] for c in columns], "rows": lines})
    return found


def _quality(run: Run) -> dict[str, Any]:
    """Return the numbers for quality control by name, as the step has described them, those out of range first."""
    path = run.path("qc")
    if path is None:
        return {}
    numbers = json.loads(path.read_text(encoding="utf-8"))["numbers"]
    return dict(sorted(numbers.items(), key=lambda item: item[1]["flag"] is None))


def _registrations(run: Run) -> list[dict[str, Any]]:
    """Return how well images were brought onto each other: the figures of every step that has judged it."""
    found = []
    for record in run.records.values():
        if record.number("overlap_dice") is not None:
            title = record.title or record.step
            found.append({"title": title, "wrong": bool(record.warnings), **record.metrics})
    return found


def _facts(run: Run) -> list[tuple[str, str]]:
    """Return what was found of a run, in words."""
    from bids_app.report.methods.acquisition import items

    source = run.source
    if source is None:
        return []
    facts = [
        ("Images", f"{len(source.echoes)} {'echo' if len(source.echoes) == 1 else 'echoes'}, suffix {source.suffix}"),
        ("Field strength", f"{source.field_strength:g} T" if source.field_strength else "unknown"),
        ("Anatomical image", source.t1w_choice or "none"),
    ]
    stated = [item for item in items(run) if item.text]
    facts += [(item.name.capitalize(), item.text.removeprefix(f"{item.name} ")) for item in stated]
    notes = run.metric("phase", "phase")
    if isinstance(notes, list) and notes:
        facts.append(("Phase", "; ".join(map(str, notes))))
    return facts
