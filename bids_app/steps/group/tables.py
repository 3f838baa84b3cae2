"""Steps over the cohort: who is in it, one table for all, outliers, statistics."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from bids_app.derivatives import quality
from bids_app.derivatives.columns import MANUAL_COLUMNS, REGION_COLUMNS
from bids_app.group import statistics, tables
from bids_app.group.adequacy import MIN_DF, caution, min_participants
from bids_app.group.outliers import outliers
from bids_app.group.table_checks import listings
from bids_app.model.cohort import EXCLUDED, WITHDRAWN, Cohort, CompletenessEntry
from bids_app.model.records import Record
from bids_app.model.settings import Settings
from bids_app.model.step import Output, Step, StepInput, StepResult


def completeness(step: StepInput[Cohort]) -> StepResult:
    """List who is there, and in what state."""
    rows = [
        {
            "participant_id": f"sub-{s.subject}",
            "session_id": f"ses-{s.session}" if s.session else None,
            "run": s.run,
            "status": s.status,
            "reason": s.reason or None,
            "rating": s.rating or None,
            "note": s.note or None,
        }
        for s in step.record.entries
    ]
    counts = dict(Counter(entry.status for entry in step.record.entries))
    listed = tuple(s.sentence for s in step.record.entries if s.is_problem or s.status in (EXCLUDED, WITHDRAWN))
    return StepResult({"cohort": Output(rows=rows)}, counts, (*listed, *step.record.remarks))


def _taken(cohort: Cohort) -> list[CompletenessEntry]:
    """Return the entries that have a row in the tables: nobody who was left out on purpose."""
    return [entry for entry in cohort.entries if entry.status not in (EXCLUDED, WITHDRAWN)]


def join(step: StepInput[Cohort]) -> StepResult:
    """Put all runs' tables of regions into one, with what the dataset knows about the participants."""
    cohort = step.record
    session_files = [path for name, path in step.inputs.items() if name.startswith("sessions@")]
    covariates = tables.read_covariates(step.inputs.get("participants"), session_files, tuple(MANUAL_COLUMNS))
    outputs: dict[str, Output] = {}
    warnings: list[str] = []
    for seg in cohort.segmentations:
        runs, without = [], []
        for entry in _taken(cohort):
            path = step.inputs.get(f"{entry.run}@{seg}")
            rows = tuple(tables.read_rows(path)) if path else ()
            runs.append(tables.Run(entry.subject, entry.session, entry.run, entry.status, rows))
            if not rows:
                without.append(entry.run)
        if without:
            names = ", ".join(without[:10])
            warnings.append(f"{len(without)} runs have no table of segmentation {seg} (rows without values): {names}")
        long = tables.long_table(runs, covariates)
        wide, columns = tables.wide_table(runs, covariates)
        text = step.work_dir / f"{seg}.csv"
        text.write_text(tables.csv_text(wide), encoding="utf-8", errors="backslashreplace")
        known = tables.KEYS | covariates.columns | (MANUAL_COLUMNS if cohort.manual else REGION_COLUMNS)
        outputs[f"group_long@{seg}"] = Output(rows=long, sidecar={name: known[name] for name in long[0]})
        described = tables.KEYS | tables.STATUS | covariates.columns | columns
        outputs[f"group_wide@{seg}"] = Output(file=text, sidecar=described)
        warnings += _unknown(runs, covariates)
    return StepResult(outputs, {"runs": len(_taken(cohort))}, tuple(dict.fromkeys(warnings)))


def _unknown(runs: list[tables.Run], covariates: tables.Covariates) -> list[str]:
    if not covariates.columns:
        return []
    lost = sorted({f"sub-{run.subject}" for run in runs if run.subject not in covariates.of_participant})
    text = "they stay in the tables without covariates; complete the table, or rate who has withdrawn 'exclude'"
    return [f"participants.tsv has no line for {', '.join(lost[:10])}: {text}"] if lost else []


def quality_table(step: StepInput[Cohort]) -> StepResult:
    """Put all runs' numbers for quality control into one table; runs without them have a row too."""
    numbers_of = {name: json.loads(path.read_text(encoding="utf-8"))["numbers"] for name, path in step.inputs.items()}
    echoes = max(sum(name.startswith(quality.SNR) for name in values) for values in numbers_of.values())
    described = quality.columns(echoes)
    rows = []
    for s in _taken(step.record):
        keys = tables.Run(s.subject, s.session, s.run).keys | {"status": s.status}
        values = numbers_of.get(s.run, {})
        flags = ";".join(name for name, number in values.items() if number["flag"])
        rows.append(keys | {name: values.get(name, {}).get("value") for name in described} | {"flags": flags or None})
    flagged = sum(row["flags"] is not None for row in rows)
    sentences = (
        [f"{flagged} of {len(rows)} runs have metrics out of their expected range: see group.html"] if flagged else []
    )
    return StepResult({"group_qc": Output(rows=rows, sidecar=described)}, {"flagged": flagged}, tuple(sentences))


def find_outliers(step: StepInput[Cohort]) -> StepResult:
    """Flag runs whose regional values are far from the cohort's; nothing is removed."""
    outputs, warnings, metrics = {}, [], {}
    for seg, path in _long(step).items():
        rows, sentences = outliers(statistics.read_long(path), step.settings.statistics.choice.outlier_z)
        for row in rows:
            row["registration_similarity"] = step.record.quality_of(str(row["run"]))
        outputs[f"group_outliers@{seg}"] = Output(rows=rows)
        warnings += sentences
        metrics[seg] = {"flagged": len({row["run"] for row in rows if row["flagged"]})}
    return StepResult(outputs, metrics, tuple(warnings))


def describe(step: StepInput[Cohort]) -> StepResult:
    """Describe every region over all runs."""
    descriptions = {seg: statistics.describe(statistics.read_long(path)) for seg, path in _long(step).items()}
    return StepResult({f"group_descriptive@{seg}": Output(rows=rows) for seg, rows in descriptions.items()})


def model(step: StepInput[Cohort]) -> StepResult:
    """Fit the user's model to every region."""
    choice = step.settings.statistics.choice
    outputs, warnings, metrics = {}, [], {}
    for seg, path in _long(step).items():
        data = statistics.read_long(path)
        least = min_participants(choice.small_groups)
        rows, sentences = statistics.fit(data, choice.model, choice.confidence, choice.fdr, least, MIN_DF)
        fitted = [row for row in rows if row["estimate"] is not None]
        fewest = min(fitted, key=lambda row: float(str(row["participants"])))
        sentences += filter(None, [caution(int(str(fewest["participants"])), float(str(fewest["df"])))])
        facts = {"Model": choice.model, "FalseDiscoveryRate": choice.fdr, "Confidence": choice.confidence}
        outputs[f"group_model@{seg}"] = Output(rows=rows, sidecar=facts)
        warnings += [f"segmentation {seg}: {text}" for text in sentences]
        metrics[seg] = {"significant": sum(bool(row["significant"]) for row in rows)}
    methods = {str(row["method"]) for output in outputs.values() for row in output.rows or () if row["method"]}
    return StepResult(outputs, metrics, tuple(warnings), (*sorted(methods), "fdr"))


def _long(step: StepInput[Cohort]) -> dict[str, Path]:
    return {key.partition("@")[2]: path for key, path in step.inputs.items() if key.startswith("group_long@")}


def _tables_of(cohort: Cohort, settings: Settings) -> dict[str, tuple[Record, str]]:
    if cohort.manual:
        name = cohort.manual[0].segmentation.name
        return {
            f"{manual_run.space.run.basename}@{name}": (manual_run, f"regions_manual@{name}")
            for manual_run in cohort.manual
        }
    return {
        f"{run.basename}@{seg}": (run, f"regions@{seg}")
        for run in cohort.runs
        for seg in cohort.segmentations
        if f"regions@{seg}" in run.made
    }


def _qc_of(cohort: Cohort, settings: Settings) -> dict[str, tuple[Record, str]]:
    return {run.basename: (run, "qc") for run in cohort.runs if "qc" in run.made}


def _listings(cohort: Cohort, settings: Settings) -> dict[str, Path]:
    return listings(cohort.participants, cohort.sessions)


def _keys(*names: str) -> Callable[[Cohort, Settings], tuple[str, ...]]:
    return lambda cohort, settings: tuple(f"{name}@{seg}" for seg in cohort.segmentations for name in names)


COMPLETENESS = Step("completeness", "Who is there", completeness, makes=lambda cohort, settings: ("cohort",))
JOIN = Step(
    "tables", "One table for all", join, sources=_listings, collects=_tables_of, makes=_keys("group_long", "group_wide")
)
QUALITY = Step(
    "quality",
    "Numbers for quality control",
    quality_table,
    collects=_qc_of,
    makes=lambda cohort, settings: ("group_qc",) if _qc_of(cohort, settings) else (),
)
OUTLIERS = Step(
    "outliers",
    "Outliers",
    find_outliers,
    reads=("statistics",),
    needs=_keys("group_long"),
    makes=_keys("group_outliers"),
)
DESCRIPTION = Step(
    "description", "Descriptive statistics", describe, needs=_keys("group_long"), makes=_keys("group_descriptive")
)
MODEL = Step(
    "model",
    "Model of every region",
    model,
    reads=("statistics",),
    needs=_keys("group_long"),
    makes=lambda cohort, settings: _keys("group_model")(cohort, settings) if settings.statistics.choice.model else (),
)
COHORT_STEPS = (COMPLETENESS, QUALITY, JOIN, OUTLIERS, DESCRIPTION, MODEL)
#: A manual segmentation of the template has tables of its own, after the maps.
MANUAL_TABLE_STEPS = (JOIN, OUTLIERS, DESCRIPTION, MODEL)
