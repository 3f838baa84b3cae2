"""Each benchmark runs on a tiny problem and writes its table."""

import importlib

import pytest

from benchmarks import scheduler


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("speed", ["--only", "tkd", "vsharp", "romeo", "tgv"], "| numpy/scipy | vsharp | 40x40x36 |"),
        ("accuracy", ["--only", "tkd"], "| 4 mm | axial | 160 | lbv | tkd |"),
        ("orientations", ["--only", "bayes", "tkd"], "| weak | bayes |"),
        ("alternation", [], "| axial | lbv | bayes |"),
        ("separation", ["--only", "closed_form", "white_matter"], "| 1 | 3 | white_matter, angles |"),
        ("speed", ["--only", "mcpc3ds", "pdf"], "| numpy/scipy | pdf | 40x40x36 |"),
        ("scaling", ["--only", "tkd", "--parts", "voxels"], "| inversion | tkd |"),
        ("scaling", ["--only", "fit, linear", "--parts", "echoes"], "| fit, linear, 128^3 |"),
        ("chain", [], "| default | 4 mm | 2 |"),
        ("steps", [], "| default | inversion |"),
        ("anatomy", ["--only", "RAS 1 mm"], "| none: the atlas to the magnitude |"),
    ],
)
def test_benchmark_writes_its_table(name, arguments, says, tmp_path):
    readme = tmp_path / "README.md"
    importlib.import_module(f"benchmarks.{name}").main(["--quick", "--readme", str(readme), *arguments])
    assert says in readme.read_text()


def test_the_scheduler_is_measured_beside_a_plain_loop(tmp_path):
    readme = tmp_path / "README.md"
    scheduler.main(["--quick", "--readme", str(readme), "--only", "plan", "jobs"])
    text = readme.read_text()
    assert "| all found and their jobs made | 10 |" in text
    assert "| plain loop | 4 |" in text
    assert "| scheduler | 10 |" in text
