"""Two versions are measured in turns, and their medians stand beside each other."""

import os

import pytest

from benchmarks import quick, quick_worker
from benchmarks.common import ROOT


def test_versions_change_places_and_the_first_round_does_not_count():
    order, taken = [], iter([(90.0, 90.0), (90.0, 90.0), *((float(n), n / 2) for n in (1, 2, 4, 2, 3, 12))])

    def measure(tree, data):
        order.append(tree)
        return {"job": next(taken)}

    trees = {"earlier": "old", "this": "new"}
    times = quick.in_turns(["part"], trees, None, 3, {"part": measure})
    assert order == ["new", "old", "old", "new", "new", "old", "old", "new"]
    assert times == {"job": {"earlier": [(1, 0.5), (2, 1), (3, 1.5)], "this": [(2, 1), (4, 2), (12, 6)]}}
    assert quick.rows_of(times) == [("job", "2.000", "4.000", "2.00", "2.00")]


def test_what_the_earlier_version_cannot_do_is_said_and_left_out(capsys):
    def measure(tree, data):
        if tree == "old":
            raise RuntimeError("no such option")
        return {"job": (1.0, 1.0)}

    trees = {"earlier": "old", "this": "new"}
    rows = quick.rows_of(quick.in_turns(["part"], trees, None, 1, {"part": measure}))
    assert rows == [("job", "", "1.000", "", "")]
    assert capsys.readouterr().err == "part: the earlier version cannot do it: no such option\n"
    with pytest.raises(RuntimeError, match="no such option"):  # this version must
        quick.in_turns(["part"], {"this": "old"}, None, 1, {"part": measure})


def test_compiled_kernels_are_shared_where_no_module_with_kernels_differs(tmp_path):
    this, other = tmp_path / "own", tmp_path / "other"
    for folder in (this, other):
        (folder / "qsm").mkdir(parents=True)
        (folder / "qsm" / "fast.py").write_text("@jit\ndef f(): ...\n")
        (folder / "qsm" / "plain.py").write_text(f"# {folder.name}\n")
    os.utime(this / "qsm" / "fast.py", ns=(10**18, 10**18))
    (this / "qsm" / "__pycache__").mkdir()
    for name in ("fast.f-1.py311.nbi", "fast.f-1.py311.1.nbc", "fast.cpython-311.pyc"):
        (this / "qsm" / "__pycache__" / name).write_bytes(b"x")
    (other / "qsm" / "fast.py").write_text("@jit\ndef f(): return 1\n")
    assert not quick.share_kernels(this, other)
    assert not (other / "qsm" / "__pycache__").exists()
    (other / "qsm" / "fast.py").write_bytes((this / "qsm" / "fast.py").read_bytes())
    assert quick.share_kernels(this, other)
    kept = sorted(path.name for path in (other / "qsm" / "__pycache__").iterdir())
    assert kept == ["fast.f-1.py311.1.nbc", "fast.f-1.py311.nbi"]
    assert (other / "qsm" / "fast.py").stat().st_mtime_ns == 10**18


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no git repository: an earlier version is a commit of it")
def test_both_versions_are_measured_from_the_prompt(capsys, monkeypatch):
    def measure(tree, data):  # the import of the library takes a second
        return {"`--help`": quick.run(tree, "-m", "bids_app", "--help")[1]}

    monkeypatch.setitem(quick.MEASURES, "start", measure)
    quick.main(["--quick", "--only", "start", "--against", "HEAD"])
    text = capsys.readouterr().out
    assert "Earlier: HEAD (" in text
    assert "| what | earlier s | this s | ratio | ratio of processor time |" in text
    row = next(line for line in text.splitlines() if line.startswith("| `--help` |"))
    assert all(float(cell) > 0 for cell in row.strip("| ").split(" | ")[1:])


def test_methods_and_planning_are_timed(tmp_path):
    quick.prepare(tmp_path, ["methods", "plan"], is_quick=True)
    times = quick_worker.methods(tmp_path / "problem.npz", 1) | quick_worker.plan(str(tmp_path / "names"))
    assert list(times) == [*(f"{kind}, {name}" for kind, name in quick_worker.METHODS), "planning"]
    assert all(seconds > 0 for seconds, _ in times.values())
