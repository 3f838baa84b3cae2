"""Tables that write themselves, and the plain implementations that the kernels are compared with."""

import numpy as np
import pytest

from benchmarks import plain
from benchmarks.common import grid_of, problem, write_table
from benchmarks.scaling import exponent
from benchmarks.speed import methods
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
        "| job | method | s |", "| a | x | 1 |", "| a | y | 3 |", "| b | z | 4 |",
    ]  # fmt: skip
    assert text.index("| b | z | 4 |") < text.index("after") < text.index("| c | d | 5 |")


def test_other_columns_start_a_new_table(tmp_path):
    readme = tmp_path / "README.md"
    write_table(readme, "speed", "", HEAD, [("a", "x", 1)], 2)
    write_table(readme, "speed", "", (*HEAD, "GB"), [("b", "y", 1, 2)], 2)
    assert "| a | x" not in readme.read_text()


def test_every_registered_method_is_found():
    found = set(methods())
    for kind, registry in (("unwrap", qsm.UNWRAP), ("background", qsm.BACKGROUND), ("inversion", qsm.INVERSIONS)):
        assert {(kind, name) for name in registry} <= found
    assert {("plain", name) for name in plain.METHODS} <= found


@pytest.mark.parametrize("name", sorted(plain.METHODS))
def test_plain_methods_solve_the_problem(name):
    arrays = problem((48, 44, 40))
    mask, chi = arrays["mask"], arrays["chi"]
    total = name in plain.TAKE_TOTAL
    before = arrays["total" if total else "local"].copy()
    found = plain.METHODS[name](arrays["total" if total else "local"], mask, grid_of(arrays))
    assert np.array_equal(before, arrays["total" if total else "local"])
    truth = arrays["local"] if total else chi
    where = mask & (found != 0)
    assert np.corrcoef(found[where], truth[where])[0, 1] > (0.5 if name == "tgv" else 0.7)


def test_exponent_of_a_linear_method_is_one():
    assert exponent([10, 100, 1000], [0.2, 2, 20]) == pytest.approx(1)
