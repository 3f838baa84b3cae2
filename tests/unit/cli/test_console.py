"""What the user sees."""

import io
import os
import re
import subprocess
import sys
from contextlib import suppress

import pytest

from bids_app.cli.console import Console
from bids_app.engine.events import Event
from bids_app.engine.job import Job
from bids_app.model.results import JobResult, StepFailure

KINDS = ("job-started", "started", "progress", "finished", "skipped", "failed", "blocked", "job-finished")


@pytest.fixture
def jobs():
    return [Job(name=name, subject="01", settings=None, context=None) for name in ("sub-01", "sub-02")]


@pytest.mark.parametrize(("verbosity", "lines"), [(0, 2), (1, 5)])
def test_one_line_for_a_step_and_all_in_the_log(jobs, capsys, verbosity, lines):
    log = io.StringIO()
    console = Console(jobs, verbosity, log)
    for kind in KINDS:
        console.on_event(Event(kind, "sub-02", "chi", 12, 500))
    assert len(capsys.readouterr().out.splitlines()) == lines
    logged = log.getvalue().splitlines()
    assert len(logged) == len(KINDS) - 1
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[2/2\] sub-02: \w", line) for line in logged)
    said = [line.partition("sub-02: ")[2] for line in logged]
    assert said[1:] == ["chi started", "chi finished", "chi unchanged", "chi failed", "chi not run", "chi ended"]


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
        console.on_event(Event(kind, "sub-02", "chi", 12, 500))
    console.stop()
    assert "started" not in terminal.getvalue()


def test_what_a_failure_has_stopped_is_one_line(jobs, capsys):
    blocked = [StepFailure(step, "not run, because it needs chi", blocked=True) for step in ("reference", "qc")]
    results = [
        JobResult("sub-01", "01", failures=[StepFailure("chi", "memory ran out"), *blocked]),
        JobResult("sub-02", "02", failures=blocked),
    ]
    Console(jobs, 0, io.StringIO()).close(results, {}, [])
    assert capsys.readouterr().err.splitlines() == [
        "sub-01: FAILED: chi: memory ran out",
        "sub-01: not run because of it: reference, qc",
        "sub-02: reference: not run, because it needs chi",
        "sub-02: not run because of it: qc",
    ]


_SHOW = """
import io, time
from bids_app.cli.console import Console
from bids_app.engine.events import Event
from bids_app.engine.job import Job
console = Console([Job(name="sub-01", subject="01", settings=None, context=None)], 0, io.StringIO())
for event in (Event("job-started", "sub-01"), Event("started", "sub-01", "chi"),
              Event("progress", "sub-01", "chi", 12, 500), Event("progress", "sub-01", "chi", 499, 500),
              Event("started", "sub-01", "qc")):
    console.on_event(event)
    time.sleep(0.3)
console.stop()
"""


def test_a_terminal_shows_the_iterations_of_a_solver():
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", _SHOW],
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # the other end is closed
        while more := os.read(ours, 65536):
            shown += more
    os.close(ours)
    assert process.wait(30) == 0
    text = shown.decode()
    first, last, after = (text.index(part) for part in ("chi (iteration 12 of 500)", "iteration 499 of 500", ": qc"))
    assert first < last < after
    assert "iteration" not in text[after:]
