"""What shared file systems do to the engine: clocks that differ, names seen late, rights that nobody may change."""

import errno
import itertools
import os
import socket
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from bids_app.derivatives import files, scratch
from bids_app.derivatives.records import record_path
from bids_app.engine.arrays import ArrayStage, Site, write_scripts
from bids_app.engine.chain import Chain
from bids_app.engine.events import Event
from bids_app.engine.resources import Resources
from bids_app.errors import InputRefusedError, QsmAppError
from tests.helpers.leftovers import leave_part
from tests.unit.engine.test_chain import Counter

DAY = 86_400
_is_file = Path.is_file  # before anything takes its place


@pytest.fixture
def ran():
    return Counter()


@pytest.fixture
def steps(ran):
    return (
        ran.make("first", ("total_field", "quality"), sources=True),
        ran.make("second", ("chimap",), needs=("total_field",), reads=("mask",)),
    )


def outputs(context):
    return [path for path in context.output_dir.rglob("*") if path.is_file()]


# Clocks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("skew", [-400 * DAY, -2.5, 2.5, 400 * DAY])
@pytest.mark.parametrize("of", ["inputs", "outputs", "records", "all"])
def test_files_of_another_clock_rerun_nothing(steps, ran, run, settings, context, skew, of):
    Chain(steps, run, settings, context).run()
    made = outputs(context)
    chosen = {
        "inputs": [run.echoes[0].phase],
        "outputs": [path for path in made if "records" not in path.parts],
        "records": [path for path in made if "records" in path.parts],
    }
    for path in itertools.chain(*chosen.values()) if of == "all" else chosen[of]:
        moment = time.time() + skew
        os.utime(path, (moment, moment))
    assert Chain(steps, run, settings, context).unfinished() == []
    Chain(steps, run, settings, context).run()
    assert ran == ["first", "second"]


@pytest.mark.parametrize("skew", [-400 * DAY, 400 * DAY])
def test_a_file_that_changed_is_not_taken_for_complete_whatever_its_clock_says(
    steps, ran, run, settings, context, skew
):
    Chain(steps, run, settings, context).run()
    (chi,) = context.output_dir.rglob("*_Chimap.nii.gz")
    content = chi.read_bytes()
    chi.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))  # as long as before
    os.utime(chi, (time.time() + skew,) * 2)
    assert [step.name for step in Chain(steps, run, settings, context).unfinished()] == ["second"]
    phase = run.echoes[0].phase
    phase.write_bytes(phase.read_bytes() + b"\0")
    os.utime(phase, (time.time() + skew,) * 2)
    Chain(steps, run, settings, context).run()
    assert ran[:3] == ["first", "second", "first"]


@pytest.mark.parametrize(
    ("host", "age", "goes"),
    [("node-7", -2 * DAY, False), ("node-7", 0, False), ("node-7", 2 * DAY, True), (None, -2 * DAY, True)],
)
def test_what_another_node_writes_is_left_alone_until_it_is_old(tmp_path, host, age, goes):
    """None: this node, by a process that lives no longer, whatever the clocks say."""
    left = leave_part(tmp_path, host)
    os.utime(left, (time.time() - age,) * 2)
    scratch.remove_parts(tmp_path)
    assert left.exists() != goes


@pytest.mark.skipif(not Path("/proc/self/ns/pid").exists(), reason="containers of Linux")
def test_what_a_container_with_its_own_process_numbers_writes_is_left_alone(tmp_path):
    """Its host may have the same name; its numbers say nothing here."""
    host, namespace = scratch.this_machine().split("+")
    assert scratch.this_machine() == f"{host}+{namespace}"
    other = leave_part(tmp_path, f"{host}+{int(namespace) + 1}")
    scratch.remove_parts(tmp_path)
    assert other.exists()


# Names that are seen late ------------------------------------------------------------------------------------------


@pytest.fixture
def late(monkeypatch):
    """Let names be unseen until somebody lists their folder, as a node that has asked for them too early does."""
    unseen = set()
    list_folder = os.listdir

    def is_file(path):
        return path.name not in unseen and _is_file(path)

    def listdir(folder="."):
        names = list_folder(folder)
        unseen.difference_update(names)
        return names

    monkeypatch.setattr(Path, "is_file", is_file)
    monkeypatch.setattr(os, "listdir", listdir)
    return unseen


def test_outputs_that_are_seen_late_are_not_made_again(steps, ran, run, settings, context, late):
    Chain(steps, run, settings, context).run()
    late.update(path.name for path in outputs(context))
    assert Chain(steps, run, settings, context).unfinished() == []
    assert not [name for name in late if name.endswith("_Chimap.nii.gz")]
    late.update(path.name for path in context.output_dir.rglob("*.nii.gz"))
    Chain(steps, run, settings, context).run()
    assert ran == ["first", "second"]


def test_a_file_that_is_really_gone_is_gone(steps, run, settings, context, late):
    Chain(steps, run, settings, context).run()
    (chi,) = context.output_dir.rglob("*_Chimap.nii.gz")
    chi.unlink()
    assert [step.name for step in Chain(steps, run, settings, context).unfinished()] == ["second"]


@pytest.mark.parametrize(("patience", "comes"), [(0.0, False), (30.0, True)])
def test_the_group_looks_again_for_who_is_missing(monkeypatch, patience, comes):
    from bids_app.cli import cohort as group_cohort
    from bids_app.cli.config import Selection

    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(group_cohort.time, "monotonic", lambda: clock.now)
    monkeypatch.setattr(group_cohort.time, "sleep", lambda seconds: setattr(clock, "now", clock.now + seconds))

    def now(search):
        if clock.now < 12:
            raise InputRefusedError(["sub-02: missing"])
        return "everybody"

    monkeypatch.setattr(group_cohort.CohortSearch, "now", now)
    search = group_cohort.CohortSearch(Path(), Path(), Selection())
    if comes:
        assert search.wait(patience) == "everybody"
        monkeypatch.setattr(clock, "now", -1000.0)
        with pytest.raises(InputRefusedError):
            search.wait(patience)
        assert clock.now == -1000 + patience
    else:
        with pytest.raises(InputRefusedError):
            search.wait(patience)


# Rights and quotas -------------------------------------------------------------------------------------------------


def refuse(*words, **more):
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


def test_nobody_may_change_rights_or_owners(steps, ran, run, settings, context, monkeypatch):
    """Root squash: the disk takes files, and refuses chown and chmod."""
    for module, name in ((os, "chmod"), (os, "chown"), (os, "fchmod"), (os, "lchown"), (Path, "chmod")):
        monkeypatch.setattr(module, name, refuse)
    Chain(steps, run, settings, context).run()
    assert ran == ["first", "second"]
    stage = ArrayStage("participant", "a b participant", Resources(1, 2, 10, "default"), 3, reads_list=True)
    written = write_scripts(context.output_dir / "jobs", Site("slurm"), [("01", None)] * 3, [stage])
    assert all(path.is_file() for path in written)


def test_a_folder_that_squashed_root_may_not_write_is_one_sentence(tmp_path, monkeypatch):
    def mkdir(*words, **more):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(QsmAppError, match=r"x\.json cannot be written: Permission denied"):
        files.write_json(tmp_path / "a" / "x.json", {})


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE])
@pytest.mark.parametrize("at", ["fsync", "replace"])
def test_a_disk_that_takes_no_more_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, code, at):
    def full(*words):
        raise OSError(code, os.strerror(code))

    (tmp_path / "x.json").write_text("old")
    monkeypatch.setattr(*((os, "fsync", full) if at == "fsync" else (Path, "replace", full)))
    with pytest.raises(QsmAppError, match="cannot be written"):
        files.write_json(tmp_path / "x.json", {"a": 1})
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("x.json", "old")]


def test_a_quota_fails_the_step_and_the_next_run_goes_on(steps, ran, run, settings, context, monkeypatch):
    def over(descriptor):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    with monkeypatch.context() as quota:
        quota.setattr(os, "fsync", over)
        result = Chain(steps, run, settings, context).run()
    assert "Disk quota exceeded" in result.failures[0].sentence
    assert not record_path(steps[0].name, run, context.output_dir).exists()
    assert not [path for path in context.output_dir.rglob("*") if path.name.endswith(".part")]
    assert Chain(steps, run, settings, context).run().ran == ["first", "second"]


# Many at once ------------------------------------------------------------------------------------------------------


def test_elements_of_the_same_second_use_names_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1.0)
    names = {scratch.scratch_path(tmp_path, "sub-01_field").name for _ in range(200)}
    assert len(names) == 200
    monkeypatch.setattr(socket, "gethostname", lambda: "other")
    assert scratch.scratch_path(tmp_path, "sub-01_field").name.split("~")[1].split("+")[0] == "other"


def test_a_step_that_never_ends_within_the_wall_time_is_given_up():
    from bids_app.engine.dask import _Head

    class Future:
        key, cancelled = "task-1", False

        def cancel(self):
            self.cancelled = True

    messages = []
    head = _Head(None, None, None, messages.append, 1)
    future = Future()
    head.running["task-1"] = future, SimpleNamespace(name="sub-01", subject="01")
    for number in range(5):
        assert not future.cancelled, number
        head._watch(Event("skipped", "sub-01", "field"))
        head._watch(Event("started", "sub-01", "chi"))
    assert future.cancelled
    result = head._result(future)
    assert result.failures[0].step == "chi"
    assert "more time" in result.failures[0].sentence
