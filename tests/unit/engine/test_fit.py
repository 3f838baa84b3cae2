"""Jobs that memory cannot hold are named before anything runs."""

from dataclasses import replace

import pytest

from bids_app.engine.fit import refusals, warnings
from bids_app.engine.job import ReportJob, StepsJob
from bids_app.model.results import Report
from bids_app.model.settings import Settings
from bids_app.model.step import Step


def make_steps():
    return (
        Step("phase", "", print, makes=lambda r, s: ("phase",), memory=lambda r, s: 2_000_000_000),
        Step("chi", "", print, makes=lambda r, s: ("chimap",), memory=lambda r, s: 12_340_000_000),
        Step("other", "", print, makes=lambda r, s: (), memory=lambda r, s: 10**15),
    )


@pytest.fixture
def job(run, context):
    return StepsJob(
        name="sub-01",
        subject="01",
        settings=Settings(),
        context=context,
        record=run,
        steps=make_steps,
        memory=12_340_000_000,
    )


def test_a_run_that_mem_cannot_hold_is_named_with_step_and_figures(job):
    (sentence,) = refusals([job], 8e9)
    assert sentence.startswith("sub-01: step chi takes about 12.3 GB of memory by estimate, and --mem allows 8 GB")
    assert "raise --mem" in sentence
    assert refusals([job], 12.5e9) == []
    (sentence,) = warnings([job], 8e9)
    assert "8.0 GB are free now" in sentence


def test_where_nothing_must_run_nothing_is_refused(job, monkeypatch):
    class Done:
        def unfinished(self):
            return []

    monkeypatch.setattr(StepsJob, "chain", lambda self, *more: Done())
    assert refusals([job], 1.0) == []


def test_a_page_counts_as_it_is(job):
    report = Report(lambda *a: [], lambda record, *a: record == "done")
    page = ReportJob(name="page", settings=Settings(), context=job.context, memory=10**10, record="new", report=report)
    assert len(refusals([page], 1e9)) == 1
    assert refusals([replace(page, record="done")], 1e9) == []
