"""``--events FILE``: what programs that watch a run read."""

import json
from functools import partial
from pathlib import Path

import pytest

from bids_app.cli.event_log import EventLog
from bids_app.engine.events import Event
from bids_app.engine.job import Job
from bids_app.errors import UsageError
from bids_app.model.results import JobResult, StepFailure


@pytest.fixture
def jobs():
    return [Job(name=name, subject="01", settings=None, context=None) for name in ("sub-01", "sub-02")]


def test_every_line_is_json_with_what_happened(jobs, tmp_path):
    path, seconds = tmp_path / "events", iter(range(100))
    log = EventLog(path, clock=partial(next, seconds))
    log.message("Found 3 series.")
    log.start(jobs, lambda: {"sub-01": {"chi": 8.0}})
    for kind in ("job-started", "started", "progress", "finished", "job-finished"):
        log.on_event(Event(kind, "sub-01", "chi", 12, 500))
    log.results([JobResult("sub-01", "01", ran=["chi"], warnings=["a", "a"], duration_s=2.04)])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0] == {"kind": "message", "text": "Found 3 series."}
    assert lines[1] == {"kind": "jobs", "names": ["sub-01", "sub-02"]}
    assert [line["kind"] for line in lines[2:7]] == ["job-started", "started", "progress", "finished", "job-finished"]
    assert (lines[4]["job"], lines[4]["step"], lines[4]["done"], lines[4]["total"]) == ("sub-01", "chi", 12, 500)
    assert 8 <= lines[4]["left_s"] <= 16
    assert lines[-1] == {
        "kind": "result", "job": "sub-01", "status": "done", "seconds": 2.0, "warnings": ["a"], "failures": [],
    }  # fmt: skip


def test_progress_is_written_five_times_a_second_at_most(jobs, tmp_path):
    now = [0.0]
    log = EventLog(tmp_path / "events", clock=lambda: now[0])
    log.start(jobs, dict)
    for number in range(100):
        now[0] = number / 100
        log.on_event(Event("progress", "sub-01", "chi", number, 100))
    assert len((tmp_path / "events").read_text().splitlines()) == 1 + 5


def test_failures_without_those_that_they_caused(jobs, tmp_path):
    log = EventLog(tmp_path / "events")
    failures = [StepFailure("chi", "memory ran out"), StepFailure("qc", "needs chi", blocked=True)]
    log.results([JobResult("sub-01", "01", failures=failures)])
    assert json.loads((tmp_path / "events").read_text())["failures"] == ["memory ran out"]


def test_a_full_disk_ends_the_log_and_not_the_run(jobs):
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    log = EventLog(Path("/dev/full"))
    log.message("one")
    log.message("two")


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"--events: .* cannot be written: Is a directory"):
        EventLog(tmp_path)
