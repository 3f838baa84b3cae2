"""Fuzzing of the intakes: whatever a file holds, the answer is a result or a sentence, and nothing else happens."""

import gzip
import io
import json
import tarfile
import zipfile

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bids_app.convert.scan.files import scan
from bids_app.dataset.checks import preflight
from bids_app.dataset.query import find_subjects
from bids_app.errors import QsmAppError
from bids_app.group.table_checks import read_checked
from bids_app.model.naming import run_entities
from tests.helpers import dicom
from tests.unit.dataset.conftest import PLACE, Dataset

FUZZ = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
#: What stands in a sidecar now and then.
ODD_VALUES = (
    None,
    True,
    "",
    "0.01",
    [],
    {},
    [0.01, 0.02],
    -1,
    0,
    1e-300,
    1e300,
    float("nan"),
    float("inf"),
    10**400,
    {"a": [[[[]]]]},
    "{0.__class__}",
    "<script>",
    "__import__('os').system('touch made')",
)


def damaged(content, data):
    """Return content with some bytes changed, cut or added."""
    content = bytearray(content)
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, max(len(content) - 1, 0)))
        kind = data.draw(st.sampled_from(["flip", "cut", "zero", "insert"]))
        if kind == "flip" and content:
            content[place] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == "cut":
            del content[place:]
        elif kind == "zero":
            content[place : place + 16] = bytes(len(content[place : place + 16]))
        else:
            content[place:place] = data.draw(st.binary(max_size=8))
    return bytes(content)


def refused_or_done(dataset):
    """Return the problems of a dataset; anything but a sentence is an error of the test."""
    try:
        listed = preflight(find_subjects(dataset.root), dataset.root, dataset.root.parent / "out")
    except QsmAppError as error:
        listed = [str(error)]
    assert all(isinstance(text, str) and text and "Traceback" not in text for text in listed)
    return listed


@pytest.fixture(scope="module")
def nifti():
    image = nib.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), PLACE)
    return image.to_bytes()


@pytest.mark.parametrize("packed", [False, True])
@FUZZ
@given(st.data())
def test_images(tmp_path_factory, nifti, packed, data):
    dataset = Dataset(tmp_path_factory.mktemp("fuzz") / "bids")
    dataset.megre("sub-01", echoes=1)
    path = dataset.root / "sub-01/anat/sub-01_echo-1_part-phase_MEGRE.nii.gz"
    path.write_bytes(damaged(gzip.compress(nifti), data) if packed else gzip.compress(damaged(nifti, data)))
    refused_or_done(dataset)


@pytest.mark.parametrize(
    "key", ["EchoTime", "MagneticFieldStrength", "B0_dir", "Units", "MRAcquisitionType", "ImageType"]
)
@pytest.mark.parametrize("value", ODD_VALUES, ids=lambda value: str(value)[:12])
def test_values_of_sidecars(tmp_path, key, value):
    dataset = Dataset(tmp_path / "bids")
    dataset.megre("sub-01", echoes=2)
    path = dataset.root / "sub-01/anat/sub-01_echo-1_part-phase_MEGRE.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    refused_or_done(dataset)
    assert not (tmp_path / "made").exists()


@FUZZ
@given(st.data())
def test_sidecars(tmp_path_factory, data):
    dataset = Dataset(tmp_path_factory.mktemp("fuzz") / "bids")
    dataset.megre("sub-01", echoes=1)
    path = dataset.root / "sub-01/anat/sub-01_echo-1_part-phase_MEGRE.json"
    path.write_bytes(damaged(path.read_bytes(), data))
    refused_or_done(dataset)


@FUZZ
@given(st.data())
def test_tables(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz") / "participants.tsv"
    path.write_bytes(damaged(b"participant_id\tage\tsex\nsub-01\t27\tF\nsub-02\t31\tM\n", data))
    rows, problems = read_checked(path, "participant_id")
    assert rows or problems or not path.read_bytes().partition(b"\n")[2].strip()
    assert all(text.startswith("participants.tsv: ") for text in problems)


@FUZZ
@given(st.text(max_size=60))
def test_names(name):
    entities = run_entities(name)
    assert all(key.isalpha() and value for key, value in entities)


@pytest.fixture(scope="module")
def dicom_file(tmp_path_factory):
    return dicom.siemens_gre(tmp_path_factory.mktemp("dicom"), dicom.Scanner())[0].read_bytes()


@FUZZ
@given(st.data())
def test_dicom(tmp_path_factory, dicom_file, data):
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "in").mkdir()
    (folder / "in" / "a.dcm").write_bytes(damaged(dicom_file, data))
    scanned = scan(folder / "in", folder / "unpacked")
    assert len(scanned.instances) + len(scanned.problems) + scanned.others + scanned.duplicates == 1


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.xz"])
@FUZZ
@given(st.data())
def test_archives(tmp_path_factory, dicom_file, kind, data):
    folder, out = tmp_path_factory.mktemp("fuzz"), io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w") as opened:
            opened.writestr("../a.dcm", dicom_file)
    else:
        with tarfile.open(fileobj=out, mode=f"w:{kind.partition('.')[2]}") as opened:
            member = tarfile.TarInfo("/../a.dcm")
            member.size = len(dicom_file)
            opened.addfile(member, io.BytesIO(dicom_file))
    (folder / "in").mkdir()
    (folder / "in" / f"a.{kind}").write_bytes(damaged(out.getvalue(), data))
    scan(folder / "in", folder / "unpacked")
    assert {path.name for path in folder.iterdir()} == {"in", "unpacked"}
