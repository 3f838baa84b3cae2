"""Processes: each job ends alone, in order, within memory."""

import signal
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from bids_app.engine import runner
from bids_app.engine.job import ReportJob, StepsJob
from bids_app.engine.runner import Policy, run_jobs
from tests.helpers.opened_files import take_undeclared
from tests.unit.engine import fake_steps
from tests.unit.engine.conftest import Section, files

POLICY = Policy(processes=2, memory=10**9)


def nothing(event):
    pass


@pytest.fixture
def jobs(run, context):
    def make(deeds, **more):
        settings = SimpleNamespace(mask=Section(deed=deeds, **more))
        runs = [replace(run, subject=label, entities=(("sub", label),)) for label in ("01", "02", "03")]
        return [
            StepsJob(
                name=gre.basename,
                subject=gre.subject,
                settings=settings,
                context=context,
                record=gre,
                steps=fake_steps.steps,
            )
            for gre in runs
        ]

    return make


def test_a_killed_worker_fails_its_own_job_alone(jobs, context):
    results = run_jobs(jobs({"sub-02": "kill"}), POLICY, nothing)
    assert [result.status for result in results.values()] == ["done", "FAILED", "done"]
    (failure,) = results["sub-02"].failures
    assert failure.step == "behave"
    assert "killed" in failure.sentence
    assert "--nprocs" in failure.sentence
    assert "about to kill" in results["sub-02"].output
    assert list(context.work_dir.iterdir()) == []


def test_a_worker_that_the_kernel_killed_says_that_memory_ran_out(jobs, monkeypatch):
    counts = iter(range(100))
    monkeypatch.setattr(runner, "killed_for_memory", lambda: next(counts))
    results = run_jobs(jobs({"sub-02": "kill"})[1:2], POLICY, nothing)
    assert "memory ran out" in results["sub-02"].failures[0].sentence


def test_a_worker_that_leaves_or_fails_is_told(jobs):
    results = run_jobs(jobs({"sub-01": "exit", "sub-02": "raise"}), POLICY, nothing)
    assert "exit code 7" in results["sub-01"].failures[0].sentence
    assert "no voxel left" in results["sub-02"].failures[0].sentence
    assert "about to raise" in results["sub-02"].output
    assert results["sub-03"].status == "done"


def test_unchanged_jobs_start_no_process(jobs, monkeypatch):
    run_jobs(jobs({}), POLICY, nothing)
    monkeypatch.setattr(runner, "_start", None)
    assert {result.status for result in run_jobs(jobs({}), POLICY, nothing).values()} == {"unchanged"}


@pytest.mark.parametrize(("memory", "most"), [(10**9, 2), (150, 1)])
def test_as_many_at_once_as_processes_and_memory_allow(jobs, tmp_path, memory, most):
    log = tmp_path / "log"
    waiting = [
        replace(job, memory=100) for job in jobs(dict.fromkeys(("sub-01", "sub-02", "sub-03"), "overlap"), log=str(log))
    ]
    run_jobs(waiting, Policy(2, memory), nothing)
    inside, highest = 0, 0
    for line in log.read_text().split():
        inside += 1 if line == "in" else -1
        highest = max(highest, inside)
    assert highest == most


def test_a_job_larger_than_all_memory_runs_alone(jobs):
    results = run_jobs([replace(job, memory=10**12) for job in jobs({})], POLICY, nothing)
    assert {result.status for result in results.values()} == {"done"}


def test_jobs_wait_for_those_before_them_and_see_their_results(jobs, context):
    first, second, third = jobs({"sub-01": "raise"})
    events = []
    report = ReportJob(
        name="report",
        subject="01",
        settings=None,
        context=context,
        record=None,
        report=fake_steps.REPORT,
        after=("sub-01", "sub-02"),
    )
    results = run_jobs([report, first, replace(second, after=("sub-01",)), third], POLICY, events.append)
    assert results["report"].warnings == ["sub-01 FAILED", "sub-02 done"]
    order = [(event.kind, event.job) for event in events if event.kind.startswith("job-")]
    assert order.index(("job-finished", "sub-01")) < order.index(("job-started", "sub-02"))
    assert order.index(("job-finished", "sub-02")) < order.index(("job-started", "report"))


def test_stop_on_first_crash(jobs):
    results = run_jobs(jobs({"sub-01": "raise"}), Policy(1, 10**9, stop_on_first_crash=True), nothing)
    assert [result.status for result in results.values()] == ["FAILED", "not run", "not run"]


def test_an_interrupt_ends_all_workers_at_once_and_leaves_nothing(jobs, context):
    started = []

    def interrupt(event):
        started.append(event)
        if [e.kind for e in started].count("started") == 2:
            signal.raise_signal(signal.SIGINT)

    clock = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs({"sub-01": "sleep", "sub-02": "sleep"}), POLICY, interrupt)
    assert time.monotonic() - clock < 30
    assert files(context.output_dir) == []
    assert list(context.work_dir.iterdir()) == []


def test_the_audit_of_the_integration_tests_sees_a_file_that_a_step_did_not_declare(jobs, tmp_path):
    table = tmp_path / "bids" / "table.tsv"
    table.write_text("1")
    take_undeclared()
    run_jobs(jobs({"sub-02": "peek"}, log=str(table))[:2], POLICY, nothing)
    assert take_undeclared() == [f"behave of sub-02: {table}"]
