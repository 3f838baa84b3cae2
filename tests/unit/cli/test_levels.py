"""Which jobs a level has, and which wait for which."""

from dataclasses import replace
from pathlib import Path

import pytest

from bids_app import steps
from bids_app.cli import levels
from bids_app.cli.config import from_arguments
from bids_app.cli.options import build_parser
from bids_app.dataset.cohort import Cohort, GroupRun
from bids_app.model.records import Anatomical, Echo, GreRun, Subject
from bids_app.model.step import Step


@pytest.fixture
def config(tmp_path):
    return from_arguments(build_parser().parse_args([str(tmp_path / "in"), str(tmp_path / "out"), "participant"]))


@pytest.fixture
def subjects(monkeypatch):
    anatomical = Step("segment", "", print, makes=lambda r, s: ("chimap",), memory=lambda r, s: 7)
    group = Step("average", "", print, makes=lambda r, s: ("chimap",), memory=lambda r, s: 9)
    run_step = Step("map", "", print, makes=lambda r, s: ("chimap",), memory=lambda r, s: 5)
    more = Step("more", "", print, makes=lambda r, s: ("r2star",), memory=lambda r, s: 8)
    monkeypatch.setattr(steps, "ANATOMICAL", (anatomical,))
    monkeypatch.setattr(steps, "PARTICIPANT", (run_step, more))
    monkeypatch.setattr(steps, "GROUP", (group,))
    monkeypatch.setattr(levels, "AFTER_SUBJECT", ())
    found = []
    for label in ("01", "02"):
        t1w = Anatomical(Path("x"), label, None, (("sub", label),))
        runs = tuple(
            GreRun(label, None, (("sub", label), ("run", str(n))), "MEGRE", "anat", (Echo(1, 0.01),), 3.0, t1w=t1w)
            for n in (1, 2)
        )
        found.append(Subject(label, runs, (t1w,)))
    return found


def test_an_anatomical_image_is_one_job_before_the_runs_that_use_it(subjects, config):
    jobs = levels.jobs_of(subjects[:1], config)
    assert [job.name for job in jobs] == ["sub-01_T1w", "sub-01_run-1", "sub-01_run-2"]
    assert [job.after for job in jobs] == [(), ("sub-01_T1w",), ("sub-01_T1w",)]
    assert [job.memory for job in jobs] == [7, 8, 8]


def test_runs_without_an_anatomical_image_wait_for_nothing(subjects, config):
    bare = replace(subjects[0], runs=tuple(replace(run, t1w=None) for run in subjects[0].runs))
    assert [job.after for job in levels.jobs_of([bare], config)] == [(), ()]


def test_the_group_is_one_job_over_the_cohort(subjects, config):
    cohort = Cohort((GroupRun((("sub", "01"),), ("chimap",)),))  # of one person no template can be made
    jobs = levels.group_jobs(cohort, replace(config, levels=("group",)))
    assert [(job.name, job.after, job.memory) for job in jobs if job.stage != "report"] == [("group", (), 9)]


def test_reports_come_after_the_subject_and_may_come_alone(subjects, config, monkeypatch):
    monkeypatch.setattr(levels, "AFTER_SUBJECT", ("a.b:report",))
    reports = [job for job in levels.jobs_of(subjects, config) if job.function]
    assert [job.name for job in reports] == ["sub-01_report", "sub-02_report"]
    assert reports[1].after == ("sub-02_T1w", "sub-02_run-1", "sub-02_run-2")
    alone = levels.jobs_of(subjects, replace(config, reports_only=True))
    assert [job.name for job in alone] == ["sub-01_report", "sub-02_report"]
