"""The process of a Dask worker, started as the live engine starts it, ends soon after the worker has closed."""

import importlib.util
import json
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from bids_app.engine import schedulers as engines
from bids_app.engine import worker_watchdog
from bids_app.engine.dask import ClusterEngine
from tests.helpers.slurm import wait_for

pytestmark = pytest.mark.skipif(importlib.util.find_spec("dask_jobqueue") is None, reason="needs dask-jobqueue")
#: Hands the worker a job as the engine has it: a thread that waits for a process of its own.
GIVE = """
import subprocess, sys, distributed
with distributed.Client(sys.argv[1]) as client:
    distributed.fire_and_forget(client.submit(subprocess.run, ["sleep", "600"], pure=False))
"""
SHUT_DOWN = "import sys, distributed; distributed.Client(sys.argv[1]).shutdown()"
#: What the process takes beside the grace: Dask notices, the watch looks.
SECONDS = worker_watchdog.GRACE_S + 10


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Return a scheduler's address, its process and a worker's process."""
    monkeypatch.setattr(engines.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    contact, said = tmp_path / "scheduler.json", tmp_path / "worker.txt"
    words = ["--port", "0", "--no-dashboard", "--host", "127.0.0.1", "--scheduler-file", contact]
    processes = []

    def start(*words):
        with said.open("a") as log:
            processes.append(subprocess.Popen(words, stdout=log, stderr=log, cwd=tmp_path))
        return processes[-1]

    try:
        scheduler = start(sys.executable, "-m", "distributed.cli.dask_scheduler", *words)
        wait_for(lambda: contact.exists() and contact.read_text().strip().endswith("}"), "the scheduler", 30)
        address = json.loads(contact.read_text())["address"]
        kind, keywords, _ = ClusterEngine("slurm").configuration([SimpleNamespace(memory=1)])
        keywords.pop("scheduler_options")
        script = kind.job_cls(scheduler=address, name="w", **keywords).job_script()
        worker = start(*shlex.split(script.splitlines()[-1]))
        wait_for(lambda: "Registered to" in said.read_text(), "the worker", 30)
        yield address, scheduler, worker, said
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.fixture
def in_flight(started):
    """Return what is started, the worker busy with a job."""
    address, _, worker, _ = started
    subprocess.run([sys.executable, "-c", GIVE, address], check=True)
    wait_for(lambda: psutil.Process(worker.pid).children(), "the job", 30)
    (job,) = psutil.Process(worker.pid).children()
    yield started
    job.kill()


def test_a_worker_whose_scheduler_was_killed_ends_with_a_job_in_flight(in_flight):
    _, scheduler, worker, said = in_flight
    scheduler.kill()
    assert worker.wait(SECONDS) == 0
    assert "its process is ended" in said.read_text()


def test_a_worker_whose_job_is_cancelled_on_the_cluster_ends_with_a_job_in_flight(in_flight):
    _, _, worker, said = in_flight
    worker.terminate()  # left alone, Dask waits here for ever: its own tasks cannot be cancelled
    assert worker.wait(SECONDS) == 0
    assert "its process is ended" in said.read_text()


def test_a_worker_that_is_told_to_close_ends_by_itself(started):
    address, _, worker, said = started
    subprocess.run([sys.executable, "-c", SHUT_DOWN, address], check=True)
    assert worker.wait(SECONDS) == 0
    assert "its process is ended" not in said.read_text()
