"""What the level ``group`` would refuse late, found before anything runs."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bids_app.cli.config import Selection
from bids_app.dataset.expected import planned
from bids_app.derivatives.columns import REGION_COLUMNS
from bids_app.derivatives.names import product_path
from bids_app.derivatives.products import PRODUCTS
from bids_app.engine.levels import group_stages
from bids_app.errors import InputRefusedError, UsageError
from bids_app.group.adequacy import model_problem
from bids_app.group.table_checks import check_tables
from bids_app.group.tables import Run, read_covariates
from bids_app.group.voxelwise import terms_of
from bids_app.model.cohort import Cohort
from bids_app.model.context import Context
from bids_app.model.settings import Settings


def check_plans(selection: Selection, settings: Settings, context: Context) -> None:
    """Check what the level ``group`` is asked for before the level ``participant`` takes hours.

    Raises
    ------
    UsageError, InputRefusedError
        If a template, a space, a segmentation, a table or a column of the model cannot be used.
    """
    cohort = planned(context.bids_dir, selection.participants, selection.sessions)
    table = context.bids_dir / "participants.tsv"
    sessions = tuple(sorted(context.bids_dir.glob("sub-*/sub-*_sessions.tsv")))
    cohort = replace(cohort, participants=table if table.is_file() else None, sessions=sessions)
    check_cohort(cohort, settings, context.output_dir)
    group_stages(cohort, settings, context)


def check_cohort(cohort: Cohort, settings: Settings, output_dir: Path) -> None:
    """Check the tables of participants, and the model's columns and size.

    Raises
    ------
    UsageError
        If the model names a column that there is not, or cannot be fitted.
    InputRefusedError
        If a table is damaged.
    """
    problems = check_tables(cohort.participants, cohort.sessions)
    if problems:
        raise InputRefusedError(problems)
    formula = settings.statistics.choice.model
    if not formula or not cohort.runs:
        return
    columns = _region_columns(cohort, output_dir)
    covariates = read_covariates(cohort.participants, cohort.sessions, columns)
    runs = [Run(run.subject, run.session, run.basename) for run in cohort.runs]
    problem = model_problem(formula, runs, covariates, columns, settings.statistics.choice.small_groups)
    lost = _without_map(cohort, settings)
    if problem or lost:
        raise UsageError(f'--model "{formula}": {problem or lost}')


def _without_map(cohort: Cohort, settings: Settings) -> str:
    """Return who has no map that the voxel-wise model explains; empty where everybody has, or nothing is made yet."""
    made = any(run.made for run in cohort.runs)
    if not (settings.voxelwise.choice.run and made):
        return ""
    response, _ = terms_of(settings.statistics.choice.model)
    key = {"chi": "chimap"}.get(response, response)
    with_map = {run.subject for run in cohort.runs if key in run.made}
    names = sorted({f"sub-{run.subject}" for run in cohort.runs} - {f"sub-{subject}" for subject in with_map})
    return f"--voxelwise needs a map of {response} of everybody; {', '.join(names[:10])} have none" if names else ""


def _region_columns(cohort: Cohort, output_dir: Path) -> Sequence[str]:
    """Return the columns of a table of regions, or all that one may have where there is none yet."""
    for run in cohort.runs:
        for key in (key for key in run.made if key.startswith("regions@")):
            path = product_path(PRODUCTS[key], dict(run.entities), output_dir, output_dir)
            if path.is_file():
                with path.open(encoding="utf-8") as file:
                    return file.readline().rstrip("\n").split("\t")
    return tuple(REGION_COLUMNS)
