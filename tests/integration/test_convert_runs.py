"""Runs of the conversion: again, at the same time, on damaged input, from archives, on to the participant level."""

import getpass
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from bids_app.cli.command import main
from bids_app.convert import ConvertRequest, convert
from bids_app.convert.write.tools import find_dcm2niix
from bids_app.convert.write.tools import run as call
from bids_app.engine.claims import claimed_subjects
from tests.helpers import dicom
from tests.helpers.dicom_study import (
    GE,
    PHILIPS,
    assert_phase_is_the_truth,
    images,
    patient,
    read_sidecar,
    report_rows,
    rows,
    validator_errors,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path):
    """Return a function that converts ``tmp_path/dicom`` to ``tmp_path/bids`` and returns the exit code."""

    def convert(*more, levels=("convert",), source=tmp_path / "dicom"):
        return main([str(tmp_path / "bids"), str(tmp_path / "out"), *levels, "--dicom-dir", str(source), *more])

    return convert


def contents(folder):
    return {
        str(p.relative_to(folder)): (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.rglob("*") if p.is_file()
    }


def test_second_run_adds_the_new_subject_and_leaves_the_others_alone(run, tmp_path):
    dicom.siemens_gre(tmp_path / "dicom" / "1", patient("A"))
    assert run() == 0
    before = contents(tmp_path / "bids" / "sub-A")
    dicom.siemens_gre(tmp_path / "dicom" / "2", patient("B"))
    dicom.siemens_gre(tmp_path / "dicom" / "3", patient("A"), 7)  # came late, for a subject that is done
    assert run() == 1
    assert contents(tmp_path / "bids" / "sub-A") == before
    assert_phase_is_the_truth(tmp_path / "bids", "B")
    assert [r["participant_id"] for r in rows(tmp_path / "bids" / "participants.tsv")] == ["sub-A", "sub-B"]
    fates = {(r["subject"], r["series"]): r for r in report_rows(tmp_path / "out")}
    assert fates["sub-A", "3"]["status"] == fates["sub-B", "3"]["status"] == "converted"
    assert fates["sub-A", "7"]["status"] == "not converted"
    assert "add it with --add" in fates["sub-A", "7"]["reason"]
    before = contents(tmp_path / "bids")
    assert run() == 1
    assert contents(tmp_path / "bids") == before


def test_late_series_complete_a_session_on_request(run, tmp_path):
    dicom.siemens_gre(tmp_path / "dicom" / "1", patient("A"))
    assert run() == 0
    before = contents(tmp_path / "bids" / "sub-A" / "anat")
    dicom.mprage(tmp_path / "dicom" / "2", patient("A"))
    assert run("--add") == 0
    assert "sub-A_T1w" in images(tmp_path / "bids")
    after = contents(tmp_path / "bids" / "sub-A" / "anat")
    assert {name: after[name] for name in before} == before  # nothing that was there has changed
    assert validator_errors(tmp_path / "bids") == []
    names = [r["filename"] for r in rows(tmp_path / "bids/sub-A/sub-A_scans.tsv")]
    assert len(names) == 7 and names == sorted(names)
    assert {r["status"] for r in report_rows(tmp_path / "out")} == {"converted"}
    before = contents(tmp_path / "bids")
    assert run() == 0 and run("--add") == 0  # all is there
    assert contents(tmp_path / "bids") == before


def test_addition_never_replaces_a_file(run, tmp_path):
    dicom.siemens_gre(tmp_path / "dicom" / "1", patient("A"))
    assert run() == 0
    image = tmp_path / "bids" / "sub-A" / "anat" / "sub-A_T1w.nii.gz"
    image.write_bytes(b"of the user")
    dicom.mprage(tmp_path / "dicom" / "2", patient("A"))
    assert run("--add") == 1
    assert image.read_bytes() == b"of the user"
    (row,) = [r for r in report_rows(tmp_path / "out") if r["status"] == "failed"]
    assert "sub-A_T1w.nii.gz is in the dataset already" in row["reason"]


def test_two_runs_at_the_same_time_on_one_dataset(tmp_path):
    labels = ("A", "B", "C", "D")
    for label in labels:
        dicom.siemens_gre(tmp_path / "dicom" / label, patient(label))
    command = [sys.executable, "-m", "bids_app", tmp_path / "bids", tmp_path / "out", "convert", "--dicom-dir"]
    running = [
        subprocess.Popen(
            [*command, tmp_path / "dicom", "--participant-label", *some], env=os.environ | {"PYTHONPATH": str(ROOT)}
        )
        for some in (labels[:2], labels[2:])
    ]
    assert [process.wait(timeout=300) for process in running] == [0, 0]
    bids = tmp_path / "bids"
    assert [r["participant_id"] for r in rows(bids / "participants.tsv")] == [f"sub-{x}" for x in labels]
    assert len([r for r in report_rows(tmp_path / "out") if r["status"] == "converted"]) == 8
    assert validator_errors(bids) == []
    for label in labels:
        assert_phase_is_the_truth(bids, label)
    assert not [p for p in (*bids.rglob(".*"), *(tmp_path / "out").rglob(".*")) if p.name != ".bidsignore"]


def test_a_subject_is_converted_by_one_command_at_a_time(run, tmp_path, capsys):
    dicom.siemens_gre(tmp_path / "dicom" / "1", patient("A"))
    with claimed_subjects(tmp_path / "bids", ["A"]):
        assert run() == 5
        assert f"is writing sub-A: {getpass.getuser()} on" in capsys.readouterr().err
        assert run("--dry-run") == 0
        assert not list((tmp_path / "bids").glob("sub-*"))
    with claimed_subjects(tmp_path / "bids", ["B"]):  # another subject is no obstacle
        assert run() == 0
    assert not list((tmp_path / "bids").rglob("locks"))


def test_sessions_are_named_after_the_claim(tmp_path):
    """What another command converted while the scans were read decides the names."""
    dicom.siemens_gre(tmp_path / "dicom" / "1", patient("A"))

    @contextmanager
    def claim(subjects):
        note = {"subject": "A", "session": "1", "study": "other", "series": []}
        path = tmp_path / "bids" / "sourcedata" / "conversion" / "sub-A_ses-1_other.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(note))
        yield

    request = ConvertRequest(tmp_path / "bids", tmp_path / "out", tmp_path / "work", tmp_path / "dicom", claim=claim)
    (outcome, _) = convert(request).outcomes
    assert outcome.session not in (None, "1")


def test_broken_files_are_named_and_stop_nothing(run, tmp_path, capsys):
    dicom.siemens_gre(tmp_path / "dicom" / "good", patient("Good"))
    bad = dicom.siemens_gre(tmp_path / "dicom" / "bad", patient("Bad"))
    content = bad[5].read_bytes()
    bad[5].write_bytes(content[: len(content) - 100])  # the last rows of a slice are missing
    bad[6].write_bytes(content[:200])  # nothing but the beginning of the header
    (tmp_path / "dicom" / "bad" / "empty.dcm").write_bytes(b"")
    (tmp_path / "dicom" / "notes.txt").write_text("not an image")
    (tmp_path / "dicom" / "README").write_text("no image either, and nothing says that it should be one")
    assert run() == 1
    assert_phase_is_the_truth(tmp_path / "bids", "Good")
    table, said = report_rows(tmp_path / "out"), capsys.readouterr().out
    unreadable = {r["source"]: r["reason"] for r in table if r["status"] == "unreadable"}
    assert set(unreadable) == {"bad/003/M1_0006.dcm", "bad/003/M1_0007.dcm", "bad/empty.dcm"}
    assert "100 bytes of the image are missing" in unreadable["bad/003/M1_0006.dcm"]
    assert all(name in said for name in unreadable)
    fates = {(r["subject"], r["series"]): r for r in table}
    assert fates["sub-Bad", "3"]["status"] == "failed"
    assert "incomplete" in fates["sub-Bad", "3"]["reason"]
    assert not (tmp_path / "bids" / "sub-Bad").exists()
    bad[5].write_bytes(content)
    dicom.siemens_gre(tmp_path / "dicom" / "bad", patient("Bad"))  # mended: the same command takes it in
    (tmp_path / "dicom" / "bad" / "empty.dcm").unlink()
    assert run() == 0
    assert_phase_is_the_truth(tmp_path / "bids", "Bad")
    assert not [r for r in report_rows(tmp_path / "out") if r["status"] in ("unreadable", "failed")]


def test_archives_and_files_without_extension(run, tmp_path):
    source, packed = tmp_path / "plain", tmp_path / "dicom"
    packed.mkdir()
    for label in ("Zip", "Tar", "Bare"):
        dicom.siemens_gre(source / label, patient(label))
    with zipfile.ZipFile(packed / "one.zip", "w") as opened:
        for path in (source / "Zip").rglob("*.dcm"):
            opened.write(path, path.relative_to(source).as_posix())
    with tarfile.open(packed / "two.tar.gz", "w:gz") as opened:
        opened.add(source / "Tar", "Tar")
    for number, path in enumerate(sorted((source / "Bare").rglob("*.dcm"))):
        deep = packed / "deep" / "er" / str(number % 3)
        deep.mkdir(parents=True, exist_ok=True)
        path.rename(deep / f"IM{number}")
    (packed / "broken.zip").write_bytes(b"PK\x03\x04 and nothing more")
    assert run() == 1
    for label in ("Zip", "Tar", "Bare"):
        assert_phase_is_the_truth(tmp_path / "bids", label)
    table = report_rows(tmp_path / "out")
    assert [r["source"] for r in table if r["status"] == "unreadable"] == ["broken.zip"]
    assert {r["source"] for r in table if r["subject"] == "sub-Zip"} == {"one/Zip/003", "one/Zip/004"}
    assert not list((tmp_path / "out" / "work").glob("*"))


SECRETS = ("Mustermann", "Xaver", "19700101", "SECRET4711", "SECRET-4711", "1.I.70", "Мустерман", "Operator", "Otto")


def test_nothing_that_is_written_names_the_patient(run, tmp_path):
    """Name, ID and birth date are in headers, descriptions and folder names, and nowhere in the outputs."""
    folder = tmp_path / "dicom" / "sub-X" / "Mustermann Xaver"
    person = patient("SECRET4711")
    dicom.siemens_gre(folder, person, ProtocolName="gre_mustermann", ImageComments="Xaver, born 19700101")
    dicom.mprage(folder, person, description="t1 for XAVER", StationName="MUSTERMANN1")
    dicom.plain_series(folder, person, 9, "survey Mustermann Мустерманн 1.I.70 SECRET 4711")
    dicom.siemens_gre(folder, dicom.later(person, "120000"), 11, echo_times=(4.0, 8.0), ProtocolName="MustermannX")
    broken = folder / "Xaver SECRET-4711.dcm"
    broken.write_bytes(b"")
    philips = patient("SECRET4711", PHILIPS, date="20240202")
    dicom.philips_enhanced(tmp_path / "dicom" / "sub-Y" / "Xaver" / "IM_0001", philips)
    assert run("-v") == 1
    written = [p for top in ("bids", "out") for p in (tmp_path / top).rglob("*") if p.is_file()]
    assert len(written) > 40
    for path in written:
        content = path.read_bytes()
        if path.name.endswith(".gz"):
            import gzip

            content = gzip.decompress(content)[:5000]  # header and extensions
        text = f"{path} {content.decode('utf-8', 'replace')}".lower().replace(str(tmp_path).lower(), "")
        assert not [s for s in SECRETS if s.lower() in text], path
    assert "sub-X_acq-XXXX" in " ".join(images(tmp_path / "bids"))


def test_mapping_is_in_sourcedata(run, tmp_path):
    dicom.siemens_gre(tmp_path / "dicom", patient("Case #7/b"))
    assert run() == 0
    (note,) = (tmp_path / "bids" / "sourcedata" / "conversion").glob("*.json")
    text = note.read_text()
    assert '"original": "Case #7/b"' in text and '"subject": "Case7b"' in text and '"basis": "PatientID"' in text
    assert (
        "'Case #7/b' is not a BIDS label; it became sub-Case7b" in (tmp_path / "out/conversion_report.md").read_text()
    )


def test_readout_polarity_and_field_strength_are_in_the_sidecar(run, tmp_path):
    for label, mode in (("Mono", 1), ("Bi", 2)):
        dicom.siemens_gre(tmp_path / "dicom" / label, patient(label), readout_mode=mode)
    assert run() == 0
    for label, polarity in (("Mono", "monopolar"), ("Bi", "bipolar")):
        values = read_sidecar(tmp_path / f"bids/sub-{label}/anat/sub-{label}_echo-2_part-phase_MEGRE.nii.gz")
        assert values["ReadoutPolarity"] == polarity
        assert (values["EchoTime"], values["MagneticFieldStrength"], values["Manufacturer"]) == (0.01, 3, "Siemens")
        assert values["ImageType"][:3] == ["ORIGINAL", "PRIMARY", "P"]


def test_dry_run_writes_nothing_and_tells_the_names(run, tmp_path, capsys):
    dicom.siemens_gre(tmp_path / "dicom", patient("A"))
    assert run("--dry-run", levels=("convert", "participant")) == 0
    assert not (tmp_path / "bids").exists()
    assert not [p for p in (tmp_path / "out").rglob("*") if p.is_file()]
    said = capsys.readouterr().out
    assert "sub-A_echo-3_part-phase_MEGRE.nii.gz" in said
    assert "participant: can be planned once" in said


def test_whole_study_in_one_call_ends_with_maps(run, tmp_path):
    """Scans make the conversion the first thing that happens, whether or not the level is named.

    What is odd about GE's phase (its sign, half a turn from slice to slice) is undone in the field step.
    """
    dicom.siemens_gre(tmp_path / "dicom" / "1", patient("A"), FrameOfReferenceUID="1.2.3")
    dicom.ge_gre(tmp_path / "dicom" / "2", patient("B", GE), as_scanned=True)
    assert run("--preset", "fast", levels=("participant",)) == 0
    for label in ("A", "B"):
        assert (tmp_path / "out" / f"sub-{label}" / "anat" / f"sub-{label}_Chimap.nii.gz").is_file()
    fields = [
        np.asarray(nib.load(tmp_path / f"out/sub-{x}/fmap/sub-{x}_desc-total_fieldmap.nii.gz").dataobj) for x in "AB"
    ]
    assert np.ptp(fields[0]) > 50
    assert np.abs(fields[0] - fields[1]).max() < 0.1
    assert validator_errors(tmp_path / "bids") == []
    export = ("--export-dicom", str(tmp_path / "back"), "--dicom-source", str(tmp_path / "dicom" / "1"))
    words = ("--preset", "fast", "--participant-label", "A", *export)  # all is there: nothing to do but the export
    assert run(*words, levels=("convert", "participant")) == 0
    slices = sorted((tmp_path / "back" / "sub-A" / "chimap_classic").iterdir())
    assert {pydicom.dcmread(path).PatientID for path in slices} == {patient("A").patient_id}
    (tmp_path / "read").mkdir()
    call([find_dcm2niix(), "-b", "n", "-z", "n", "-o", str(tmp_path / "read"), str(slices[0].parent)], tmp_path)
    (image,) = (tmp_path / "read").iterdir()
    chi = nib.as_closest_canonical(nib.load(tmp_path / "out/sub-A/anat/sub-A_Chimap.nii.gz"))
    back = nib.as_closest_canonical(nib.load(image))  # ppb
    np.testing.assert_allclose(back.affine, chi.affine, atol=1e-3)
    np.testing.assert_allclose(back.get_fdata(), 1000 * chi.get_fdata(), atol=0.1)
    assert run(*words, levels=("participant",)) == 3  # the folder is not empty any more
    assert not list((tmp_path / "out").rglob("*.dcm"))


def test_failed_series_keeps_exit_code_1_through_the_following_levels(run, tmp_path):
    dicom.siemens_gre(tmp_path / "dicom", patient("A"))
    (tmp_path / "dicom" / "broken.dcm").write_bytes(b"")
    assert run("--preset", "fast", levels=("convert", "participant")) == 1
    assert (tmp_path / "out" / "sub-A" / "anat" / "sub-A_Chimap.nii.gz").is_file()


def test_usage_errors(run, tmp_path, capsys):
    dicom.mprage(tmp_path / "dicom", patient("A"))
    assert run("--participant-label", "A", "Z") == 2
    assert "--participant-label Z: not found; the scans are of A" in capsys.readouterr().err
    assert run("--subject-pattern", "(") == 2
    assert run("--subject-pattern", "xyz") == 2
    assert run(source=tmp_path / "nowhere") == 2
    assert run("--nifti-dir", str(tmp_path)) == 2
    assert main([str(tmp_path / "bids"), str(tmp_path / "out"), "convert"]) == 2
    assert "say where the scans are" in capsys.readouterr().err
    assert not (tmp_path / "bids").exists()


def test_input_with_nothing_to_convert_is_refused(run, tmp_path, capsys):
    source = tmp_path / "dicom"
    source.mkdir()
    (source / "readme.txt").write_text("nothing")
    assert run() == 3
    assert "No DICOM file" in capsys.readouterr().err
    dicom.plain_series(source, patient("A"), 1, "localizer")
    assert run(levels=("convert", "participant")) == 3
    assert "none of the 1 series can be converted" in capsys.readouterr().err
    assert report_rows(tmp_path / "out")[0]["status"] == "skipped"
    assert not (tmp_path / "bids").exists()


def test_missing_dcm2niix_is_exit_code_4(run, tmp_path, capsys, monkeypatch):
    dicom.mprage(tmp_path / "dicom", patient("A"))
    monkeypatch.setattr("shutil.which", lambda *args, **options: None)
    assert run() == 4
    assert "pip install dcm2niix" in capsys.readouterr().err


def test_missing_heudiconv_is_exit_code_4(run, tmp_path, capsys, monkeypatch):
    dicom.mprage(tmp_path / "dicom", patient("A"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    assert run() == 4
    assert "pip install heudiconv" in capsys.readouterr().err


@pytest.mark.real_data
def test_real_siemens_field_map_is_skipped_as_one(run, real_data, tmp_path):
    """Two magnitude echoes that share their instance numbers, and the difference of their phases."""
    assert run(source=real_data / "dicom-fieldmaps" / "Siemens") == 3
    table = report_rows(tmp_path / "out")
    assert [(r["series"], r["status"], r["files"]) for r in table] == [("2", "skipped", "72"), ("3", "skipped", "36")]
    assert all("phase-difference field map" in r["reason"] for r in table)


@pytest.mark.real_data
def test_real_philips_field_map_becomes_a_field_map(run, real_data, tmp_path):
    assert run(source=real_data / "dicom-fieldmaps" / "Philips") == 0
    (row,) = report_rows(tmp_path / "out")
    assert "field map in Hz" in row["reason"]
    field = next((tmp_path / "bids").rglob("fmap/*_fieldmap.nii.gz"))
    assert read_sidecar(field)["Units"] == "Hz" and np.abs(nib.load(field).get_fdata()).max() < 500
    assert field.with_name(field.name.replace("fieldmap", "magnitude")).is_file()
    assert validator_errors(tmp_path / "bids") == []


def test_enhanced_files_by_the_standard_alone(run, tmp_path):
    """Files as several vendors store them: by echo, by part, all in one; with and without ComplexImageComponent."""
    echoes = range(len(dicom.ECHO_TIMES))
    for part, number in (("M", 3), ("P", 4)):
        for echo in echoes:  # Siemens XA
            dicom.enhanced(tmp_path / f"dicom/1/{number}{echo}", patient("XA"), number, [(part, echo)])
        every = [(part, echo) for echo in echoes]
        dicom.enhanced(tmp_path / f"dicom/2/{number}", patient("ByPart"), number, every, states_component=False)
    both = [(part, echo) for part in "MP" for echo in echoes]
    dicom.enhanced(tmp_path / "dicom/3/all", patient("GE", GE), 5, both)
    for echo in echoes:
        dicom.enhanced(
            tmp_path / f"dicom/4/{echo}", patient("UIH", dicom.Scanner("UIH")), 6, [("M", echo), ("P", echo)]
        )
    assert run() == 0
    for label in ("XA", "ByPart", "GE", "UIH"):
        assert_phase_is_the_truth(tmp_path / "bids", label)


def test_field_map_of_ge_and_images_of_single_coils(run, tmp_path):
    dicom.ge_field_map(tmp_path / "dicom" / "1", patient("A", GE))
    for coil in range(3):
        turn = {"parts": "MP", "echo_times": (5.0,), "turn": 0.5 * coil}
        dicom.siemens_coil(tmp_path / "dicom" / "2", patient("B"), 9, f"H{coil + 9}", 1 + 100 * coil, **turn)
    assert run() == 0
    field = tmp_path / "bids/sub-A/fmap/sub-A_fieldmap.nii.gz"
    values = read_sidecar(field)
    assert values["Units"] == "Hz"
    assert values["EchoTime2"] - values["EchoTime1"] == pytest.approx(0.002304, abs=1e-7)
    assert nib.load(field).get_fdata().min() == -102
    assert nib.load(field.with_name("sub-A_magnitude.nii.gz")).get_fdata().min() > 1000
    first, *_, last = (
        nib.load(tmp_path / f"bids/sub-B/anat/sub-B_coil-{coil}_part-phase_T2starw.nii.gz").get_fdata() * np.pi / 4096
        for coil in (1, 2, 3)
    )
    turned = np.angle(np.exp(1j * (last - first)))
    assert np.abs(turned - 1.0).max() < 0.01  # coils are in the order of their numbers: H9, H10, H11
    assert validator_errors(tmp_path / "bids") == []


@pytest.mark.real_data
def test_real_echoes_that_share_instance_numbers_convert_under_ones_own_heuristic(run, real_data, tmp_path):
    heuristic = tmp_path / "mine.py"
    heuristic.write_text(
        "def infotodict(seqinfo):\n"
        "    start = '{bids_subject_session_dir}/anat/{bids_subject_session_prefix}'\n"
        "    return {(start + '_MEGRE', ('nii.gz',), None): [s.series_id for s in seqinfo]}\n"
    )
    assert run("--heuristic", str(heuristic), source=real_data / "dicom-fieldmaps" / "Siemens") == 0
    names = [x.partition("_")[2] for x in images(tmp_path / "bids")]
    assert names == ["echo-1_part-mag_MEGRE", "echo-2_part-mag_MEGRE", "part-phase_MEGRE"]


def test_what_a_killed_run_has_left_is_mended(run, tmp_path):
    """Scratch of a dead process goes, and a subject that was placed without its row gets it."""
    dicom.siemens_gre(tmp_path / "dicom", patient("A"))
    assert run() == 0
    notes = tmp_path / "bids" / "sourcedata" / "conversion"
    imports = "import sys; from pathlib import Path; from bids_app.derivatives.scratch import scratch_path"
    code = f"{imports}; scratch_path(Path(sys.argv[1]), 'staging').mkdir()"
    subprocess.run([sys.executable, "-c", code, str(notes)], env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True)
    assert len(list(notes.iterdir())) == 2
    table = tmp_path / "bids" / "participants.tsv"
    whole = table.read_text()
    table.write_text(whole.partition("sub-A")[0])
    assert run() == 0
    assert len(list(notes.iterdir())) == 1
    assert table.read_text() == whole


def test_own_folders_and_links_in_circles_are_no_input(tmp_path):
    top = tmp_path / "dicom"
    dicom.siemens_gre(top / "scans", patient("A"))
    (top / "scans" / "again").symlink_to(top)
    command = [str(top / "bids"), str(top / "out"), "convert", "--dicom-dir", str(top)]
    assert main(command) == 0
    assert main(command) == 0
    page = (top / "out" / "conversion_report.md").read_text()
    assert "not DICOM" not in page and "copies" not in page
    assert main([str(top), str(top), "convert", "--dicom-dir", str(top)]) == 2
