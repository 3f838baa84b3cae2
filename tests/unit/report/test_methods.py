"""The methods text: a sentence and a reference for every method, with the parameters that it ran with."""

import re
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import bids_app
from bids_app.derivatives.files import write_image
from bids_app.model.settings import build_settings
from bids_app.model.step_record import StepRecord
from bids_app.qsm.registry import BY_KEY
from bids_app.report.methods.citation import cite, write_citation
from bids_app.report.methods.reference import read_bibtex
from bids_app.report.methods.references import REFERENCES
from bids_app.report.methods.text import OWN_MARK, SENTENCES, Methods, _sentences, mask_sentences, methods_text
from bids_app.report.participant.collect import collect
from bids_app.report.participant.page import report

#: Keys that steps record besides those of the methods.
OTHERS = {
    "coils_echoes",
    "coils_reference",
    "mese_to_gre",
    "atlas_to_all",
    "atlas_to_magnitude",
    "per_echo",
    "n4",
    "rigid",
    "affine",
    "syn",
    "fastsurfer",
    "synthstrip",
    "hd_bet",
    "fsl_bet",
    "brain_program",
}

#: Works whose DOI nobody could confirm.
WITHOUT_DOI = {"schluchter1990"}


def test_every_method_has_a_sentence_and_every_sentence_a_known_reference():
    assert set(SENTENCES) == {*BY_KEY, *OTHERS}
    for key, text in SENTENCES.items():
        is_own = key in BY_KEY and BY_KEY[key].is_own
        assert text.endswith(OWN_MARK) == is_own, key
        if not is_own and key not in {
            "per_echo",
            "atlas_to_all",
            "atlas_to_magnitude",
            "brain_program",
        }:  # what the chain itself does
            assert Methods((text,)).references, key
        assert set(Methods((text,)).keys) <= set(REFERENCES), f"add the works of {key} to references.bib"


def test_own_stages_of_a_method_are_named_where_its_parameters_switch_them_on():
    def said(corrections):
        values = {"background": {"lbv": {"corrections": corrections, "levels": 4}}}
        return _sentences([StepRecord("background", "sub-01", methods=("lbv",), parameters=values)])

    assert "[zhou2014] (corrections = 0, levels = 4)." in said(0)
    assert OWN_MARK not in said(0)
    assert "subtracted from the boundary values of LBV" in said(2)
    assert said(2).endswith(OWN_MARK)


def test_the_choices_of_every_section_have_a_sentence():
    sections = build_settings({}).sections
    for section, names in (("relaxometry", ("method",)), ("swi", ("method",)), ("field", ("unwrap",))):
        for field in fields(sections[section].choice):
            if field.name in names:
                assert set(field.metadata["choices"]) - {"none"} <= set(SENTENCES)


ENTRY = "@article{a2000,\n  author = {Able, AB and de Baker, C and others},\n  title = {{On {QSM}, {B0}}},\n"
ENTRY += "  journal = {J},\n  year = {2000},\n  volume = {1},\n  number = {2},\n  pages = {3--4},\n"
ENTRY += "  doi = {10.1000/x},\n}\n"


def test_bibtex_is_read():
    read = read_bibtex(f"% a comment\n{ENTRY}\n{ENTRY.replace('a2000', 'b2000').replace('(2)', '')}")
    assert list(read) == ["a2000", "b2000"]
    work = read["a2000"]
    assert work.text == "Able AB, de Baker C et al. On {QSM}, {B0}. J 2000;1(2):3-4. doi:10.1000/x"
    assert work.bibtex == ENTRY
    assert work.short == "Able et al. 2000"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ENTRY + ENTRY, "a2000 stands in the bibliography twice"),
        (ENTRY.replace("article", "book"), "a2000: @book is not known; write @article"),
        (ENTRY.replace("  year = {2000},\n", ""), "a2000: there is no year"),
        (ENTRY.replace("{10.1000/x}", "{10.1000/x"), "a2000: a brace is not closed"),
        (ENTRY.replace("{2000}", "2000"), "a2000: cannot read 'year = 2000"),
    ],
)
def test_mistakes_in_the_bibliography_are_named(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        read_bibtex(text)


def test_references_are_whole():
    for key, reference in REFERENCES.items():
        assert key.startswith(re.sub(r"[^a-z]", "", reference.authors.split()[0].lower())[:4]) or " " in key
        assert str(reference.year) in key
        assert re.fullmatch(r"10\.\d{4,5}/\S*\w\)?", reference.doi) or key in WITHOUT_DOI, key
        pages = r"\d{4}(\.\d+)+" if "bioRxiv" in reference.text else r"e?\d+(-\d+)?"  # a preprint has a number
        assert re.fullmatch(rf"\d+[A-Z]?(\(\d+(-\d+)?\))?:{pages}", reference.where), key
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
    files = [*root.glob("*.md"), *root.glob("docs/**/*.md")]
    files += [path for end in ("py", "toml") for path in root.glob(f"bids_app/**/*.{end}")]
    sentences = {}
    for path in files:
        for doi in re.findall(r"\b10\.\d{4,5}/[\w./()-]*[\w)]", path.read_text(encoding="utf-8")):
            whole = doi if doi.count("(") == doi.count(")") else doi.rstrip(")")
            sentences.setdefault(whole.lower(), path.name)
    assert len(sentences) > 40
    unknown = {doi: place for doi, place in sentences.items() if doi not in known}
    assert unknown == {}, "add the works to bids_app/report/references.bib"


def test_every_key_that_a_text_may_cite_is_known():
    sources = "".join(path.read_text() for path in Path(bids_app.__file__).parent.glob("report/methods/*.py"))
    cited = {
        key for group in re.findall(r"\[([a-z]+\d{4}\w*(?:; [a-z]+\d{4}\w*)*)\]", sources) for key in group.split("; ")
    }
    cited |= {key for method in BY_KEY.values() for key in method.citations}
    assert len(cited) > 35
    assert cited <= set(REFERENCES)
    assert [key for key, work in REFERENCES.items() if key != work.key] == []
    assert list(REFERENCES) == sorted(REFERENCES)


@pytest.fixture
def text(subject, context):
    (run,) = collect(subject, context, {})
    return methods_text([run])


def test_the_text_says_what_ran_and_with_what(text):
    said = " ".join(text.plain())
    for part in (
        "2 echoes were acquired at 3 T (Simulated): echo times 5, 10 ms; repetition time 30 ms",
        "field of view 60 × 61.8 × 60 mm³; matrix 24 × 30 × 20; voxel size 2.5 × 2.06 × 3 mm³; axial slab.",
        "Not stated in the data: receive coil, sequence type, readout polarity, flip angle, bandwidth",
        "root of the sum of their squares",
        "NumPy 2.",
        "ROMEO (Dymerska et al. 2021; template_echo = 1, magnitude_weight = true)",
        "MCPC-3D-S",
        "rapid two-step inversion (RTS; Kames et al. 2018; delta = 0.15, mu = 100000, rho = 10)",
        "V-SHARP",
        "Regional values were calculated inside the valid mask for the segmentation atlas",
        "qsm-bids-app 0.1.0+0",
    ):
        assert part in said
    for other in ("MEDI", "FastSurfer", "Laplacian", "[", "{"):
        assert other not in said
    assert "flip angle (FlipAngle)" in text.missing
    assert [key for key in text.keys if key not in REFERENCES] == []


#: Every item of the consensus's list, and a sidecar that states all of them.
WHOLE = {
    "Manufacturer": "Vendor",
    "ManufacturersModelName": "Model",
    "SoftwareVersions": "V1",
    "ReceiveCoilName": "Head32",
    "NumberReceiveCoilActiveElements": 32,
    "MRAcquisitionType": "3D",
    "PulseSequenceType": "FLASH",
    "SpoilingState": True,
    "ReadoutMode": "monopolar",
    "RepetitionTimeExcitation": 0.04,
    "FlipAngle": 12,
    "PixelBandwidth": 300,
    "ParallelReductionFactorInPlane": 2,
    "ParallelReductionFactorOutOfPlane": 1,
    "ParallelAcquisitionTechnique": "GRAPPA",
    "PartialFourier": 0.875,
    "ScanOptions": ["PFP", "FC"],
    "CoilCombinationMethod": "adaptive combine",
    "AcquisitionDuration": 400,
}


def test_what_a_sidecar_states_is_told_item_by_item(subject, context):
    for echo in subject.runs[0].echoes:
        echo.metadata = WHOLE
    (run,) = collect(subject, context, {})
    text = methods_text([run])
    assert text.paragraphs[0] == (
        "Gradient-echo data with 2 echoes were acquired at 3 T (Vendor Model, software V1): receive coil Head32 (32 "
        "elements); spoiled 3D gradient echo (FLASH); monopolar readout; echo times 5, 10 ms; repetition time 40 ms; "
        "flip angle 12°; bandwidth 300 Hz/pixel; acceleration factor 2 × 1 (GRAPPA); partial Fourier 0.875; flow "
        "compensation; coils combined on the scanner (adaptive combine); scan time 400 s; field of view 60 × 61.8 × 60 "
        "mm³; matrix 24 × 30 × 20; voxel size 2.5 × 2.06 × 3 mm³; axial slab."
    )
    assert text.missing == ()


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("scanner", ["Manufacturer", "ManufacturersModelName"]),
        ("receive coil", ["ReceiveCoilName", "NumberReceiveCoilActiveElements"]),
        ("sequence type", ["MRAcquisitionType", "PulseSequenceType"]),
        ("readout polarity", ["ReadoutMode"]),
        ("repetition time", ["RepetitionTimeExcitation"]),
        ("flip angle", ["FlipAngle"]),
        ("bandwidth", ["PixelBandwidth"]),
        ("partial Fourier", ["PartialFourier"]),
        ("acceleration factor", ["ParallelReductionFactorInPlane", "ParallelReductionFactorOutOfPlane"]),
        ("flow compensation", ["ScanOptions"]),
        ("coil combination", ["CoilCombinationMethod"]),
        ("scan time", ["AcquisitionDuration"]),
    ],
)
def test_each_item_that_is_missing_is_named(subject, context, name, keys):
    for echo in subject.runs[0].echoes:
        echo.metadata = {key: value for key, value in WHOLE.items() if key not in keys}
    (run,) = collect(subject, context, {})
    text = methods_text([run])
    assert text.paragraphs[0].endswith(f"Not stated in the data: {name}.")
    assert [missing.partition(" (")[0] for missing in text.missing] == [name]


@pytest.mark.parametrize(
    ("changes", "metrics", "paths", "said"),
    [
        ({}, {}, {}, "computed from the data with the recipe “quality,open:1”."),
        ({"from_anatomy": True}, {"mask_given": False}, {}, "restricted to the brain mask of the segmentation."),
        ({}, {"mask_given": True}, {}, "The mask was taken from another dataset."),
        (
            {"margin": 5.0},
            {"mask_given": True},
            {"mask_processing": "x"},
            "The field was also processed up to 5 mm outside the mask, where the recipe “quality,open:1” finds the "
            "object; the maps were then restricted to the mask.",
        ),
    ],
)
def test_the_text_says_where_the_mask_is_from(changes, metrics, paths, said):
    parameters = {"mask": {"filled": "quality,open:1"} | changes}
    record = StepRecord("mask", "sub-01", parameters=parameters, metrics=metrics, paths=paths)
    assert " ".join(mask_sentences(record)).endswith(said)
    assert mask_sentences(None) == []


def test_one_echo_has_no_fit_and_an_oblique_slab_is_told(subject, context):
    source = subject.runs[0]
    source.echoes, source.echo_times = source.echoes[:1], source.echo_times[:1]
    (run,) = collect(subject, context, {})
    run.records["phase"] = replace(run.records["phase"], methods=())
    said = " ".join(methods_text([run]).plain())
    assert "total field is the unwrapped phase over the echo time" in said
    assert "linear fit" not in said
    assert "No phase offset was removed" in said
    angle = np.deg2rad(20)
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    affine[:3, :3] = [[1, 0, 0], [0, np.cos(angle), -2 * np.sin(angle)], [0, np.sin(angle), 2 * np.cos(angle)]]
    write_image(run.path("magnitude"), np.ones((4, 5, 6), np.float32), affine, "float32")
    assert "matrix 4 × 5 × 6; voxel size 1 × 1 × 2 mm³; axial slab, turned by 20°" in methods_text([run]).paragraphs[0]


def test_slices_that_were_computed_by_themselves_are_named(subject, context):
    (run,) = collect(subject, context, {})
    run.records = {"slices": StepRecord("slices", "sub-01", methods=("mcpc3ds", "romeo", "fit_linear"))}
    said = " ".join(methods_text([run]).plain())
    assert "each slice was processed separately, without susceptibility. The phase at echo time zero" in said
    assert "Phase was unwrapped by ROMEO" in said


def test_citation_files_have_each_text_once_and_what_it_cites(text, tmp_path):
    other = Methods(("Phase was unwrapped [schofield2003].",))
    write_citation(tmp_path, {"sub-01": text, "sub-02": text, "sub-03": other})
    markdown, bib = (tmp_path / "CITATION.md").read_text(), (tmp_path / "CITATION.bib").read_text()
    assert bib.startswith("@software{qsmbidsapp,") and f"version = {{{bids_app.__version__}}}" in bib
    assert f"QSM BIDS App (qsm-bids-app), version {bids_app.__version__}" in markdown
    assert "## sub-01, sub-02\n" in markdown
    assert "## sub-03\n" in markdown
    assert markdown.count("rapid two-step inversion (RTS; ") == 1
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
    assert text.keys == ["gorgolewski2017", "gorgolewski2016", "bilgic2024"]
    assert text.missing
