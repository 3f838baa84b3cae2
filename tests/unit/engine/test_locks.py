"""Locks: one holder at a time, stale ones recognised by process or pulse, odd files in their place no obstacle."""

import errno
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest

from bids_app.engine import claims, locks
from bids_app.engine.claims import claimed, lock_folders, working
from bids_app.engine.job import StepsJob
from bids_app.engine.locks import Lock, holder_of, pulse, read_lock, remove_stale, this_process
from bids_app.engine.processes import is_running, started
from bids_app.errors import OutputInUseError, QsmAppError
from tests.unit.engine import fake_steps
from tests.unit.engine.conftest import Section, files


@pytest.fixture(autouse=True)
def short_times(monkeypatch):
    monkeypatch.setattr(locks, "STALE_S", 0.4)
    monkeypatch.setattr(locks, "_LOOK_S", 0.02)
    monkeypatch.setattr(locks, "_STOPPED", set())


@pytest.fixture
def ended():
    """Return a holder whose process has ended."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    holder = replace(this_process(), pid=process.pid, started=started(process.pid))
    process.kill()
    process.wait()
    return holder


@pytest.fixture
def elsewhere():
    """Return a holder on another machine."""
    return replace(this_process(), machine="node7+1", host="node7", pulse="other.pulse")


def leave(path, holder):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(holder.to_bytes())
    return path


def take(path):
    return Lock(path, this_process()).acquire()


def test_a_lock_has_one_holder_who_is_named(tmp_path):
    first, second = (Lock(tmp_path / "locks" / "sub-01", this_process()) for _ in range(2))
    assert first.acquire() is None
    assert second.acquire().pid == os.getpid()
    assert f"process {os.getpid()}, since 20" in str(second.acquire())
    second.release()
    assert first.is_held()
    first.release()
    assert not (tmp_path / "locks").exists()
    assert second.acquire() is None


def _race(path, start, results):
    start.wait()
    results.put(take(path) is None)
    time.sleep(1)  # it lives until all have tried


@pytest.mark.parametrize("stale", [False, True])
def test_of_many_processes_one_gets_a_lock(tmp_path, ended, stale):
    path = tmp_path / "sub-01"
    if stale:
        leave(path, ended)
    forked = multiprocessing.get_context("fork")
    start, results = forked.Event(), forked.Queue()
    processes = [forked.Process(target=_race, args=(path, start, results)) for _ in range(8)]
    for process in processes:
        process.start()
    start.set()
    assert sorted(results.get(timeout=20) for _ in processes) == [False] * 7 + [True]
    for process in processes:
        process.join()
    assert files(tmp_path) == ["sub-01"]


def test_a_lock_of_an_ended_process_is_taken_at_once(tmp_path, ended):
    path = leave(tmp_path / "sub-01", ended)
    begun = time.monotonic()
    assert take(path) is None
    assert time.monotonic() - begun < 0.3
    assert holder_of(path.read_bytes()).pid == os.getpid()


def test_a_number_that_another_process_has_by_now_is_not_the_holders(tmp_path):
    holder = this_process()
    assert take(leave(tmp_path / "sub-01", holder)) == holder
    assert take(leave(tmp_path / "sub-01", replace(holder, started=holder.started - 1))) is None
    assert is_running(os.getpid(), holder.started) is True
    assert is_running(-1, holder.started) is False
    assert is_running(10**30, holder.started) is False


@pytest.mark.parametrize("skew", [-86_400.0, 0.0, 86_400.0])
def test_another_machine_is_known_by_its_pulse_and_not_by_its_clock(tmp_path, elsewhere, skew):
    path, beating = leave(tmp_path / "sub-01", elsewhere), leave(tmp_path / "other.pulse", elsewhere)
    os.utime(beating, (time.time() + skew, time.time() + skew))
    ended = threading.Event()

    def beat():
        while not ended.wait(0.05):
            os.utime(beating, (time.time() + skew, time.time() + skew))

    thread = threading.Thread(target=beat)
    thread.start()
    assert take(path) == elsewhere
    ended.set()
    thread.join()
    assert take(path) is None


def test_a_pulse_that_stood_still_once_is_not_watched_for_each_lock(tmp_path, elsewhere):
    leave(tmp_path / "other.pulse", elsewhere)
    paths = [leave(tmp_path / f"sub-{number}", elsewhere) for number in range(20)]
    begun = time.monotonic()
    assert [take(path) for path in paths] == [None] * 20
    assert time.monotonic() - begun < 2 * locks.STALE_S


def test_a_pulse_beats_while_its_process_works(tmp_path):
    with pulse([tmp_path / "a", tmp_path / "b"], beat=0.02) as name:
        first = (tmp_path / "a" / name).stat().st_mtime_ns
        end = time.monotonic() + 5
        while (tmp_path / "a" / name).stat().st_mtime_ns == first and time.monotonic() < end:
            time.sleep(0.01)
        assert (tmp_path / "a" / name).stat().st_mtime_ns > first
        assert (tmp_path / "b" / name).is_file()
    assert list(tmp_path.iterdir()) == []


def test_a_pulse_that_somebody_removed_is_made_again(tmp_path):
    with pulse([tmp_path], beat=0.02) as name:
        (tmp_path / name).unlink()
        end = time.monotonic() + 5
        while not (holder := holder_of(read_lock(tmp_path / name) or b"")) and time.monotonic() < end:
            time.sleep(0.01)
        assert holder.pulse == name


def test_a_full_disk_leaves_no_lock(tmp_path, monkeypatch):
    def full(descriptor, mode):
        os.close(descriptor)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(locks.os, "fdopen", full)
    with pytest.raises(QsmAppError, match="sub-01 cannot be written: No space left"):
        take(tmp_path / "locks" / "sub-01")
    assert list(tmp_path.iterdir()) == []


def test_a_command_line_of_any_length_fits_into_a_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["qsm-bids-app", "--participant-label", *map(str, range(100_000))])
    lock = Lock(tmp_path / "sub-01", this_process())
    assert lock.acquire() is None
    assert lock.is_held()
    assert take(tmp_path / "sub-01").command.startswith("qsm-bids-app --participant-label 0 1 ")


def _odd(path, kind):
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "nowhere":
        path.symlink_to(path.with_name("gone"))
    else:
        path.write_bytes(kind)


LOCK = asdict(this_process())


@pytest.mark.parametrize(
    "kind",
    [
        "pipe",
        "loop",
        "nowhere",
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff",
        b"[" * 60_000,
        json.dumps(LOCK | {"pid": "1"}).encode(),
        json.dumps(LOCK | {"pid": 10**400}).encode(),
        json.dumps(LOCK | {"pulse": "../../x", "machine": "node7"}).encode(),
        json.dumps(LOCK | {"since": None}).encode(),
    ],
)
def test_what_is_no_lock_is_no_obstacle(tmp_path, kind):
    path = tmp_path / "sub-01"
    _odd(path, kind)
    assert take(path) is None
    assert files(tmp_path) == ["sub-01"]


def test_a_folder_in_the_place_of_a_lock_is_one_sentence(tmp_path):
    (tmp_path / "sub-01").mkdir()
    with pytest.raises(QsmAppError, match="sub-01 cannot be written"):
        take(tmp_path / "sub-01")
    (tmp_path / "locks").write_text("")
    with pytest.raises(QsmAppError, match="locks is no folder"):
        take(tmp_path / "locks" / "sub-01")


def test_a_takeover_that_was_killed_half_way_stops_nobody(tmp_path, ended):
    path = leave(tmp_path / "sub-01", ended)
    marker = tmp_path / f"sub-01.{locks.hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()}.takeover"
    marker.touch()
    os.utime(marker, (1, 1))
    assert take(path) is None
    assert files(tmp_path) == ["sub-01"]


def test_what_ended_processes_have_left_is_removed_and_nothing_else(tmp_path, ended, elsewhere):
    for name, holder in (("a", ended), ("b", elsewhere), ("c", this_process()), ("d.pulse", ended)):
        leave(tmp_path / name, holder)
    (tmp_path / "e").write_text("{}")
    for name, age in (("old.pulse", 90_000), ("new.pulse", 3_000), ("old", 90_000)):
        os.utime(leave(tmp_path / name, elsewhere), (time.time() - age,) * 2)
    remove_stale(tmp_path)
    assert files(tmp_path) == ["b", "c", "e", "new.pulse", "old"]


def test_a_second_command_on_the_same_run_is_refused_and_says_who_works_there(context):
    with claimed(context, {"sub-01": False, "sub-02": False}, "a"):
        with pytest.raises(OutputInUseError) as refused, claimed(context, {"sub-00": False, "sub-02": False}, "a"):
            pass
        with claimed(context, {"sub-03": False}, "b"):  # another participant is free
            pass
    assert refused.value.exit_code == 5
    path = context.output_dir / "logs" / "locks" / "sub-02.command"
    for text in (f"is writing sub-02: {this_process().user} on ", f"process {os.getpid()}", str(path), "Wait until"):
        assert text in str(refused.value)
    assert files(context.output_dir) == []
    with claimed(context, {"sub-02": False}, "b"):
        pass


def test_elements_of_an_array_share_an_image_if_they_make_the_same_of_it(context):
    with claimed(context, {"sub-01_T1w": True, "sub-01_ses-1": False}, "a"):
        with claimed(context, {"sub-01_T1w": True, "sub-01_ses-2": False}, "a"):
            pass
        with (
            pytest.raises(OutputInUseError, match="writing sub-01_T1w"),
            claimed(context, {"sub-01_T1w": True, "sub-01_ses-3": False}, "b"),
        ):
            pass
        assert "logs/locks/sub-01_T1w.command" in files(context.output_dir)  # still the first one's


def test_outputs_that_share_a_folder_of_working_files_are_not_written_at_once(context, tmp_path):
    other = replace(context, output_dir=tmp_path / "other")
    with claimed(context, {"sub-01": False}, "a"):
        with pytest.raises(OutputInUseError, match="--work-dir"), claimed(other, {"sub-01": False}, "a"):
            pass
        with claimed(replace(other, work_dir=tmp_path / "other" / "work"), {"sub-01": False}, "a"):
            pass
    assert lock_folders(replace(context, shared_dir=context.output_dir / "work")) == (
        context.output_dir / "logs" / "locks",
    )


def test_a_job_waits_for_the_process_that_works_on_it(context):
    order = []

    def second():
        with working(context, "sub-01"):
            order.append("second")

    with working(context, "sub-01"):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.5)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
    assert files(context.output_dir) == []


def test_a_job_that_was_taken_over_writes_nothing(context, run):
    settings = SimpleNamespace(mask=Section(deed={}))
    with claimed(context, {"sub-01": False}, "a") as claimed_context:
        job = StepsJob(
            name="sub-01", subject="01", settings=settings, context=claimed_context, record=run, steps=fake_steps.steps
        )
        claim = context.output_dir / "logs" / "locks" / "sub-01.command"
        leave(claim, replace(holder_of(claim.read_bytes()), pulse="another"))
        with pytest.raises(QsmAppError, match="another command has taken over sub-01"):
            job.do(lambda kind, step, done, total: None)
    assert files(context.output_dir) == ["logs/locks/sub-01.command"]
    with working(context, "sub-01") as check:
        leave(claim.with_suffix(".process"), this_process())
        with pytest.raises(QsmAppError, match="taken over"):
            check()


def test_a_claim_that_a_shared_disk_shows_late_is_waited_for(context):
    claim = context.output_dir / "logs" / "locks" / "sub-01.command"
    holder = replace(this_process(), pulse="ours")
    thread = threading.Timer(0.5, leave, (claim, holder))
    thread.start()
    with working(replace(context, claim="ours", work_dir=context.output_dir / "work"), "sub-01"):
        assert claim.exists()
    thread.join()


def test_the_pulse_of_a_job_is_that_of_the_process_that_started_it(context, monkeypatch):
    monkeypatch.setattr(claims, "_pulse_of_parent", "")
    with claims.pulse_of_jobs([context, context]) as name:
        claims.follow_pulse(name)
        with working(context, "sub-01"):
            content = (context.output_dir / "logs" / "locks" / "sub-01.process").read_bytes()
            assert holder_of(content).pulse == name
            assert (context.output_dir / "logs" / "locks" / name).is_file()
