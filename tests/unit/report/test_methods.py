"""The methods text: a sentence and a reference for every method, with the parameters that it ran with."""

import re
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import pytest

import bids_app
from bids_app import qsm
from bids_app.config import build_settings
from bids_app.report.collect import collect
from bids_app.report.methods import REFERENCES, SENTENCES, Methods, cite, methods_text, write_citation
from bids_app.report.subject import report

#: Keys that steps record besides the choices of the sections.
OTHERS = {"fit_linear", "fit_nonlinear", "mcpc3ds", "bipolar", "n4", "rigid", "affine", "syn", "fastsurfer"}
#: Parameters' words that are not the name of a method.
KNOWN = {*qsm.UNWRAP, *qsm.BACKGROUND, *qsm.INVERSIONS, "arlo", "loglinear", "clearswi", *OTHERS}

#: Works whose DOI nobody could confirm.
WITHOUT_DOI = {"schluchter1990"}


def test_every_method_has_a_sentence_and_every_sentence_a_known_reference():
    assert set(SENTENCES) == KNOWN
    settings = build_settings({})
    methods = {name for section in settings.sections.values() for name in section.methods}
    assert methods - {"linear", "nonlinear"} <= KNOWN
    for key, text in SENTENCES.items():
        if key != "bipolar":  # the app's own way
            assert Methods((text,)).references, key
        for name in re.findall(r"\{(\w+)\}", text):
            assert name in methods, (key, name)


def test_the_choices_of_every_section_have_a_sentence():
    sections = build_settings({}).sections
    for section, names in (("relaxometry", ("method",)), ("swi", ("method",)), ("field", ("unwrap",))):
        for field in fields(sections[section].choice):
            if field.name in names:
                assert set(field.metadata["choices"]) - {"none"} <= set(SENTENCES)


def test_references_are_whole():
    for key, reference in REFERENCES.items():
        assert key.startswith(re.sub(r"[^a-z]", "", reference.authors.split()[0].lower())[:4]) or " " in key
        assert str(reference.year) in key
        assert re.fullmatch(r"10\.\d{4,5}/\S*\w\)?", reference.doi) or key in WITHOUT_DOI, key
        assert re.fullmatch(r"\d+[A-Z]?(\(\d+(-\d+)?\))?:e?\d+(-\d+)?", reference.where), key
        first, _, last = reference.where.partition(":")[2].partition("-")
        assert not last or int(last) > int(first), key
        assert reference.bibtex.count("{") == reference.bibtex.count("}")
        assert ("doi" in reference.bibtex) == ("doi" in reference.text) == bool(reference.url) == bool(reference.doi)
    dois = [reference.doi.lower() for reference in REFERENCES.values() if reference.doi]
    assert len(set(dois)) == len(dois)
    assert REFERENCES["schofield2003"].short == "Schofield and Zhu 2003"
    assert REFERENCES["liu2011"].short == "Liu et al. 2011"
    assert "author = {Schofield, MA and Zhu, Y}" in REFERENCES["schofield2003"].bibtex


def test_every_doi_that_code_or_documents_name_is_in_the_bibliography():
    root = Path(bids_app.__file__).parents[1]
    known = {reference.doi.lower() for reference in REFERENCES.values()}
    files = [*root.glob("*.md"), *root.glob("bids_app/**/*.py"), *root.glob("bids_app/**/*.toml")]
    found = {}
    for path in (path for path in files if "works_" not in path.name):
        for doi in re.findall(r"\b10\.\d{4,5}/[\w./()-]*[\w)]", path.read_text(encoding="utf-8")):
            whole = doi if doi.count("(") == doi.count(")") else doi.rstrip(")")
            found.setdefault(whole.lower(), path.name)
    assert len(found) > 40
    assert {doi: place for doi, place in found.items() if doi not in known} == {}


def test_every_key_that_a_text_may_cite_is_known():
    sources = "".join(path.read_text() for path in Path(bids_app.__file__).parent.glob("report/*methods*.py"))
    cited = {
        key for group in re.findall(r"\[([a-z]+\d{4}\w*(?:; [a-z]+\d{4}\w*)*)\]", sources) for key in group.split("; ")
    }
    assert len(cited) > 35
    assert cited <= set(REFERENCES)


@pytest.fixture
def text(subject, context):
    (run,) = collect(subject, context, {})
    return methods_text([run])


def test_the_text_says_what_ran_and_with_what(text):
    said = " ".join(text.plain())
    for part in (
        "2 echoes were acquired at 3 T (Simulated): echo times 5, 10 ms, repetition time 30 ms",
        "voxel size 2.5 × 2.06 × 3 mm³",
        "ROMEO (Dymerska et al. 2021) (template_echo = 1, magnitude_weight = true)",
        "MCPC-3D-S",
        "rapid two-step inversion (RTS) (Kames et al. 2018) (delta = 0.15, mu = 100000, rho = 10)",
        "V-SHARP",
        "Values of regions were taken from the segmentation atlas",
        "qsm-bids-app 0.1.0+0",
    ):
        assert part in said
    for other in ("MEDI", "FastSurfer", "Laplacian", "[", "{"):
        assert other not in said
    assert "flip angle (FlipAngle)" in text.missing
    assert [key for key in text.keys if key not in REFERENCES] == []


def test_citation_files_have_each_text_once_and_what_it_cites(text, tmp_path):
    other = Methods(("Phase was unwrapped [schofield2003].",))
    write_citation(tmp_path, {"sub-01": text, "sub-02": text, "sub-03": other})
    markdown, bib = (tmp_path / "CITATION.md").read_text(), (tmp_path / "CITATION.bib").read_text()
    assert "## sub-01, sub-02\n" in markdown
    assert "## sub-03\n" in markdown
    assert markdown.count("rapid two-step inversion (RTS)") == 1
    assert set(re.findall(r"@article\{(\w+),", bib)) == {*text.keys, "schofield2003"}


def test_the_reports_of_all_subjects_are_cited_together(subject, settings, context):
    report(subject, settings, context, {})
    kept = context.output_dir / "logs/reports"
    (kept / "sub-02.json").write_text("damaged")
    (kept / "sub-03.json").write_text('{"methods": {"sub-03": ["Phase was unwrapped [schofield2003]."]}}')
    cite(context.output_dir / "logs")
    bib = (context.output_dir / "logs/CITATION.bib").read_text()
    assert "kames2018" in bib
    assert "schofield2003" in bib
    page = (context.output_dir / "sub-01.html").read_text()
    assert 'href="https://doi.org/10.1016/j.neuroimage.2017.11.018"' in page


def test_a_run_that_made_nothing_has_a_text_without_claims(tmp_path):
    run = SimpleNamespace(records={}, source=None, path=lambda key: None, keys=lambda start: [], metric=lambda *_: None)
    text = methods_text([run])
    assert text.keys == ["gorgolewski2017", "bilgic2024"]
    assert text.missing
