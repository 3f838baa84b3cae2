"""What the user sees."""

import io
import sys

import pytest

from bids_app.console import Console
from bids_app.execution.chain import StepFailure
from bids_app.execution.events import Event, JobResult
from bids_app.execution.worker import Job

KINDS = ("job-started", "started", "progress", "finished", "skipped", "failed", "blocked", "job-finished")


@pytest.fixture
def jobs():
    return [Job(name, "01", None, None, None) for name in ("sub-01", "sub-02")]


@pytest.mark.parametrize(("verbosity", "lines"), [(0, 2), (1, 5)])
def test_one_line_for_a_step_and_all_in_the_log(jobs, capsys, verbosity, lines):
    log = io.StringIO()
    console = Console(jobs, verbosity, log)
    for kind in KINDS:
        console.on_event(Event(kind, "sub-02", "chi", 0.5))
    assert len(capsys.readouterr().out.splitlines()) == lines
    assert len(log.getvalue().splitlines()) == len(KINDS) - 1


def test_the_table_tells_status_and_warnings(jobs, capsys):
    log = io.StringIO()
    results = [
        JobResult("sub-01", "01", ran=["field"], warnings=["3 voxels were zeroed", "3 voxels were zeroed"]),
        JobResult("sub-02", "02", failures=[StepFailure("chi", "memory ran out")]),
    ]
    Console(jobs, 0, log).close(results, {"sub-02": "crash.txt"}, ["a note"])
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        "warning: a note",
        "sub-01: warning: 3 voxels were zeroed",
        "sub-02: FAILED: chi: memory ran out",
        "sub-02: details: crash.txt",
    ]
    table = said.out.splitlines()
    assert [line.split()[:2] for line in table[2:4]] == [["sub-01", "done"], ["sub-02", "FAILED"]]
    assert table[-1] == "1 of 2 done"
    assert "memory ran out" in log.getvalue()


def test_bars_on_a_terminal(jobs, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", terminal)
    console = Console(jobs, 0, io.StringIO())
    for kind in KINDS:
        console.on_event(Event(kind, "sub-02", "chi", 0.5))
    console.stop()
    assert "started" not in terminal.getvalue()
