"""Text of sidecars and headers is text, in the methods paragraph, in Markdown and in BibTeX."""

import re
from pathlib import Path

import pytest

from bids_app.convert.model import FAILED, ConversionReport, Problem, SeriesOutcome
from bids_app.convert.write.report import as_markdown, rows
from bids_app.derivatives.escaping import markdown_text
from bids_app.derivatives.files import write_table
from bids_app.derivatives.tsv import table_rows
from bids_app.report.charts import regions
from bids_app.report.methods.acquisition import _coil, _scanner
from bids_app.report.methods.citation import write_citation
from bids_app.report.methods.text import Methods

HOSTILE = "Head 32 [fit] [eckstein2018]\n<script>alert(1)</script> `x` | y {z} {0.__class__}"


def test_brackets_of_a_sidecar_cite_nothing():
    sentence = _coil({"ReceiveCoilName": HOSTILE})
    assert "Head 32 (fit) (eckstein2018)" in sentence and "\n" not in sentence
    methods = Methods((f"Data came from {sentence}. Phase was unwrapped [dymerska2021].",))
    assert methods.keys == ["dymerska2021"] or tuple(methods.keys) == ("dymerska2021",)
    assert "(fit)" in methods.plain()[0] and "Dymerska" in methods.plain()[0]


@pytest.mark.parametrize("text", ["[fit]", "[nobody1999]", "[eckstein2018; fit]", "[]"])
def test_brackets_that_are_no_key_stay(text):
    methods = Methods((f"A coil {text}.",))
    assert methods.plain() == [f"A coil {text}."]


def test_citation_files_hold_no_markup_from_outside(tmp_path):
    sentence = _scanner({"Manufacturer": HOSTILE, "SoftwareVersions": HOSTILE})
    write_citation(tmp_path, {"sub-01": Methods((f"Data of {sentence}.",))})
    assert "<script>" not in (tmp_path / "CITATION.md").read_text()


def test_conversion_page_holds_no_markup_from_outside():
    outcome = SeriesOutcome("01", None, 3, HOSTILE, HOSTILE, 5, FAILED, HOSTILE, outputs=("sub-01/anat/a`b|c.nii.gz",))
    page = as_markdown(ConversionReport(Path("bids"), (outcome,), (Problem(HOSTILE, HOSTILE),), (HOSTILE,)))
    outside_code = "".join(page.split("`")[::2])
    assert "<script" not in outside_code
    (row,) = [line for line in page.splitlines() if line.startswith("| 01 ")]
    assert row.replace("\\|", "").count("|") == 6  # five cells, whatever is in them


def test_half_a_pair_of_surrogates_is_written_by_its_number(tmp_path):
    """JSON may hold it, and the name of a file in another encoding becomes such a text."""
    sentence = _coil({"ReceiveCoilName": "a\ud800b"})
    write_citation(tmp_path, {"sub-01": Methods((f"Data of {sentence}.",))})
    assert "a\\ud800b" in (tmp_path / "CITATION.md").read_text(encoding="utf-8")
    write_table(tmp_path / "x.tsv", [{"name": "a\udcffb"}])
    assert table_rows(tmp_path / "x.tsv") == [{"name": "a\\udcffb"}]


def test_a_spreadsheet_finds_no_formula_in_the_conversion_report():
    formula = '=HYPERLINK("http://x.y","z")'
    outcome = SeriesOutcome("01", None, 3, formula, f"+{formula}", 5, FAILED, f" @{formula}")
    for row in rows(ConversionReport(Path("bids"), (outcome,), (Problem("-a.dcm", "=b"),), ())):
        texts = [str(row.get(name, "")) for name in ("description", "reason", "source")]
        assert not any(text.strip()[:1] in ("=", "+", "-", "@") for text in texts) and any(
            "'" in text for text in texts
        )


@pytest.mark.parametrize("name", ["$\\foo$", "$x_", "\\frac{", "_hidden", "{0}"])
def test_names_of_regions_are_no_formulas(name):
    (picture,) = regions([{"name": name, "hemisphere": "n/a", "chi_median": "0.1"}], "atlas")
    assert picture.uri and name in picture.alt


@pytest.mark.parametrize("text", ["~~~ code", "_a_", "1. item", "12) item", "= heading", "a ~~b~~"])
def test_marks_of_markdown_are_text(text):
    escaped = markdown_text(text)
    marks = re.findall(r"(?<!\\)(?:~|(?<!\w)_|_(?!\w)|^=|^\d+[.)])", escaped)
    assert marks == [] and escaped.replace("\\", "") == text
