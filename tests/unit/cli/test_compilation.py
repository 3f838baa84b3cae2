"""The first run says that kernels are compiled, and how many."""

import io
import os
import pickle
import queue
import sys
from importlib.metadata import version

import pytest

from bids_app.cli.compilation import FIRST_RUN, CompilationWatch, has_compiled_kernels
from bids_app.cli.console import Console


def test_a_kernel_that_is_compiled_meanwhile_is_counted_and_one_of_before_is_not(tmp_path):
    cache = tmp_path / "kernels" / "__pycache__"
    cache.mkdir(parents=True)
    before, changed = cache / "a.nbi", cache / "b.nbi"
    for path in (before, changed):
        path.write_bytes(b"index")
        os.utime(path, (1, 1))
    counts = queue.Queue()
    watch = CompilationWatch(counts.put, tmp_path, interval_s=0.01)
    (cache / "c.nbi").write_bytes(b"new")
    assert counts.get(timeout=10) == 1
    os.utime(changed, (2, 2))  # compiled for other types
    assert counts.get(timeout=10) == 2
    watch.stop()
    assert counts.empty()


def test_nothing_is_said_where_nothing_is_compiled(tmp_path):
    counts = queue.Queue()
    watch = CompilationWatch(counts.put, tmp_path, interval_s=0.01)
    watch.stop()
    assert counts.empty()


def test_the_sentence_is_printed_once(capsys):
    log = io.StringIO()
    console = Console((), 0, log)
    console.on_compiled(1)
    console.on_compiled(5)
    console.stop()
    assert capsys.readouterr().out.count(FIRST_RUN) == 1
    assert log.getvalue().count(FIRST_RUN) == 1


@pytest.mark.parametrize(("made_with", "expected"), [(None, False), ("0.1", False), (version("numba"), True)])
def test_kernels_that_came_with_the_package_serve_one_version_of_numba(tmp_path, made_with, expected):
    if made_with:
        index = tmp_path / "_compiled" / "qsm" / f"x-1.py3{sys.version_info[1]}.nbi"
        index.parent.mkdir(parents=True)
        index.write_bytes(pickle.dumps(made_with) + pickle.dumps(("stamp", {})))
    assert has_compiled_kernels(tmp_path / "qsm") is expected
