"""Which jobs a level has, and which wait for which."""

from dataclasses import replace
from pathlib import Path

import pytest

from bids_app import steps
from bids_app.engine import levels
from bids_app.engine.job import ReportJob
from bids_app.model.cohort import Cohort
from bids_app.model.context import Context
from bids_app.model.group_run import GroupRun
from bids_app.model.records import Anatomical, Echo, GreRun, Subject
from bids_app.model.settings import build_settings
from bids_app.model.step import Step
from tests.unit.engine.fake_steps import REPORT


@pytest.fixture
def where(tmp_path):
    """Return settings and context."""
    return build_settings({}), Context(tmp_path / "in", tmp_path / "out", tmp_path / "work", 1)


@pytest.fixture
def subjects(monkeypatch):
    anatomical = Step("segment", "", print, makes=lambda r, s: ("chimap",), memory=lambda r, s: 7)
    group = Step("average", "", print, makes=lambda r, s: ("chimap",), memory=lambda r, s: 9)
    needs = {"needs_t1w": lambda r, s: ("t1w_preproc",) if r.t1w else ()}
    run_step = Step("map", "", print, makes=lambda r, s: ("chimap",), memory=lambda r, s: 5, **needs)
    more = Step("more", "", print, makes=lambda r, s: ("r2star",), memory=lambda r, s: 8)
    monkeypatch.setattr(steps, "ANATOMICAL", (anatomical,))
    monkeypatch.setattr(steps, "PARTICIPANT", (run_step, more))
    monkeypatch.setattr(steps, "GROUP", (group,))
    listed = []
    for label in ("01", "02"):
        t1w = Anatomical(Path("x"), label, None, (("sub", label),))
        runs = tuple(
            GreRun(label, None, (("sub", label), ("run", str(n))), "MEGRE", "anat", (Echo(1, 0.01),), 3.0, t1w=t1w)
            for n in (1, 2)
        )
        listed.append(Subject(label, runs, (t1w,)))
    return listed


def test_an_anatomical_image_is_one_job_before_the_runs_that_use_it(subjects, where):
    jobs = levels.participant_jobs(subjects[:1], *where)
    assert [job.name for job in jobs] == ["sub-01_T1w", "sub-01_run-1", "sub-01_run-2"]
    assert [job.after for job in jobs] == [(), ("sub-01_T1w",), ("sub-01_T1w",)]
    assert [job.memory for job in jobs] == [7, 8, 8]


def test_runs_without_an_anatomical_image_wait_for_nothing(subjects, where):
    bare = replace(subjects[0], runs=tuple(replace(run, t1w=None) for run in subjects[0].runs))
    assert [job.after for job in levels.participant_jobs([bare], *where)] == [(), ()]


def test_the_group_is_one_job_over_the_cohort(subjects, where):
    cohort = Cohort((GroupRun((("sub", "01"),), ("chimap",)),))  # of one person no template can be made
    jobs = levels.group_jobs(cohort, *where, REPORT)
    assert [(job.name, job.after, job.memory) for job in jobs if job.stage != "report"] == [("group", (), 9)]


def test_reports_come_after_the_subject_and_may_come_alone(subjects, where):
    reports = [job for job in levels.participant_jobs(subjects, *where, REPORT) if isinstance(job, ReportJob)]
    assert [job.name for job in reports] == ["sub-01_report", "sub-02_report"]
    assert reports[1].after == ("sub-02_T1w", "sub-02_run-1", "sub-02_run-2")
    alone = levels.participant_jobs(subjects, *where, REPORT, reports_only=True)
    assert [job.name for job in alone] == ["sub-01_report", "sub-02_report"]
    assert all(job.context.force for job in alone)


def test_the_page_of_a_refused_group_tells_why(where):
    """Nobody has a map: no stage can be made, and the last job writes its page all the same."""
    (job,) = levels.group_jobs(Cohort(()), *where, REPORT, refusal="sub-02: missing")
    sent = job.with_results({})
    assert sent.payload["results"]["participants"].failures[0].sentence == "sub-02: missing"
    assert sent.do(print).warnings == ["participants FAILED"]
