"""Reading headers: what a header means, damaged files, many files at once."""

import nibabel as nib
import numpy as np
import pytest

from bids_app.convert.scan.files import archive_stem, scan
from bids_app.convert.scan.frames import part_of
from bids_app.convert.scan.header import BrokenDicomError, read_instance
from bids_app.convert.write.sidecars import looks_like_phase, phase_units, scale_to_radians
from tests.helpers import dicom


@pytest.mark.parametrize(
    ("tokens", "component", "description", "signed", "part"),
    [
        (["M", "ND"], "", "", False, "mag"),
        (["P", "ND"], "", "", True, "phase"),
        (["M_FFE", "M", "FFE"], "", "", False, "mag"),
        (["PHASE MAP", "P", "FFE"], "", "", True, "phase"),
        (["T2_STAR", "MIXED"], "PHASE", "", False, "phase"),
        (["R_FFE", "R"], "", "", True, "real"),
        ([], "IMAGINARY", "", True, "imag"),
        (["M", "P"], "", "", False, "unknown"),
        (["OTHER"], "", "gre_pha", False, "phase"),
        (["OTHER"], "", "alpha phantom", False, "mag"),
        (["OTHER"], "", "gre", True, "unknown"),
        (["B0 MAP", "P"], "", "", True, "field"),
        (["VELOCITY MAP", "P"], "", "", True, "difference"),
    ],
)
def test_part_of_the_complex_image(tokens, component, description, signed, part):
    assert part_of(tokens, component, description, signed) == part


def test_file_that_is_cut_anywhere_is_broken_or_no_dicom(tmp_path):
    (path, *_) = dicom.siemens_gre(tmp_path, echo_times=(5.0,))
    content = path.read_bytes()
    for name in ("cut.dcm", "cut"):
        for size in (0, 1, 131, 132, 140, 300, len(content) // 2, len(content) - 1):
            cut = tmp_path / name
            cut.write_bytes(content[:size])
            try:
                assert read_instance(cut) is None
                assert name == "cut" and size <= 132, size
            except BrokenDicomError as error:
                assert str(error)


def test_many_files_are_read_in_several_processes(tmp_path, monkeypatch):
    dicom.siemens_gre(tmp_path / "dicom", dicom.Scanner(), echo_times=(5.0, 9.0))
    (tmp_path / "dicom" / "bad.dcm").write_bytes(b"x")
    alone = scan(tmp_path / "dicom", tmp_path / "a")
    monkeypatch.setattr("bids_app.convert.scan.files._MANY_FILES", 3)
    together = scan(tmp_path / "dicom", tmp_path / "b", nprocs=2)
    assert together.instances == alone.instances and together.problems == alone.problems
    assert len(alone.instances) == 32 and [p.path for p in alone.problems] == ["bad.dcm"]


def test_archives_by_their_names():
    assert [archive_stem(n) for n in ("a.zip", "a.b.TAR.GZ", ".zip", "a.dcm")] == ["a", "a.b", None, None]


def test_phase_looks_like_phase_and_magnitude_does_not(tmp_path):
    rng = np.random.default_rng(0)
    magnitudes, phases = dicom.truth((48, 48, 16))
    noise = rng.normal(0, 0.05, (2, 48, 48, 16))
    head = np.hypot(magnitudes[0] * (magnitudes[0] > 0.5) + noise[0], noise[1])
    for name, data, answer in (
        ("smooth", magnitudes[0] * 4000, False),
        ("head", head * 4000, False),
        ("signed", phases[0] * 1000, True),
        ("raw", dicom.siemens_phase(phases[2]), True),
        ("noise", rng.uniform(0, 4095, (48, 48, 16)), True),
    ):
        path = tmp_path / f"{name}.nii"
        nib.save(nib.Nifti1Image(data.astype(np.int16), np.eye(4)), path)
        assert looks_like_phase(path) is answer, name


@pytest.mark.parametrize(
    ("low", "high", "integer", "declared", "units"),
    [
        (-np.pi, np.pi, False, None, "rad"),
        (0, 2 * np.pi, False, None, "rad"),
        (-4096, 4094, True, None, "arbitrary"),
        (0, 4095, True, "rad", "arbitrary"),
        (-9.0, 14.0, False, "rad", "rad"),
        (-9.0, 14.0, False, "arbitrary", "arbitrary"),
        (-3.0, 3.0, True, None, "arbitrary"),
    ],
)
def test_units_of_phase(low, high, integer, declared, units):
    data = np.linspace(low, high, 4**3).reshape(4, 4, 4)
    image = nib.Nifti1Image((np.rint(data) if integer else data).astype(np.float32), np.eye(4))
    assert phase_units(image, declared) == units


@pytest.mark.parametrize(
    ("vendor", "rescale_type", "values", "scaled"),
    [
        ("GE", "", [(-3141, 3141), (-900, 700)], True),
        ("GE", "", [(-1200, 1100)], True),
        ("GE", "", [(-900, 700), (-4096, 4095)], False),  # one scale for all echoes of a series
        ("Canon", "mrad", [(-3142, 3142)], True),
        ("Siemens", "US", [(-3000, 3000)], False),
    ],
)
def test_milliradians_become_radians(tmp_path, vendor, rescale_type, values, scaled):
    paths = []
    for number, (low, high) in enumerate(values):
        paths.append(tmp_path / f"{number}.nii.gz")
        data = np.rint(np.linspace(low, high, 5**3)).reshape(5, 5, 5).astype(np.int16)
        nib.save(nib.Nifti1Image(data, np.eye(4)), paths[-1])
    assert scale_to_radians(paths, vendor, rescale_type) is scaled
    for path, (low, high) in zip(paths, values, strict=True):
        data = np.asarray(nib.load(path).dataobj)
        factor = 1000 if scaled else 1
        assert (data.min(), data.max()) == pytest.approx((low / factor, high / factor), abs=1e-3)
