"""Heuristics: those that come with the app, the README's examples, and what must never happen with one's own."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from bids_app.cli.command import main
from bids_app.convert import ConvertRequest, convert
from tests.helpers import dicom
from tests.helpers.dicom_study import GRADIENT_ECHOES, images, patient, report_rows

ROOT = Path(__file__).parents[2]
VENDORS = {
    "siemens_gre": {"Separate", "Joint", "SharedNumbers", "Raw"},
    "ge_gre": {"Ge", "GeComplex"},
    "philips_gre": {"Philips", "PhilipsComplex"},
    "generic": set(GRADIENT_ECHOES),
}


def plan(tmp_path, source, heuristic):
    request = ConvertRequest(
        tmp_path / "b", tmp_path / "o", tmp_path / "w", dicom_dir=source, heuristic=str(heuristic), dry_run=True
    )
    return convert(request)


def code_blocks():
    return re.findall(r"```python\n(.*?)```", (ROOT / "heuristics" / "README.md").read_text(), re.S)


@pytest.mark.parametrize("name", VENDORS)
def test_vendor_takes_its_own_series_under_the_names_of_the_default(converted, tmp_path, name):
    report = plan(tmp_path, converted[0], name)
    made = {o.subject: set() for o in report.outcomes}
    for o in report.outcomes:
        made[o.subject] |= {Path(x).name.removesuffix(".nii.gz") for x in o.outputs}
    assert {subject for subject, names in made.items() if names} == VENDORS[name]
    for subject in VENDORS[name]:
        expected = {x for x in images(converted[1]) if x.startswith(f"sub-{subject}_")}
        # Magnitude and phase of real and imaginary images are computed after the conversion.
        computed = {x for x in expected if "Complex" in x and ("part-mag" in x or "part-phase" in x)}
        assert made[subject] == expected - computed
    others = [o for o in report.outcomes if o.subject not in VENDORS[name]]
    assert all(f"the heuristic {name} gives it no name" in o.reason for o in others)


def test_vendor_takes_a_two_echo_scan_that_is_called_a_field_map(tmp_path):
    source = tmp_path / "dicom"
    dicom.siemens_gre(source, patient("A"), echo_times=(8.0, 20.0), ProtocolName="fieldmap_for_qsm")
    assert "field map, by its sequence or protocol name" in plan(tmp_path, source, "generic").outcomes[0].reason
    outputs = plan(tmp_path, source, "siemens_gre").outcomes[0].outputs
    assert outputs[1] == "sub-A/anat/sub-A_echo-2_part-mag_MEGRE.nii.gz"


def test_example_of_the_readme_works(converted, tmp_path):
    heuristic = tmp_path / "mine.py"
    heuristic.write_text(code_blocks()[0])
    bids, out = tmp_path / "bids", tmp_path / "out"
    source = str(converted[0] / "a")
    assert main([str(bids), str(out), "convert", "--dicom-dir", source, "--heuristic", str(heuristic)]) == 0
    parts = [f"sub-Separate_acq-fine_run-1_echo-{e}_part-{p}_MEGRE" for e in (1, 2, 3) for p in ("mag", "phase")]
    assert images(bids) == ["sub-Separate_T1w", *parts]


def test_second_example_of_the_readme_leaves_a_series_out(tmp_path):
    source, heuristic = tmp_path / "dicom", tmp_path / "mine.py"
    heuristic.write_text(code_blocks()[1])
    dicom.siemens_gre(source, patient("A"), 3, ProtocolName="gre_pilot")
    dicom.siemens_gre(source, dicom.later(patient("A"), "113000"), 5)
    fates = {o.number: o for o in plan(tmp_path, source, heuristic).outcomes}
    assert fates[5].outputs[0] == "sub-A/anat/sub-A_echo-1_part-mag_MEGRE.nii.gz"
    assert not fates[3].outputs and not fates[4].outputs


BY_NUMBER = """
def infotodict(seqinfo):
    start = "{{bids_subject_session_dir}}/anat/{{bids_subject_session_prefix}}"
    info = {{}}
    for s in seqinfo:
        info.setdefault((start + {name}, ("nii.gz",), None), []).append(s.series_id)
    return info
"""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("'_run-{item}_part-mag_MEGRE'", "calls it part-mag, its header says phase"),
        ("'_acq-x_part-phase_MEGRE'", "calls it part-phase, its header says mag"),
        ("'_a_MEGRE'", "is not a BIDS name"),
        ("'_acq-../../x_MEGRE'", "is not a BIDS name"),
    ],
)
def test_name_that_contradicts_the_headers_is_refused(converted, tmp_path, name, words):
    heuristic, out = tmp_path / "mine.py", tmp_path / "out"
    heuristic.write_text(BY_NUMBER.format(name=name))
    code = main(
        [
            str(tmp_path / "bids"),
            str(out),
            "convert",
            "--dicom-dir",
            str(converted[0] / "a"),
            "--heuristic",
            str(heuristic),
        ]
    )
    assert code == 1
    failed = [r for r in report_rows(out) if words in r["reason"]]
    assert failed and all(r["status"] == "failed" and r["outputs"] == "n/a" for r in failed)


def test_two_series_under_one_name_never_replace_each_other(tmp_path):
    source, heuristic = tmp_path / "dicom", tmp_path / "mine.py"
    dicom.siemens_gre(source, patient("A"), 3)
    dicom.siemens_gre(source, dicom.later(patient("A"), "113000"), 5)
    heuristic.write_text(BY_NUMBER.format(name="'_MEGRE'"))
    fates = {o.number: o for o in plan(tmp_path, source, heuristic).outcomes}
    assert fates[3].status == fates[4].status == "planned"
    assert fates[5].status == fates[6].status == "failed"
    assert "the name that series 3 has already" in fates[5].reason


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "There is no heuristic"),
        ("import a_module_that_is_not_there", "cannot be loaded"),
        ("x = 1", "no function infotodict"),
    ],
)
def test_heuristic_that_does_not_work_is_a_usage_error(converted, tmp_path, capsys, text, words):
    heuristic = tmp_path / "mine.py"
    if text is not None:
        heuristic.write_text(text)
    command = [str(tmp_path / "b"), str(tmp_path / "o"), "convert", "--dicom-dir", str(converted[0]), "--heuristic"]
    assert main([*command, str(heuristic)]) == 2
    assert words in capsys.readouterr().err


def test_heuristic_that_fails_on_one_subject_does_not_stop_the_others(converted, tmp_path):
    heuristic = tmp_path / "mine.py"
    heuristic.write_text(
        "from bids_app.convert.keys import custom_seqinfo, keys_by_content\n"
        "def infotodict(seqinfo):\n"
        "    if any(s.custom.vendor == 'GE' for s in seqinfo):\n        raise KeyError('protocol')\n"
        "    return keys_by_content(seqinfo)\n"
    )
    fates = {o.subject: o for o in plan(tmp_path, converted[0], heuristic).outcomes}
    assert "failed in infotodict: KeyError: 'protocol'" in fates["Ge"].reason
    assert fates["Ge"].status == "failed" and fates["Philips"].status == "planned"


def test_installed_package_brings_its_heuristics(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(tmp_path / "site")
    code = (
        "from bids_app.convert.name.heuristic import load_heuristic as load;"
        "print(*(load(n).path for n in ('generic', 'siemens_gre', 'ge_gre', 'philips_gre')))"
    )
    env = {"PYTHONPATH": str(tmp_path / "site"), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.count(str(tmp_path / "site" / "bids_app" / "heuristics")) == 4
    assert (tmp_path / "site/bids_app/heuristics/README.md").is_file()


def test_result_is_the_same_whichever_way(converted, tmp_path, monkeypatch):
    """What heudiconv converts gives the same bytes when dcm2niix converts it under the same names."""
    monkeypatch.setattr("bids_app.convert.name.plan.SeriesPlan.way", property(lambda self: "dcm2niix"))
    for folder in "ae":
        source = str(converted[0] / folder)
        assert main([str(tmp_path / "bids"), str(tmp_path / "out"), "convert", "--dicom-dir", source]) == 0
    assert {r["converted_with"] for r in report_rows(tmp_path / "out")} == {"dcm2niix"}
    made = [p for p in (tmp_path / "bids").glob("sub-*/**/*") if p.is_file()]
    assert len(made) == 28
    for path in made:
        assert path.read_bytes() == (converted[1] / path.relative_to(tmp_path / "bids")).read_bytes(), path.name
