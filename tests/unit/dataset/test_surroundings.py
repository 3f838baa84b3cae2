"""What lies around the data, other encodings and last digits change nothing of what the data are."""

import json
import os
import shutil

import pytest

from bids_app.adapters.existing import find
from bids_app.dataset.checks import preflight, without_magnitudes_alone
from bids_app.dataset.expected import planned
from bids_app.dataset.query import find_subjects, matches, misnamed_folders
from bids_app.derivatives.presence import absence, is_system_file
from bids_app.errors import InputRefusedError
from bids_app.model.naming import run_entities


def problems(dataset):
    return preflight(find_subjects(dataset.root), dataset.root, dataset.root.parent / "out")


def sidecar(dataset, echo, part="phase", label="01"):
    return dataset.root / f"sub-{label}/anat/sub-{label}_echo-{echo}_part-{part}_MEGRE.json"


@pytest.mark.parametrize("parent", ["sub-77", "echo-2", "ses-9", "part-mag", "run-3", "acq-x_T1w"])
def test_folders_above_the_dataset_say_nothing(dataset, parent):
    dataset.megre("sub-01")
    dataset.image("sub-01_T1w")
    before = find_subjects(dataset.root)
    other = dataset.root.parent / parent / "bids"
    shutil.copytree(dataset.root, other)
    subjects = find_subjects(other)
    assert [run.entities for s in subjects for run in s.runs] == [run.entities for s in before for run in s.runs]
    assert [e.number for e in subjects[0].runs[0].echoes] == [1, 2] and subjects[0].t1w[0].subject == "01"
    assert preflight(subjects, other, dataset.root.parent / "out") == []


def test_folders_above_a_segmentation_say_nothing(tmp_path):
    folder = tmp_path / "sub-77" / "ses-9" / "derivatives" / "sub-01"
    folder.mkdir(parents=True)
    image = folder / "labels_dseg.nii.gz"
    image.write_bytes(b"x")
    for wanted in ({"sub": "01"}, {"sub": "01", "ses": "1"}):
        assert find("*_dseg.nii.gz", [folder.parents[0]], wanted) == image
    assert find("*_dseg.nii.gz", [folder.parents[0]], {"sub": "77"}) is None


def test_participants_in_capital_letters_are_not_lost_silently(dataset):
    dataset.megre("sub-01")
    (dataset.root / "SUB-02").mkdir()
    (dataset.root / "subjects").mkdir()
    (sentence,) = misnamed_folders(dataset.root)
    assert sentence.startswith("SUB-02: is left out")


def test_a_name_with_two_values_in_a_sidecar(dataset):
    dataset.megre("sub-01")
    path = sidecar(dataset, 2)
    path.write_text('{"EchoTime": 0.01, "EchoTime": 0.01}')
    assert problems(dataset) == []
    path.write_text('{"EchoTime": 0.5, "EchoTime": 0.01}')
    with pytest.raises(InputRefusedError) as refused:
        problems(dataset)
    problem = str(refused.value)
    assert "echo-2_part-phase_MEGRE.json" in problem and "'EchoTime' has the values '0.5' and '0.01'" in problem


def test_files_of_operating_systems_are_ignored(dataset):
    dataset.megre("sub-01")
    anat = dataset.root / "sub-01" / "anat"
    for name in ("._sub-01_echo-1_part-phase_MEGRE.nii.gz", "._sub-01_echo-1_part-phase_MEGRE.json", ".DS_Store"):
        (anat / name).write_bytes(b"\x00\x05\x16\x07")
    (dataset.root / "._MEGRE.json").write_bytes(b"\x00\x05")
    assert problems(dataset) == []
    assert [run.basename for run in planned(dataset.root).runs] == ["sub-01"]
    assert all(map(is_system_file, ("._a.dcm", "Thumbs.db", "__MACOSX", "desktop.ini"))) and not is_system_file(
        "IM_0001"
    )


def annex_link(path):
    path.unlink()
    path.symlink_to("../../.git/annex/objects/x/y/z.json")


def dead_link(path):
    path.unlink()
    path.symlink_to("elsewhere.json")


def looped_link(path):
    path.unlink()
    path.symlink_to(path.name)


def annex_pointer(path):
    path.write_text("/annex/objects/MD5E-s35--d41d8cd98f00b204e9800998ecf8427e.json\n")


def lfs_pointer(path):
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n")


def pipe(path):
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (annex_link, "datalad get"),
        (dead_link, "is a link to elsewhere.json, which is not there"),
        (looped_link, "which is not there"),
        (annex_pointer, "datalad get"),
        (lfs_pointer, "git lfs pull"),
        (pipe, "is no regular file"),
        (lambda path: path.write_bytes(b""), "0 bytes"),
        (lambda path: path.write_text("{"), "cannot be read as JSON"),
        (lambda path: path.write_text("[1]"), "no JSON object"),
        (lambda path: path.write_text("[" * 100_000), "cannot be read as JSON"),
    ],
)
def test_every_sidecar_that_cannot_be_read_is_named_at_once(dataset, change, says):
    for label in ("01", "02"):
        dataset.megre(f"sub-{label}")
        change(sidecar(dataset, 2, label=label))
    with pytest.raises(InputRefusedError) as caught:
        find_subjects(dataset.root)
    assert len(caught.value.problems) == 2
    for label, problem in zip(("01", "02"), caught.value.problems, strict=True):
        assert problem.startswith(f"sub-{label}/anat/sub-{label}_echo-2_part-phase_MEGRE.json: ") and says in problem


@pytest.mark.parametrize(
    ("encoding", "note"), [("utf-8", ""), ("utf-8-sig", ""), ("latin-1", "Latin-1"), ("utf-16", "UTF-16")]
)
def test_encodings_of_sidecars(dataset, encoding, note):
    dataset.megre("sub-01")
    path = sidecar(dataset, 2)
    content = json.loads(path.read_text()) | {"InstitutionName": "H\xf4pital"}
    path.write_bytes(json.dumps(content, ensure_ascii=False).encode(encoding))
    (run,) = find_subjects(dataset.root)[0].runs
    assert run.echoes[1].metadata["InstitutionName"] == "H\xf4pital"
    assert (note in " ".join(run.remarks)) if note else run.remarks == ()
    assert problems(dataset) == []


@pytest.mark.parametrize(("first", "second", "good"), [(3, 3.0, True), (3.0, 3.0005, True), (2.89, 3, False)])
def test_field_strengths_are_numbers(dataset, first, second, good):
    dataset.megre("sub-01", MagneticFieldStrength=first)
    content = json.loads(sidecar(dataset, 2).read_text()) | {"MagneticFieldStrength": second}
    sidecar(dataset, 2).write_text(json.dumps(content))
    assert (problems(dataset) == []) is good


@pytest.mark.parametrize(("difference", "good"), [(4e-6, True), (9.9e-6, True), (5e-5, False)])
def test_echo_times_within_the_conversions_tolerance_are_one(dataset, difference, good):
    dataset.megre("sub-01")
    sidecar(dataset, 2, "mag").write_text(json.dumps({"EchoTime": 0.01 + difference}))
    assert (problems(dataset) == []) is good


def test_echoes_that_differ_by_less_than_the_tolerance_are_the_same(dataset):
    dataset.megre("sub-01")
    for part in ("mag", "phase"):
        sidecar(dataset, 2, part).write_text('{"EchoTime": 0.005004}')
    assert "two echoes have the same EchoTime" in problems(dataset)[0]


@pytest.mark.parametrize("value", ["0.01", [0.005, 0.01], -1, 0, True, 10**400, 1e-9])
def test_the_value_found_is_in_the_sentence(dataset, value):
    dataset.megre("sub-01")
    for part in ("mag", "phase"):
        sidecar(dataset, 2, part).write_text(json.dumps({"EchoTime": value}))
    listed = problems(dataset)
    assert len(listed) == 1 and listed[0].startswith("sub-01_echo-2_part-phase_MEGRE.nii.gz: EchoTime"), listed
    assert (repr(value) if value != 10**400 else "inf") in listed[0] or str(value) in listed[0]


def test_a_missing_echo_time_is_the_phases(dataset):
    dataset.megre("sub-01")
    sidecar(dataset, 2).write_text("{}")
    (problem,) = problems(dataset)
    assert problem.startswith("sub-01_echo-2_part-phase_MEGRE.nii.gz: no EchoTime")


def test_one_image_plain_and_compressed(dataset):
    dataset.megre("sub-01")
    image = dataset.root / "sub-01/anat/sub-01_echo-1_part-mag_MEGRE.nii.gz"
    import gzip

    plain = image.with_name(image.name.removesuffix(".gz"))
    plain.write_bytes(gzip.decompress(image.read_bytes()))
    (problem,) = problems(dataset)
    assert "are one image, plain and compressed" in problem
    plain.replace(image)
    (problem,) = problems(dataset)
    assert "is not compressed, though its name ends with .gz" in problem


def test_a_large_echo_number_costs_nothing(dataset):
    dataset.megre("sub-01")
    dataset.image("sub-01_echo-99999999_part-phase_MEGRE", EchoTime=0.02)
    dataset.image("sub-01_echo-99999999_part-mag_MEGRE", EchoTime=0.02)
    (problem,) = problems(dataset)
    assert "echo 3, 4, 5" in problem and "and 99999986 more is missing" in problem


def test_absent_or_one_of_several_in_a_filter():
    assert matches({}, {"run": [1, None]}) and matches({"run": 1}, {"run": [1, None]})
    assert not matches({"run": 2}, {"run": [1, None]})


def test_all_levels_name_a_run_alike(dataset):
    """Entities in another order, and entities that the app does not know."""
    names = ("sub-01_run-1_rec-x", "sub-01_mt-off", "sub-01_zz-2_acq-b")
    for name in names:
        dataset.image(f"{name}_echo-1_part-phase_MEGRE", EchoTime=0.01)
    wanted = ["sub-01_acq-b_zz-2", "sub-01_mt-off", "sub-01_rec-x_run-1"]
    assert sorted(run.basename for run in find_subjects(dataset.root)[0].runs) == wanted
    assert [run.basename for run in planned(dataset.root).runs] == wanted
    assert run_entities("sub-1_coil-3_echo-2_part-mag_MEGRE.nii") == (("sub", "1"),)


def test_absence_of_a_readable_file_is_nothing(tmp_path):
    (tmp_path / "a").write_text("x")
    assert absence(tmp_path / "a") == ""


def test_images_that_no_step_needs_stop_nobody(dataset):
    dataset.megre("sub-01")
    dataset.megre("sub-01_acq-mag", parts=("mag",))
    dataset.megre("sub-02", parts=("mag",))
    dataset.image("sub-01_T1w").write_bytes(b"")
    kept, skipped = without_magnitudes_alone(find_subjects(dataset.root))
    assert [run.basename for subject in kept for run in subject.runs] == ["sub-01"]
    assert [line.partition(":")[0] for line in skipped] == ["sub-01_acq-mag", "sub-02"]
    assert len(preflight(kept, dataset.root, dataset.root.parent / "out")) == 1
    assert preflight(kept, dataset.root, dataset.root.parent / "out", needs_t1w=False) == []
    alone = [subject for subject in find_subjects(dataset.root) if subject.label == "02"]
    assert without_magnitudes_alone(alone) == (tuple(alone), [])  # the refusal says what is missing


def test_products_of_runs_with_unknown_entities_have_names():
    from bids_app.derivatives.names import spell

    entities = {"sub": "01", "mt": "off", "zz": "2", "acq": "b", "desc": "brain"}
    assert spell(entities, "mask", ".nii.gz") == "sub-01_acq-b_mt-off_zz-2_desc-brain_mask.nii.gz"


def test_commands_that_a_sentence_gives_can_be_copied(tmp_path):
    folder = tmp_path / "R&D (1)"
    folder.mkdir()
    link = folder / "x.nii.gz"
    link.symlink_to("../.git/annex/objects/x")
    assert absence(link).endswith(f"datalad get '{link}'")
