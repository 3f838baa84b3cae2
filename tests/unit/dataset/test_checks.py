"""Every reason to refuse, in a sentence that names the file."""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from bids_app.dataset.checks import preflight
from bids_app.dataset.coils import with_coils
from bids_app.dataset.derived import with_given_mask
from bids_app.dataset.image_checks import remarks
from bids_app.dataset.images import look_at
from bids_app.dataset.query import find_subjects
from bids_app.model.records import GivenMask
from bids_app.steps.participant.coils import _Stored
from bids_app.steps.participant.common import echo_files
from tests.unit.dataset.conftest import PLACE


def problems(dataset, out=None, participants=()):
    subjects = find_subjects(dataset.root, participants)
    return preflight(subjects, dataset.root, out or dataset.root.parent / "out", participants)


def phase(dataset, echo=2):
    return dataset.root / f"sub-01/anat/sub-01_echo-{echo}_part-phase_MEGRE.nii.gz"


def test_a_good_dataset_has_no_problem(dataset):
    dataset.megre("sub-01")
    assert problems(dataset) == []
    assert problems(dataset, dataset.root / "derivatives/qsm") == []


def test_magnitude_is_optional_and_phase_is_not(dataset):
    dataset.megre("sub-01", parts=("phase",))
    dataset.megre("sub-02", parts=("mag",))
    (problem,) = problems(dataset)
    assert "sub-02" in problem
    assert "no phase" in problem


def test_echo_times(dataset):
    dataset.megre("sub-01")
    for echo, time in ((1, 5), (2, None)):
        text = json.dumps({"EchoTime": time} if time else {})
        phase(dataset, echo).with_name(f"sub-01_echo-{echo}_part-phase_MEGRE.json").write_text(text)
    text_of_all = "\n".join(problems(dataset))
    assert "looks like milliseconds" in text_of_all
    assert "no EchoTime" in text_of_all


def test_magnitude_and_phase_of_one_echo_have_one_time(dataset):
    dataset.megre("sub-01")
    phase(dataset).with_name("sub-01_echo-2_part-mag_MEGRE.json").write_text('{"EchoTime": 0.02}')
    (problem,) = problems(dataset)
    assert "0.02 for the magnitude and 0.01 for the phase" in problem


def test_coil_images_named_as_echoes_are_recognised(dataset):
    for echo in range(1, 17):
        dataset.image(f"sub-01_echo-{echo}_part-phase_MEGRE", EchoTime=0.005 * (1 + (echo - 1) // 8))
    (problem,) = problems(dataset)
    assert "16 echoes have just 2 different EchoTimes" in problem
    assert "receive coils" in problem


def coil_problems(dataset):
    subjects = with_coils(find_subjects(dataset.root))
    return preflight(subjects, dataset.root, dataset.root.parent / "out")


def test_a_fourth_dimension_holds_coils_where_they_are_to_be_combined(dataset):
    several = np.arange(180, dtype=np.int16).reshape(3, 4, 5, 3)
    for echo in (1, 2):
        for part in ("mag", "phase"):
            dataset.image(f"sub-01_echo-{echo}_part-{part}_MEGRE", several, EchoTime=0.005 * echo)
    assert "--set field.coils=combine" in problems(dataset)[0]
    assert coil_problems(dataset) == []
    (run,) = with_coils(find_subjects(dataset.root))[0].runs
    assert run.coils == run.facts()["coils"] == 3
    dataset.image("sub-01_echo-2_part-mag_MEGRE", several[..., :2], EchoTime=0.01)
    (problem,) = coil_problems(dataset)
    assert "has 2 volumes, the first phase has 3 coils" in problem
    dataset.image("sub-01_echo-2_part-mag_MEGRE", several[..., 0], EchoTime=0.01)
    assert "is 3D" in coil_problems(dataset)[0]


def test_coils_without_magnitude_are_refused(dataset):
    several = np.arange(180, dtype=np.int16).reshape(3, 4, 5, 3)
    dataset.image("sub-01_echo-1_part-phase_MEGRE", several, EchoTime=0.02)
    (problem,) = coil_problems(dataset)
    assert "weighed by their magnitudes" in problem


def test_images_of_three_dimensions_have_one_coil(dataset):
    dataset.megre("sub-01")
    assert coil_problems(dataset) == []
    assert with_coils(find_subjects(dataset.root))[0].runs[0].coils == 1
    path = dataset.image("sub-01_echo-1_part-phase_MEGRE", EchoTime=0.005)
    path.write_bytes(b"")
    assert "0 bytes" in coil_problems(dataset)[0]


def test_echo_numbers_against_times(dataset):
    for echo, time in ((1, 0.02), (2, 0.01)):
        dataset.image(f"sub-01_echo-{echo}_part-phase_MEGRE", EchoTime=time)
    assert "does not rise" in problems(dataset)[0]


@pytest.mark.parametrize("value", [None, 3000, "3", float("nan")])
def test_field_strength(dataset, value):
    dataset.megre("sub-01")
    (dataset.root / "MEGRE.json").write_text(json.dumps({"MagneticFieldStrength": value} if value else {}))
    assert "MagneticFieldStrength" in problems(dataset)[0]


def test_echoes_of_different_field_strength(dataset):
    dataset.megre("sub-01")
    phase(dataset).with_name("sub-01_echo-2_part-phase_MEGRE.json").write_text(
        '{"EchoTime": 0.01, "MagneticFieldStrength": 7}'
    )
    assert "different MagneticFieldStrength (3, 7)" in problems(dataset)[0]


@pytest.mark.parametrize("value", [[0, 0], [0, 0, 0], "z", ["a", 0, 1]])
def test_b0_dir_that_is_no_direction(dataset, value):
    dataset.megre("sub-01", B0_dir=value)
    assert "B0_dir" in problems(dataset)[0]


def test_b0_dir_of_the_sidecar_wins_in_voxel_axes_and_is_told_where_the_affine_differs(dataset):
    from bids_app.steps.participant.common import grid_of

    dataset.megre("sub-01", B0_dir=[0, 2, 0])
    dataset.megre("sub-02", B0_dir=[0, 0, -1])
    first, other = (run for subject in find_subjects(dataset.root) for run in subject.runs)
    assert grid_of(first, (3, 4, 5)).b0_dir == (0, 1, 0)
    assert "90 degrees" in next(remarks(first))
    assert list(remarks(other)) == []


def write(data, path, compressed=True):
    nib.save(nib.Nifti1Image(data, PLACE), path)
    return path


def test_images_that_cannot_be_used(tmp_path):
    noise = np.random.default_rng(0).integers(-4096, 4095, (20, 20, 20)).astype(np.int16)
    good = write(noise, tmp_path / "a.nii.gz")
    plain = write(noise, tmp_path / "b.nii")
    assert look_at(good, True).problem == look_at(plain, True).problem == ""
    assert look_at(good, True).shape == (20, 20, 20)
    for path in (good, plain):
        content = path.read_bytes()
        for share in (0.1, 0.5, 0.9, 0.999):
            cut = path.with_name(f"cut-{share}{''.join(path.suffixes)}")
            cut.write_bytes(content[: int(share * len(content))])
            assert "damaged" in look_at(cut, False).problem, share
    (tmp_path / "e.nii.gz").write_bytes(b"")
    assert "0 bytes" in look_at(tmp_path / "e.nii.gz", False).problem
    (tmp_path / "t.nii.gz").write_text("this is no image")
    assert "damaged" in look_at(tmp_path / "t.nii.gz", False).problem
    assert "4 dimensions (2 volumes)" in look_at(write(noise.reshape(20, 20, 10, 2), tmp_path / "4.nii"), False).problem
    assert look_at(write(noise[..., None], tmp_path / "1.nii"), False).shape == (20, 20, 20)
    assert "complex64" in look_at(write(noise.astype(np.complex64), tmp_path / "c.nii.gz"), False).problem


def test_several_gzip_members_are_whole_too(tmp_path):
    import gzip

    path = write(np.arange(8000, dtype=np.int16).reshape(20, 20, 20), tmp_path / "a.nii")
    content = path.read_bytes()
    joined = tmp_path / "b.nii.gz"
    joined.write_bytes(gzip.compress(content[:9000]) + gzip.compress(content[9000:]))
    assert look_at(joined, True).problem == ""


@pytest.mark.parametrize("fill", [0.0, 7.0, np.nan])
def test_constant_phase(tmp_path, fill):
    data = np.full((70, 70, 70), fill, np.float32)
    assert "the phase has" in look_at(write(data, tmp_path / "a.nii.gz"), True).problem
    data[-1, -1, -1] = 1.0  # the very last voxel
    assert bool(look_at(write(data, tmp_path / "b.nii.gz"), True).problem) == np.isnan(fill)
    data[0, 0, 0] = 2.0
    assert look_at(write(data, tmp_path / "c.nii"), True).problem == ""


def test_files_whose_content_was_not_fetched(dataset):
    dataset.megre("sub-01")
    phase(dataset, 1).unlink()
    phase(dataset, 1).symlink_to("../../.git/annex/objects/aa/bb/MD5E-s1--0.nii.gz")
    phase(dataset, 2).write_text("/annex/objects/MD5E-s123--abc.nii.gz\n")
    listed = problems(dataset)
    assert len(listed) == 2
    assert all("datalad get" in problem and "sub-01" in problem for problem in listed)


def test_zero_byte_datasets_are_refused_file_by_file(dataset):
    dataset.megre("sub-01")
    dataset.image("sub-01_T1w")
    for path in dataset.root.rglob("*.nii.gz"):
        path.write_bytes(b"")
    listed = problems(dataset)
    assert len(listed) == 5
    assert all("0 bytes" in problem for problem in listed)
    assert "--bids-filter-file" in listed[-1]


def test_output_directory(dataset):
    dataset.megre("sub-01")
    assert "BIDS directory itself" in problems(dataset, dataset.root)[0]
    assert "among the input data" in problems(dataset, dataset.root / "sub-01/out")[0]
    file = dataset.root.parent / "file"
    file.write_text("")
    assert "cannot be written" in problems(dataset, file / "out")[0]
    other = dataset.root.parent / "fmriprep"
    other.mkdir()
    (other / "dataset_description.json").write_text('{"GeneratedBy": [{"Name": "fMRIPrep"}]}')
    assert "another dataset" in problems(dataset, other)[0]


def test_nothing_to_do_is_told_with_what_is_there(dataset):
    fmap = dataset.root / "sub-01/fmap"
    fmap.mkdir(parents=True)
    (fmap / "sub-01_fieldmap.nii.gz").write_bytes(b"x")
    (problem,) = problems(dataset)
    assert "no gradient-echo phase" in problem
    assert "field map" in problem
    dataset.megre("sub-02")
    assert problems(dataset) == []
    assert "participant '01' has no" in problems(dataset, participants=["01", "02"])[0]


@pytest.fixture
def others(dataset):
    dataset.megre("sub-01_run-1")
    folder = dataset.root.parent / "other/sub-01/anat"
    folder.mkdir(parents=True)
    (run,) = find_subjects(dataset.root)[0].runs
    return run, folder


def mask(folder, name, shape=(3, 4, 5)):
    return write(np.ones(shape, np.uint8), folder / f"{name}_mask.nii.gz")


def test_a_given_mask_is_found_by_entities_and_grid(others):
    run, folder = others
    mask(folder, "sub-01_run-2_desc-brain")
    mask(folder, "sub-01_label-GM")
    mask(folder, "sub-01_run-1_desc-qsm")
    assert with_given_mask(run, [folder.parents[1]]).given_mask is None
    (folder.parent / "func").mkdir()
    mask(folder.parent / "func", "sub-01_desc-brain", (3, 4, 6))
    with_mask = with_given_mask(run, [folder.parents[1]])
    assert with_mask.given_mask is None
    assert "another grid" in with_mask.remarks[0]
    mask(folder, "sub-01_desc-lesion")
    mask(folder, "sub-01_desc-brainmask").rename(folder / "sub-01_brainmask.nii.gz")
    with_mask = with_given_mask(run, [folder.parents[1]])
    assert with_mask.given_mask is None, "a mask of lesions is none of the brain"
    reasons = dict(
        remark.split(" of --derivatives is not used as the brain mask: ") for remark in with_mask.remarks[1:]
    )
    assert reasons == {
        "sub-01_brainmask.nii.gz": "its name does not end with _mask",
        "sub-01_desc-lesion_mask.nii.gz": "it has desc-lesion; --mask-desc lesion uses it",
        "sub-01_run-2_desc-brain_mask.nii.gz": "its run-2 is not that of sub-01_run-1",
    }
    with_mask = with_given_mask(run, [folder.parents[1]], "lesion")
    assert with_mask.given_mask.path.name == "sub-01_desc-lesion_mask.nii.gz"
    assert "is used" in with_mask.remarks[0] and len(with_mask.remarks) == 1
    path = mask(folder, "sub-01_run-1_desc-brain")
    assert with_given_mask(run, [folder.parents[1]]).given_mask == GivenMask(path)
    stranger = replace(run, subject="02", entities=(("sub", "02"),))
    assert with_given_mask(stranger, [folder.parents[1]]).given_mask is None


@pytest.mark.parametrize(
    "sidecar",
    [{"SeriesDescription": "Pha_Images"}, {"SeriesDescription": "FILT_PHA: Ax SWAN"}, {"ImageType": ["P", "SWI"]}],
)
def test_phase_filtered_for_swi_is_refused_with_the_reason(dataset, sidecar):
    dataset.image("sub-01_part-phase_T2starw", EchoTime=0.02, MagneticFieldStrength=3, **sidecar)
    (problem,) = problems(dataset)
    assert problem.startswith("sub-01_part-phase_T2starw.nii.gz: the scanner filtered this phase for SWI")
    assert "correct these two fields" in problem


def test_unfiltered_phase_is_taken(dataset):
    for text in ("swi_unfiltered_phase", "gre_qsm"):
        name = f"sub-01_acq-{text[:3]}_part-phase_T2starw"
        dataset.image(name, EchoTime=0.02, MagneticFieldStrength=3, SeriesDescription=text, ImageType=["P", "ND"])
    assert problems(dataset) == []


def test_gaps_between_echoes_are_refused_unless_the_user_chose_echoes(dataset):
    dataset.megre("sub-01", echoes=3)
    for part in ("mag", "phase"):
        (dataset.root / f"sub-01/anat/sub-01_echo-2_part-{part}_MEGRE.nii.gz").unlink()
    (problem,) = problems(dataset)
    assert "echo 2 is missing" in problem and "--bids-filter-file" in problem
    chosen = find_subjects(dataset.root, filters={"gre": {"echo": [1, 3]}})
    assert preflight(chosen, dataset.root, dataset.root.parent / "out") == []
    assert chosen[0].runs[0].facts()["echo_numbers"] == [1, 3]


def one_file_per_coil(dataset, coils=("9", "10", "11")):
    for echo in (1, 2):
        for part in ("mag", "phase"):
            sidecar = {"EchoTime": 0.005 * echo, "MagneticFieldStrength": 3}
            for number, coil in enumerate(coils):
                image = np.arange(60, dtype=np.int16).reshape(3, 4, 5) + 100 * number
                dataset.image(f"sub-01_coil-{coil}_echo-{echo}_part-{part}_MEGRE", image, **sidecar)


def test_one_file_per_coil_is_combined_on_request(dataset):
    one_file_per_coil(dataset)
    (problem,) = problems(dataset)
    assert "single receive coils (coil- in their names); --set field.coils=combine" in problem
    assert coil_problems(dataset) == []
    (run,) = with_coils(find_subjects(dataset.root))[0].runs
    assert (run.coils, run.volumes, run.basename) == (3, 1, "sub-01")
    assert [path.name.split("_")[1] for path in run.echoes[1].files("phase")] == ["coil-9", "coil-10", "coil-11"]
    assert len(echo_files(run)) == 12
    phase, _ = list(_Stored(run)())[2]
    first, _ = next(iter(_Stored(run)()))
    assert phase.shape == (2, 3, 4, 5) and float(phase.mean()) > float(first.mean())


def test_a_coil_that_is_missing_from_one_echo_is_named(dataset):
    one_file_per_coil(dataset)
    (dataset.root / "sub-01/anat/sub-01_coil-10_echo-2_part-mag_MEGRE.nii.gz").unlink()
    (problem,) = coil_problems(dataset)
    assert problem.startswith("sub-01_coil-9_echo-2_part-mag_MEGRE.nii.gz: the coils differ") and "(10)" in problem


def test_coil_files_on_another_grid_are_named(dataset):
    one_file_per_coil(dataset)
    dataset.image("sub-01_coil-11_echo-1_part-mag_MEGRE", np.arange(48, dtype=np.int16).reshape(3, 4, 4))
    assert any("sub-01_coil-11_echo-1_part-mag_MEGRE" in problem for problem in coil_problems(dataset))
