"""The server of the workers loads beside the command, and neither outlives it nor minds Ctrl-C."""

import os
import signal
import subprocess
import sys
from multiprocessing import forkserver
from pathlib import Path

import pytest

from bids_app.cli import command as cli
from bids_app.engine import server

linux = pytest.mark.skipif(sys.platform != "linux", reason="the server is Linux's")


def python(code):
    """Run a program in a process of its own and return its words."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert not done.stderr
    return done.stdout.split()


def blocked():
    return signal.pthread_sigmask(signal.SIG_BLOCK, [])


@linux
@pytest.mark.parametrize(("processors", "starts"), [({0}, 0), ({0, 1}, 1)])
def test_it_starts_early_where_there_is_a_processor_for_it(monkeypatch, processors, starts):
    asked = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: processors)
    monkeypatch.setattr(forkserver, "ensure_running", lambda: asked.append(blocked()))
    before = blocked()
    server.start_early()
    assert len(asked) == starts
    assert all(signal.SIGINT in signals for signals in asked)
    assert blocked() == before


def test_it_starts_with_the_first_job_where_there_is_no_folder_for_temporary_files_yet(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(server, "_shorten_socket_path", lambda _: (_ for _ in ()).throw(FileNotFoundError))
    monkeypatch.setattr(forkserver, "ensure_running", lambda: pytest.fail("it has no place for its socket"))
    server.start_early()


@linux
def test_a_long_path_of_temporary_files_is_no_obstacle(tmp_path):
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    code = (
        "from bids_app.engine import server\n"
        "def say():\n    print('started')\n"
        "if __name__ == '__main__':\n"
        "    server.PRELOAD[:] = []\n    job = server.context().Process(target=say)\n    job.start()\n    job.join()\n"
        "    import tempfile\n    print(tempfile.gettempdir() == os.environ['TMPDIR'])"
    )
    (tmp_path / "program.py").write_text(f"import os\n{code}\n")
    done = subprocess.run(
        [sys.executable, tmp_path / "program.py"],
        env=os.environ | {"TMPDIR": str(folder), "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout.split()) == (0, ["started", "True"]), done.stderr
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("options", "starts"),
    [([], 1), (["--dry-run"], 0), (["--write-jobs", "slurm", "jobs"], 0), (["convert"], 0), (["--bogus"], 0)],
)
def test_only_a_command_that_may_run_jobs_starts_it(monkeypatch, tmp_path, capsys, options, starts):
    asked = []
    monkeypatch.setattr(server, "start_early", lambda: asked.append(1))
    try:
        code = cli.main([str(tmp_path / "none"), str(tmp_path / "out"), "participant", *options])
    except SystemExit as left:
        code = left.code
    assert code in (2, 3)
    assert capsys.readouterr().err
    assert len(asked) == starts


@linux
def test_the_libraries_are_there_and_ctrl_c_is_ignored_but_not_blocked():
    words = python(
        "import signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}); "
        "from bids_app.engine import server_start as s; "
        "print(all(name in sys.modules for name in s._LIBRARIES), signal.getsignal(signal.SIGINT) is signal.SIG_IGN, "
        "signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    )
    assert words == ["True", "True", "False"]


@linux
def test_it_stops_loading_when_the_command_has_ended():
    words = python(
        "import sys; from bids_app.engine import server_start as s\n"
        "try:\n    s.load(['colorsys'], -1)\nexcept SystemExit:\n    print('ended', 'colorsys' in sys.modules)"
    )
    assert words == ["ended", "False"]
