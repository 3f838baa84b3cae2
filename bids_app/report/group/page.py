"""The page of the group, ``group.html``: called once when all jobs of the group have ended, well or not."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bids_app.derivatives.files import write_bytes, write_json
from bids_app.derivatives.presence import read_json_object
from bids_app.derivatives.records import record_files, records_root, split_name
from bids_app.derivatives.text import utf8
from bids_app.model.cohort import Cohort
from bids_app.model.context import Context
from bids_app.model.json_values import JsonObject
from bids_app.model.results import Payload, StepFailure, earlier_failures
from bids_app.model.settings import Settings
from bids_app.report.group.current import Current, earlier_products, write_earlier
from bids_app.report.group.everybody import map_of
from bids_app.report.group.tables import Line
from bids_app.report.group.terms import Groups, Levels, unit_of_term, words_of
from bids_app.report.participant.collect import Run, load_runs, spaces_of
from bids_app.report.participant.page import code_digest

if TYPE_CHECKING:  # they load matplotlib, which the check whether a page is there does without
    from bids_app.report.group.tables import Line, Segmentation
    from bids_app.report.methods.text import Methods
    from bids_app.report.pictures import Picture

#: Lists of the page have so many lines at most.
_LINES = 200


def report(cohort: Cohort, settings: Settings, context: Context, payload: Payload) -> list[str]:
    """Write the page of the group and return warnings.

    Parameters
    ----------
    cohort
        Who is there now; None where that is not known.
    settings
        Effective parameters.
    context
        Where the call happens (``output_dir``).
    payload
        ``spaces``: names of the templates' folders, the study's own first; ``results``: how the jobs ended, by name;
        ``expected``: the steps of the command's jobs. What they did not make or confirm is listed, and not shown.
    """
    from bids_app.report.html import render

    current = Current.of(payload, settings.to_mapping())
    cohorts, template = _records(context, payload, current)
    failures = _failures(context, payload)
    lines, content, text, problems = _content(cohorts, template, settings, context, current)
    problems += _outdated(cohort, lines)
    earlier = earlier_products(current, context.output_dir)
    write_earlier(earlier, context.output_dir)
    content |= {"lines": lines, "earlier": earlier, "methods": text, "problems": problems}
    page = render("group.html.j2", content | {"failures": failures, "parameters": _parameters(settings)})
    write_bytes(context.output_dir / "group.html", utf8(page))
    state = {
        "digest": _digest((*cohorts, *template), failures, cohort, settings, context),
        "size": len(utf8(page)),
        "failures": {name: [vars(failure) for failure in listed] for name, listed in failures.items()},
        "methods": {"group": text.paragraphs},
    }
    write_json(_state_path(context), state)
    return problems


def report_done(cohort: Cohort, settings: Settings, context: Context, payload: Payload) -> bool:
    """Return whether the page is there and shows what there is now; arguments as for ``report``."""
    state, page = _state(context), context.output_dir / "group.html"
    if not page.is_file() or page.stat().st_size != state.get("size"):
        return False
    cohorts, template = _records(context, payload, Current.of(payload, settings.to_mapping()))
    now = _digest((*cohorts, *template), _failures(context, payload), cohort, settings, context)
    return bool(state.get("digest") == now)


def _state_path(context: Context) -> Path:
    return context.output_dir / "logs" / "reports" / "group.json"


def _state(context: Context) -> JsonObject:
    return read_json_object(_state_path(context))


def _records(context: Context, payload: Payload, current: Current) -> tuple[list[Run], list[Run]]:
    """Return the command's records of the tables (of a manual segmentation too), and those of the spaces."""
    folder = records_root(context.output_dir)
    runs = load_runs(sorted(folder.glob("group*.json")), context.output_dir)
    cohorts = current.chosen(runs[name] for name in sorted(runs))
    if not any(run.basename == "group" for run in cohorts):
        cohorts.insert(0, Run("group", context.output_dir))
    paths = [path for name in payload.get("spaces", ()) for path in sorted(record_files(folder / f"tpl-{name}"))]
    return cohorts, current.chosen(load_runs(paths, context.output_dir).values())


def _outdated(cohort: Cohort | None, lines: Sequence[Line]) -> list[str]:
    """Return a sentence where the list of participants is not that of today."""
    listed = {line.run: line.status for line in lines}
    now = {} if cohort is None else {entry.run: entry.status for entry in cohort.entries}
    changed = sorted(run for run in listed.keys() | now.keys() if listed.get(run) != now.get(run))
    if not now or not listed or not changed:
        return []
    return [f"The tables were made before {', '.join(changed[:10])} changed; run the level group again."]


def _failures(context: Context, payload: Payload) -> dict[str, list[StepFailure]]:
    """Return failures by job; those of the call before where a job has no part in this one."""
    results = payload.get("results", {})
    before = earlier_failures(_state(context).get("failures"))
    now = {name: list(result.failures) for name, result in results.items()}
    expected = payload.get("expected")
    known = {name: listed for name, listed in before.items() if expected is None or name in expected}
    return {name: listed for name, listed in (known | now).items() if listed}


def _digest(
    runs: Sequence[Run],
    failures: Mapping[str, Sequence[StepFailure]],
    cohort: Cohort | None,
    settings: Settings,
    context: Context,
) -> str:
    records = [(run.basename, n, r.fingerprint, r.started) for run in runs for n, r in run.records.items()]
    failed = [(name, f.step, f.sentence) for name, listed in failures.items() for f in listed]
    pages = sorted(path.name for path in context.output_dir.glob("sub-*.html"))
    maps = [map_of(run.basename, context.output_dir) for run in (cohort.runs if cohort is not None else ())]
    shown = [(path.name, path.stat().st_mtime_ns) for path in maps if path.is_file()]
    text = json.dumps(
        [records, failed, pages, shown, settings.to_mapping(), code_digest()], default=str, sort_keys=True
    )
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _parameters(settings: Settings) -> dict[str, object]:
    names = ("qc", "statistics", "group", "template", "voxelwise")
    return {name: values for name, values in settings.to_mapping().items() if name in names}


def _content(
    cohorts: Sequence[Run], template: Sequence[Run], settings: Settings, context: Context, current: Current
) -> tuple[list[Line], dict[str, object], "Methods", list[str]]:
    """Return the runs, what the template of the page shows, the methods text, and what could not be drawn."""
    from bids_app.report.group import charts as cohort_charts
    from bids_app.report.group import everybody
    from bids_app.report.group import tables as cohort_tables
    from bids_app.report.methods.group import GroupRecords, group_methods_text

    lines = cohort_tables.lines(cohorts, context.output_dir)
    bounds = {k: v for k, v in settings.to_mapping().get("qc", {}).items() if isinstance(v, int | float)}
    numbers = cohort_tables.qc_metrics(lines, bounds)
    counts = {s: sum(line.status == s for line in lines) for s in dict.fromkeys(line.status for line in lines)}
    problems: list[str] = []
    iterations = cohort_tables.table_of(template, "convergence")
    participants = [line.participant for line in lines if line.status == "found"]
    repeated = len(participants) > len(set(participants))
    group_records = GroupRecords(cohorts, template, _registrations(context, lines, current), counts, repeated)
    records = [record for run in (*cohorts, *template) for record in run.records.values()]
    segmentations = [segmentation for run in cohorts for segmentation in cohort_tables.segmentations(run)]
    groups = next((segmentation.groups for segmentation in segmentations if segmentation.groups.levels), Groups())
    levels = {name: values for segmentation in segmentations for name, values in segmentation.levels.items()}
    with_map = [line.run for line in lines if line.status in ("found", "incomplete")]
    content: dict[str, object] = {
        "words": partial(words_of, levels=levels),
        "is_rated": any(line.rating or line.note for line in lines),
        "tables": _files(cohorts),
        "everybody": everybody.pictures(with_map, context.output_dir),
        "numbers": numbers,
        "counts": counts,
        "warnings": list(dict.fromkeys(text for record in records for text in record.warnings))[:_LINES],
        "panels": [cohort_charts.qc_panel(number, lines, groups) for number in numbers],
        "segmentations": [_segmentation(segmentation) for segmentation in segmentations],
        "spaces": [_space(name, runs, levels, problems) for name, runs in spaces_of(template).items()],
        "iterations": iterations,
        "convergence_charts": list(cohort_charts.convergence(iterations)),
        "overlaps": _overlaps(template),
        "standard": _standard_space(template),
    }
    return lines, content, group_methods_text(group_records), problems


def _files(cohorts: Sequence[Run]) -> list[tuple[str, str]]:
    """Return the tables of all participants: what they hold, and their names."""
    known = {"cohort": "who is in the group", "group_qc": "quality control of all runs"}
    return [(words, path.name) for key, words in known.items() for run in cohorts if (path := run.path(key))]


def _space(name: str, runs: Sequence[Run], levels: Levels, problems: list[str]) -> dict[str, object]:
    """Return what is shown of a template's space, or of an output space."""
    from bids_app.report.group import maps as cohort_maps
    from bids_app.report.group import tables as cohort_tables

    return {
        "name": name,
        "pictures": _pictures_of(cohort_maps.pictures, f"pictures of {name}", runs, problems),
        "statistics": _pictures_of(
            partial(cohort_maps.statistics, levels=levels), f"maps of voxel-wise statistics in {name}", runs, problems
        ),
        "models": cohort_tables.table_of(runs, "voxelwise"),
        "clusters": cohort_tables.table_of(runs, "voxelwise_clusters")[:_LINES],
    }


def _standard_space(template: Sequence[Run]) -> dict[str, dict[str, object]]:
    """Return how well the template was registered to an output space."""
    registrations = {
        run.basename.rpartition("_to")[2]: run.records["standard_space"]
        for run in template
        if "standard_space" in run.records
    }
    return {name: dict(record.metrics) for name, record in registrations.items()}


#: Steps of one participant in the template that the methods text describes.
_PER_PARTICIPANT = ("register", "subject", "manual_regions")


def _registrations(context: Context, lines: Sequence[Line], current: Current) -> list[Run]:
    """Return the records of one participant's registrations: all participants' are alike."""
    for label in dict.fromkeys(line.participant for line in lines):
        paths = sorted(record_files(records_root(context.output_dir) / label))
        paths = [path for path in paths if split_name(path)[1] in _PER_PARTICIPANT]
        runs = current.chosen(load_runs(paths, context.output_dir).values())
        if runs:
            return runs
    return []


def _segmentation(segmentation: "Segmentation") -> dict[str, object]:
    from bids_app.report.group import charts as cohort_charts
    from bids_app.report.group.tables import RESPONSES

    named = segmentation.formula.partition("~")[0].strip()
    response = RESPONSES.get(named, "") or named
    return {
        "table": segmentation,
        "strips": cohort_charts.region_strips(segmentation),
        "effects": list(cohort_charts.effects(segmentation, response)),
        "words": {row["term"]: words_of(row["term"], segmentation.levels) for row in segmentation.model},
        "units": {
            row["term"]: unit_of_term(row["term"], segmentation.unit(response), segmentation.units)
            for row in segmentation.model
        },
        "relations": list(cohort_charts.relations(segmentation, response)),
        "significant": sum(row["significant"] == "true" and row["term"] != "Intercept" for row in segmentation.model),
    }


def _pictures_of(
    draw: "Callable[[Sequence[Run]], list[Picture]]", what: str, template: Sequence[Run], problems: list[str]
) -> "list[Picture]":
    try:
        return draw(template)
    except Exception as error:  # a figure that cannot be drawn must not take the page with it
        problems.append(f"{what}: not drawn ({type(error).__name__}: {error})")
        return []


def _overlaps(template: Sequence[Run]) -> dict[str, float]:
    overlaps: dict[str, float] = {}
    for run in template:
        maps = run.records.get("maps")
        for name in maps.metrics if maps is not None else ():
            value = maps.number(name) if maps is not None else None
            if name.startswith("overlap_") and value is not None:
                overlaps[name.removeprefix("overlap_")] = value
    return overlaps
