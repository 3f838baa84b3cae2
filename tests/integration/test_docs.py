"""The documentation builds offline without a warning: broken links, bad references and failing tutorials are errors."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_documentation_builds_without_a_warning(tmp_path):
    pytest.importorskip("sphinx_gallery", reason="the documentation's tools are not installed (extra 'docs')")
    words = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q", "-d", tmp_path / "doctrees"]
    done = subprocess.run([*words, "docs", tmp_path / "html"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    html = tmp_path / "html"
    assert "bayes" in (html / "methods" / "generated" / "inversion_bayes.html").read_text(encoding="utf-8")
    for page in ("sub-01.html", "group.html"):
        assert "Susceptibility" in (html / "sample" / page).read_text(encoding="utf-8")
    assert "sphx_glr_plot_8_bad_maps_001" in (html / "quality.html").read_text(encoding="utf-8")
    assert "0.6 mm" in (html / "resources.html").read_text(encoding="utf-8")
    assert "--participant-label" in (html / "reference" / "options.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_to_files_of_the_project_lead_somewhere(name):
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", (ROOT / name).read_text(encoding="utf-8"))
    assert not [link for link in links if not (ROOT / link).exists()]


def test_the_readme_is_for_two_minutes():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_every_page_is_reached_from_the_index():
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert pages <= set(re.findall(r"^([a-z_]+)$", index, re.MULTILINE))
