"""Text of sidecars and headers is text, in the methods paragraph, in Markdown and in BibTeX."""

from pathlib import Path

import pytest

from bids_app.convert.model import FAILED, ConversionReport, Problem, SeriesOutcome
from bids_app.convert.write.report import as_markdown
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
