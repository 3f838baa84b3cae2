"""Tables that write themselves, and the plain implementations that the kernels are compared with."""

import numpy as np
import pytest
import scipy.fft

from benchmarks import plain, summary, worker
from benchmarks.common import ORDER, grid_of, problem
from benchmarks.scaling import exponent
from benchmarks.speed import HEAD as SPEED_HEAD
from benchmarks.speed import methods
from benchmarks.tables import read_rows, write_table
from bids_app import qsm

HEAD = ("job", "method", "s")


def test_a_table_replaces_its_rows_and_keeps_the_others(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("# Title\n\n<!-- speed: begin -->\n<!-- speed: end -->\n\nafter\n")
    write_table(readme, "speed", "first", HEAD, [("a", "x", 1), ("a", "y", 2)], 2)
    write_table(readme, "speed", "second", HEAD, [("a", "y", 3), ("b", "z", 4)], 2)
    write_table(readme, "other", "new", HEAD, [("c", "d", 5)], 2)
    text = readme.read_text()
    assert text.startswith("# Title\n")
    assert "first" not in text
    assert [line for line in text.splitlines() if line.startswith("| ")][:4] == [
        "| job | method | s |",
        "| a | x | 1 |",
        "| a | y | 3 |",
        "| b | z | 4 |",
    ]
    assert text.index("| b | z | 4 |") < text.index("after") < text.index("| c | d | 5 |")


def test_rows_are_sorted_where_the_table_has_an_order(tmp_path):
    readme = tmp_path / "README.md"
    order = ORDER["speed"]
    for row in (("numpy/scipy", "rts", "8x8x8"), ("inversion", "rts", "8x8x8"), ("inversion", "rts", "16x8x8")):
        write_table(readme, "speed", "", HEAD, [row], 3, order)
    write_table(
        readme, "speed", "", HEAD, [("stage, 4 echoes", "swi", "8x8x8"), ("unwrap", "romeo", "8x8x8")], 3, order
    )
    assert [(r["job"], r["s"]) for r in read_rows(readme, "speed")] == [
        ("unwrap", "8x8x8"),
        ("inversion", "16x8x8"),
        ("inversion", "8x8x8"),
        ("numpy/scipy", "8x8x8"),
        ("stage, 4 echoes", "8x8x8"),
    ]


def test_other_columns_start_a_new_table(tmp_path):
    readme = tmp_path / "README.md"
    write_table(readme, "speed", "", HEAD, [("a", "x", 1)], 2)
    write_table(readme, "speed", "", (*HEAD, "GB"), [("b", "y", 1, 2)], 2)
    assert "| a | x" not in readme.read_text()


def _speed_row(job, method, seconds, volume=summary.VOLUME):
    cells = {
        "job": job,
        "method": method,
        "volume": volume,
        "s": seconds,
        "of bandwidth": "40%",
        "peak GB": "0.6",
        "run": "alone",
    }
    return tuple(cells.get(column, "") for column in SPEED_HEAD)


def test_short_tables_come_of_the_full_ones_and_nothing_else_is_touched(tmp_path):
    full, short = tmp_path / "full.md", tmp_path / "short.md"
    rows = [
        _speed_row("inversion", "rts", "0.50"),
        _speed_row("numpy/scipy", "rts", "10.00"),
        _speed_row("inversion", "rts", "0.10", "160x160x160"),
        _speed_row("unwrap", "romeo", "0.25"),
        _speed_row("unwrap", "scikit-image", "2.00"),
        _speed_row("inversion", "tkd", "0.08"),
    ]
    write_table(full, "speed", "note", SPEED_HEAD, rows, 3)
    short.write_text("# Title\n<!-- speed: begin -->\nold\n<!-- speed: end -->\nafter\n")
    summary.write(short, full)
    once = short.read_text()
    summary.write(short, full)
    assert short.read_text() == once
    assert once.startswith("# Title\n")
    assert once.endswith("<!-- speed: end -->\nafter\n")
    assert "old" not in once
    assert "chain" not in once  # no markers, no table
    made = {r["256x256x160 voxels"]: r for r in read_rows(short, "speed")}
    assert set(made) == {"RTS", "ROMEO, one echo"}
    assert (made["RTS"]["s"], made["RTS"]["numpy/scipy, s"], made["RTS"]["faster"]) == ("0.50", "10.00", "20x")
    assert (made["ROMEO, one echo"]["scikit-image, s"], made["ROMEO, one echo"]["faster"]) == ("2.00", "8x")


def test_short_tables_of_the_readme_are_those_of_the_full_tables(tmp_path):
    """Whoever measures again without ``benchmarks.summary``, or types into a table, is told here."""
    copy = tmp_path / "README.md"
    copy.write_text(summary.PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    summary.write(copy, summary.FULL)
    assert copy.read_text(encoding="utf-8") == summary.PAGE.read_text(encoding="utf-8")


def test_the_accuracy_table_shows_one_scan_with_the_default_first():
    cells = {"voxel": "2x2x2 mm", "view": "oblique", "SNR": "80", "background": "lbv"}
    scores = dict.fromkeys(("NRMSE %", "detrended %", "XSIM", "slope"), "1")
    rows = [cells | scores | {"inversion": name} for name in ("tkd", "bayes", "tikhonov")]
    rows += [rows[1] | {"SNR": "20"}, rows[1] | {"background": "pdf"}]
    _, made = summary.accuracy(rows)
    assert [row[1] for row in made] == ["bayes", "tkd"]


def test_the_table_of_orientations_shows_one_strength_with_the_default_first():
    scores = dict.fromkeys(("NRMSE %", "detrended %", "XSIM", "slope", "NRMSE to the isotropic part %"), "1")
    rows = [{"disturbance": "medium", "inversion": name} | scores for name in ("tkd", "bayes", "tikhonov")]
    rows += [rows[1] | {"disturbance": "weak", "NRMSE %": "2"}]
    head, made = summary.orientations(rows)
    assert [row[0] for row in made] == ["bayes", "tkd"]
    assert dict(zip(head, made[0], strict=True))["NRMSE %"] == "1"


def test_fourier_transforms_are_counted(monkeypatch):
    for name in worker.AXES:  # undone after the test
        monkeypatch.setattr(scipy.fft, name, getattr(scipy.fft, name))
    counter = worker.Transforms()
    array = np.zeros((8, 8, 14), np.float32)
    half = scipy.fft.rfft(array, axis=2)
    assert counter.bytes == 2 * array.nbytes  # the spectrum is a little larger than the array
    scipy.fft.fftn(half, axes=(0, 1))
    assert counter.bytes == 2 * array.nbytes + 4 * half.nbytes


def test_every_registered_method_is_found():
    listed = set(methods())
    for kind, registry in (("unwrap", qsm.UNWRAP), ("background", qsm.BACKGROUND), ("inversion", qsm.INVERSIONS)):
        assert {(kind, name) for name, method in registry.items() if "model" not in method.needs} <= listed
    assert {("plain", name) for name in plain.METHODS} <= listed


@pytest.mark.parametrize("name", sorted(plain.METHODS))
def test_plain_methods_solve_the_problem(name):
    arrays = problem((48, 44, 40))
    mask, chi = arrays["mask"], arrays["chi"]
    total = name in plain.TAKE_TOTAL
    before = arrays["total" if total else "local"].copy()
    few = {"iterations": 50} if name == "tgv" else {}
    result = plain.METHODS[name](arrays["total" if total else "local"], mask, grid_of(arrays), **few)
    assert np.array_equal(before, arrays["total" if total else "local"])
    truth = arrays["local"] if total else chi
    where = mask & (result != 0)
    assert np.corrcoef(result[where], truth[where])[0, 1] > (0.5 if name == "tgv" else 0.7)


def test_exponent_of_a_linear_method_is_one():
    assert exponent([10, 100, 1000], [0.2, 2, 20]) == pytest.approx(1)
