"""Kills, interrupts, full disks and two commands at once: nothing half-written, and the same data in the end."""

import errno
import fcntl
import getpass
import os
import random
import re
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from contextlib import suppress

import nibabel as nib
import numpy as np
import psutil
import pytest

from bids_app.derivatives import files
from bids_app.errors import QsmAppError
from tests.integration.conftest import write_study

_PLAIN = ("--skip-bids-validation",)


def command(study, out, *options):
    return [
        sys.executable,
        "-m",
        "bids_app",
        str(study),
        str(out),
        "participant",
        "--omp-nthreads",
        "1",
        *_PLAIN,
        *options,
    ]


def arrays(folder):
    return {p.relative_to(folder): np.asarray(nib.load(p).dataobj) for p in sorted(folder.rglob("*.nii.gz"))}


def names(folder):
    """Return every file of the outputs and the work directory, logs of failed attempts aside."""
    files = {str(p.relative_to(folder)) for p in folder.rglob("*")}
    return {name for name in files if not name.startswith(("logs/crash-", "logs/config-", "logs/qsm-bids-app-"))}


def assert_same(reference, out):
    first, second = arrays(reference), arrays(out)
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[key], second[key]) for key in first)
    assert names(reference) == names(out)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("faults") / "bids")


@pytest.fixture(scope="module")
def reference(study, tmp_path_factory):
    out = tmp_path_factory.mktemp("reference") / "out"
    done = subprocess.run(command(study, out), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


def children_of(process):
    children = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.Error):  # it may end meanwhile
            if "forkserver" in str(child.cmdline()):
                children.append(child)
    return children


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError("it did not happen")


def start(study, out, *options):
    return subprocess.Popen(command(study, out, *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_killed_at_random_moments_then_the_same_data(study, reference, tmp_path, processes):
    out = tmp_path / "out"
    moments = random.Random(processes)
    for _ in range(5):
        process = start(study, out, "--nprocs", str(processes))
        time.sleep(moments.uniform(1.0, 3.5))
        process.kill()
        process.communicate()
    done = subprocess.run(command(study, out, "--nprocs", str(processes)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert_same(reference, out)


@pytest.mark.slow
def test_workers_end_when_the_command_is_killed(study, tmp_path):
    process = start(study, tmp_path / "out", "--nprocs", "2")
    workers = wait_for(lambda: [w for w in children_of(process) if w.ppid() != process.pid])
    process.kill()
    process.communicate()
    wait_for(lambda: not [w for w in workers if w.is_running() and w.status() != psutil.STATUS_ZOMBIE], 10)


@pytest.mark.slow
def test_a_killed_worker_fails_its_run_alone(study, reference, tmp_path):
    out = tmp_path / "out"
    process = start(study, out, "--nprocs", "1")
    (worker, *_) = wait_for(lambda: [w for w in children_of(process) if w.ppid() != process.pid])
    wait_for(lambda: list((out / "work").glob(".sub-01_field*")))
    worker.kill()
    stdout, stderr = process.communicate()
    assert process.returncode == 1
    assert "sub-01: FAILED: field: the process was killed" in stderr
    assert "1 of 2 done" in stdout
    assert (out / "sub-02/anat/sub-02_Chimap.nii.gz").exists()
    assert not (out / "sub-01/anat/sub-01_Chimap.nii.gz").exists()
    assert subprocess.run(command(study, out), capture_output=True, check=False).returncode == 0
    assert_same(reference, out)


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_ends_everything_and_says_how_to_go_on(study, tmp_path, sent, code):
    out = tmp_path / "out"
    process = start(study, out, "--nprocs", "2")
    workers = wait_for(lambda: [w for w in children_of(process) if w.ppid() != process.pid])
    wait_for(lambda: list((out / "work").glob(".sub-0?_field*")))
    process.send_signal(sent)
    _, stderr = process.communicate(timeout=10)
    assert process.returncode == code
    assert "Run the same command again" in stderr
    assert "Traceback" not in stderr
    assert not [w for w in workers if w.is_running() and w.status() != psutil.STATUS_ZOMBIE]
    assert not [p for p in out.rglob(".*") if p.name != ".bidsignore"]


@pytest.mark.skipif(sys.platform != "linux", reason="the server of the workers is Linux's")
def test_ctrl_c_while_everything_is_still_loading_is_no_error_of_the_server(study, tmp_path):
    process = subprocess.Popen(
        command(study, tmp_path / "out"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(lambda: children_of(process))
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the command and to the server
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 130, stderr
    assert "Run the same command again" in stderr
    assert "Traceback" not in stderr


class Terminal:
    """A command that runs on a terminal of its own."""

    def __init__(self, arguments, **environment):
        ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))

        def take_terminal():
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            arguments,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=take_terminal,
            env=os.environ | {"TERM": "xterm"} | environment,
        )
        os.close(theirs)
        self._ours = ours
        self._bytes = b""

    def read_until(self, text="", timeout=60.0):
        """Return what it printed until there is ``text``, or until its end."""
        end = time.monotonic() + timeout
        while time.monotonic() < end and not (text and text in self.text):
            if select.select([self._ours], [], [], 0.1)[0]:
                try:
                    self._bytes += os.read(self._ours, 65536)
                except OSError:  # the other end is closed
                    break
        return self.text

    @property
    def text(self):
        """All that it printed."""
        return self._bytes.decode(errors="replace")

    def type(self, keys):
        """Type on it."""
        os.write(self._ours, keys)


@pytest.mark.slow
def test_a_terminal_shows_steps_and_the_time_left(study, tmp_path):
    terminal = Terminal(command(study, tmp_path / "out", "--nprocs", "1"))
    shown = terminal.read_until(timeout=300)
    assert terminal.process.wait(10) == 0
    for subject in ("sub-01", "sub-02"):  # the bars show what runs ten times a second: steps in between are not seen
        assert re.search(rf"{subject}: (phase|field|mask|background|inversion|null_space_trend|swi|qc)\b", shown)
    assert "0/4" in shown  # two runs, two pages
    assert "1/4" in shown
    assert re.search(r"about \d+ (s|min) left", shown)
    assert "started" not in shown  # no line per event beside the bars
    assert "2 of 2 done" in shown
    assert "Traceback" not in shown


@pytest.mark.slow
def test_a_dumb_terminal_gets_lines(study, tmp_path):
    terminal = Terminal(command(study, tmp_path / "out", "--nprocs", "1"), TERM="dumb")
    shown = terminal.read_until("sub-01: mask started", timeout=300)
    terminal.process.kill()
    terminal.process.wait(10)
    assert "[1/4] sub-01: field started" in shown
    assert "\x1b[" not in shown


@pytest.mark.slow
def test_control_c_on_the_terminal_stops_at_once_and_says_how_to_go_on(study, tmp_path):
    out = tmp_path / "out"
    terminal = Terminal(command(study, out, "--nprocs", "2"))
    wait_for(lambda: terminal.read_until(timeout=0.1) and list((out / "work").glob(".sub-0?_field*")))
    workers = psutil.Process(terminal.process.pid).children(recursive=True)
    terminal.type(b"\x03")
    shown = terminal.read_until(timeout=10)
    assert terminal.process.wait(10) == 130
    assert "Run the same command again" in shown
    assert "Traceback" not in shown and "resource_tracker" not in shown
    wait_for(lambda: not [w for w in workers if w.is_running() and w.status() != psutil.STATUS_ZOMBIE], 10)


@pytest.mark.slow
def test_a_second_command_on_the_same_output_is_refused_and_changes_nothing(study, reference, tmp_path):
    out = tmp_path / "out"
    first = start(study, out, "--nprocs", "1")
    wait_for(lambda: list(out.glob("logs/locks/sub-02.command")))
    second = start(study, out, "--set", "inversion.method=tkd", "--participant-label", "02")
    stdout, stderr = second.communicate()
    assert second.returncode == 5, stdout + stderr
    assert (
        f"another command is writing sub-02: {getpass.getuser()} on {socket.gethostname()}, process {first.pid}"
        in stderr
    )
    assert first.poll() is None
    _, stderr = first.communicate()
    assert first.returncode == 0, stderr
    assert_same(reference, out)


@pytest.mark.slow
def test_a_full_disk_is_told_and_leaves_nothing_half_written(study, reference, tmp_path):
    out = tmp_path / "out"

    def small_files_only():
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))

    process = subprocess.Popen(
        command(study, out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=small_files_only
    )
    _, stderr = process.communicate()
    assert process.returncode == 1
    assert "cannot be written" in stderr
    assert not [p for p in out.rglob(".*") if p.name != ".bidsignore"]
    assert not list(out.rglob("sub-*.nii.gz")) or all(p.stat().st_size <= 150_000 for p in out.rglob("sub-*.nii.gz"))
    assert subprocess.run(command(study, out), capture_output=True, check=False).returncode == 0
    assert_same(reference, out)


def test_no_space_left_is_one_sentence_and_no_file(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "x.json").write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(QsmAppError, match="No space left"):
        files.write_json(tmp_path / "x.json", {"a": 1})
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]
    assert (tmp_path / "x.json").read_text() == "old"


def test_input_is_only_read(study, reference):
    state = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in study.rglob("*") if p.is_file()}
    assert reference.exists()
    assert len(state) == 1 + 1 + 1 + 2 * 16
    assert state == {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in study.rglob("*") if p.is_file()}
