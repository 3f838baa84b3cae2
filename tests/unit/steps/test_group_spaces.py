"""Steps in the template's space, on small images whose maps of space are known: nothing is registered here."""

from types import SimpleNamespace

import numpy as np
import pytest

from bids_app.derivatives.files import read_image, write_image, write_table
from bids_app.errors import QsmAppError
from bids_app.group import warps
from bids_app.model.group_run import GroupRun
from bids_app.model.step import StepInput
from bids_app.model.template import (
    ManualSegmentation,
    ManualSegmentationRun,
    NormalizedRun,
    Registration,
    Space,
    TemplateSubject,
    Voxelwise,
)
from bids_app.steps.group.fit import judge
from bids_app.steps.group.manual_segmentation import measure, take_over
from bids_app.steps.group.voxelwise import fit

SHAPE, GRID = (24, 26, 22), np.diag([3.0, 3, 3, 1])
NATIVE_SHAPE, NATIVE = (30, 28, 32), np.array([[2.5, 0, 0, 3], [0, 2.4, -0.4, 4], [0, 0.4, 2.4, -3], [0, 0, 0, 1]])


def settings(**sections):
    return SimpleNamespace(**{name: SimpleNamespace(choice=SimpleNamespace(**c)) for name, c in sections.items()})


def run_of(number):
    run = GroupRun((("sub", f"{number:02d}"),), ("chimap", "mask_qsm"))
    member = TemplateSubject(run.subject, (run,))
    return NormalizedRun(run, Registration(member, None, "final", "tostudy"), "study")


@pytest.fixture
def segmented(tmp_path):
    """Two balls drawn on the template, a warp of up to 5 mm with a turned and shifted head behind it."""
    x, y, z = np.meshgrid(*(3.0 * np.arange(n) for n in SHAPE), indexing="ij")
    labels = np.zeros(SHAPE, np.int16)
    labels[(x - 28) ** 2 + (y - 40) ** 2 + (z - 30) ** 2 < 11**2] = 1
    labels[(x - 48) ** 2 + (y - 40) ** 2 + (z - 36) ** 2 < 8**2] = 4
    write_image(tmp_path / "manual.nii.gz", labels, GRID, "int16")
    write_table(
        tmp_path / "manual.tsv",
        [{"index": 1, "name": "big", "hemisphere": "n/a"}, {"index": 4, "name": "small", "hemisphere": "L"}],
    )
    bend = np.stack([3 * np.sin(y / 20) + 2, 5 * np.sin(z / 25), -3 * np.cos(x / 22)], -1).astype(np.float32)
    lps = (bend * np.array([-1, -1, 1], np.float32))[:, :, :, None, :]
    write_image(tmp_path / "warp.nii.gz", lps, GRID, "float32")
    turn = np.eye(4)
    turn[:2, :2] = [[0.995, -0.0998], [0.0998, 0.995]]
    turn[:3, 3] = [4, -3, 2]
    warps.write_linear(tmp_path / "pose.txt", turn)
    # The run's own map: what the template shows, pulled through the same maps by brute force.
    forward = [warps.read_map(tmp_path / "warp.nii.gz"), warps.read_map(tmp_path / "pose.txt")]
    return tmp_path, labels, forward


def native_map(labels, forward):
    """Return the map that is 0.1 and 0.3 where the head has the balls: every native voxel looks for its own point."""
    fine = np.diag([1.0, 1, 1, 1])
    shape = [3 * n for n in SHAPE]
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).reshape(-1, 3).astype(float)
    values = warps.resample(labels.astype(np.int32), GRID, shape, fine, [], order=0).reshape(-1)
    points = index[values > 0]
    for mapping in forward:
        points = mapping(points)
    voxels = np.rint(warps.Linear(np.linalg.inv(NATIVE))(points)).astype(int)
    total = np.zeros((2, *NATIVE_SHAPE))
    inside = ((voxels >= 0) & (voxels < NATIVE_SHAPE)).all(axis=1)
    for number, label in enumerate((1, 4)):
        chosen = voxels[inside & (values[values > 0] == label)]
        np.add.at(total[number], tuple(chosen.T), 1)
    truth = np.where(total.max(axis=0) >= 0.5 * 2.5 * 2.43**2, np.where(total[1] > total[0], 4, 1), 0)
    return truth, np.select([truth == 1, truth == 4], [0.1, 0.3], 0.0).astype(np.float32)


def test_manual_labels_come_to_the_run_and_are_measured_in_both_spaces(segmented):
    folder, labels, forward = segmented
    truth, chi = native_map(labels, forward)
    assert (truth > 0).sum() > 300
    write_image(folder / "chi.nii.gz", chi, NATIVE, "float32")
    write_image(folder / "mask.nii.gz", np.ones(NATIVE_SHAPE), NATIVE, "uint8")
    write_image(folder / "space_chi.nii.gz", warps.resample(chi, NATIVE, SHAPE, GRID, forward), GRID, "float32")
    write_image(folder / "space_mask.nii.gz", np.ones(SHAPE), GRID, "uint8")
    record = ManualSegmentationRun(run_of(1), ManualSegmentation("mine", folder / "manual.nii.gz", None, "study", None))
    names = {
        "segmentation": "manual",
        "chimap": "chi",
        "mask": "mask",
        "space_chimap": "space_chi",
        "space_mask": "space_mask",
    }
    inputs = {name: folder / f"{file}.nii.gz" for name, file in names.items()}
    inputs |= {"warp": folder / "warp.nii.gz", "pose": folder / "pose.txt"}
    result = measure(StepInput(record, settings(regions={"erosion": 0}), inputs, folder, 1))
    native = result.outputs["dseg_manual_gre@mine"].data
    for label in (1, 4):
        both = ((native == label) & (truth == label)).sum()
        assert 2 * both / ((native == label).sum() + (truth == label).sum()) > 0.93
    rows = result.outputs["regions_manual@mine"].rows
    assert [(row["space"], row["index"]) for row in rows] == [
        ("native", 1),
        ("native", 4),
        ("template", 1),
        ("template", 4),
    ]
    for row in rows:
        expected = {1: 0.1, 4: 0.3}[row["index"]]
        # The template's map is interpolated: its small ball is blurred.
        assert row["chi_median"] == pytest.approx(expected, rel=1e-5 if row["space"] == "native" else 0.05)
    assert not result.warnings


def test_a_segmentation_on_another_grid_is_refused_where_the_template_is_made_meanwhile(segmented):
    folder = segmented[0]
    write_image(folder / "template.nii.gz", np.ones(SHAPE), GRID + np.eye(4, k=3) * 2, "float32")
    record = ManualSegmentation("mine", folder / "manual.nii.gz", None, "study", None)
    inputs = {"image": folder / "manual.nii.gz", "grid": folder / "template.nii.gz"}
    with pytest.raises(QsmAppError, match="does not lie on the template's grid"):
        take_over(StepInput(record, settings(), inputs, folder, 1))


def test_inverse_maps_undo_the_maps(segmented):
    _, _, forward = segmented
    points = np.random.default_rng(1).uniform(15, 50, (200, 3))
    moved = points
    for mapping in forward:
        moved = mapping(moved)
    for mapping in reversed(forward):
        moved = warps.inverted(mapping)(moved)
    assert np.abs(moved - points).max() < 0.01


def test_a_run_that_does_not_lie_on_the_others_is_flagged(tmp_path):
    rng = np.random.default_rng(8)
    runs = tuple(run_of(n) for n in range(1, 8))
    x, y, z = (np.indices(SHAPE).T / np.array(SHAPE) * 2 - 1).T
    head = x**2 + y**2 + z**2 < 0.7
    texture = head * (2 + np.sin(9 * x) + np.sin(8 * y + 3 * z))
    inputs = {"mask_group": tmp_path / "group.nii.gz"}
    write_image(inputs["mask_group"], head, GRID, "uint8")
    for number, run in enumerate(runs):
        shift = 4 if number == 6 else number % 2  # the last one is 12 mm off
        image = (100 + 50 * number) * np.roll(texture, shift, 0) + rng.normal(0, 5 + number, SHAPE)
        for key, data in (("magnitude", image), ("mask", np.roll(head, shift, 0))):
            inputs[f"{key}@{run.basename}"] = tmp_path / f"{run.basename}_{key}.nii.gz"
            write_image(inputs[f"{key}@{run.basename}"], data, GRID, "float32")
    result = judge(StepInput(Space("study", runs), settings(statistics={"outlier_z": 3.5}), inputs, tmp_path, 1))
    rows = result.outputs["registrations"].rows
    assert [row["flagged"] for row in rows] == [False] * 6 + [True]
    assert rows[0]["correlation"] > 0.7 > rows[6]["correlation"] + 0.2
    assert any(text.startswith("sub-07") and "it stays in all averages" in text for text in result.warnings)
    few = judge(StepInput(Space("study", runs[4:]), settings(statistics={"outlier_z": 3.5}), inputs, tmp_path, 1))
    assert [row["correlation_z"] for row in few.outputs["registrations"].rows] == [None] * 3


@pytest.fixture
def voxels(tmp_path):
    """Ten participants; a cube that rises with age, one voxel that the last one lacks."""
    rng, ages = np.random.default_rng(5), np.linspace(20, 80, 10)
    runs = tuple(run_of(n) for n in range(1, 11))
    lines = ["participant_id\tage\tsex"] + [f"sub-{n:02d}\t{age:.1f}\t{'FM'[n % 2]}" for n, age in enumerate(ages, 1)]
    (tmp_path / "participants.tsv").write_text("\n".join(lines) + "\n")
    inputs = {"participants": tmp_path / "participants.tsv", "mask_group": tmp_path / "group.nii.gz"}
    group = np.zeros(SHAPE)
    group[4:20, 4:20, 4:18] = 1
    write_image(inputs["mask_group"], group, GRID, "uint8")
    for run, age in zip(runs, ages, strict=True):
        chi = rng.normal(0, 0.01, SHAPE)
        chi[8:12, 8:12, 8:12] += 0.002 * age
        mask = np.ones(SHAPE)
        mask[5, 5, 5] = run is not runs[-1]
        for key, data in (("chimap", chi), ("mask", mask)):
            inputs[f"{key}@{run.basename}"] = tmp_path / f"{run.basename}_{key}.nii.gz"
            write_image(inputs[f"{key}@{run.basename}"], data, GRID, "float32")
    record = Voxelwise(Space("study", runs), inputs["participants"])
    choices = {"smoothing": 0.0, "permutations": 0, "seed": 1, "fdr": 0.05, "fwe": 0.05}
    return record, inputs, choices, tmp_path


def run_fit(voxels, formula="chi ~ age + sex", **changed):
    record, inputs, choices, folder = voxels
    changed_settings = settings(voxelwise=choices | changed, statistics={"model": formula, "small_groups": False})
    return fit(StepInput(record, changed_settings, inputs, folder, 1))


def test_the_voxels_that_rise_with_age_are_found(voxels):
    result = run_fit(voxels, permutations=99)
    age = next(row for row in result.outputs["voxelwise"].rows if row["term"] == "age")
    assert (age["participants"], age["df"], age["fwe_method"]) == (10, 7, "permutation")
    tested = result.outputs["mask_voxelwise"].data
    assert age["voxels"] == tested.sum() == 16 * 16 * 14 - 1  # one participant lacks a voxel
    effect = result.outputs["stat_effect@age"].data[8:12, 8:12, 8:12]
    assert effect.mean() == pytest.approx(0.002, rel=0.05)
    significant = result.outputs["stat_fdr@age"].data != 0
    assert significant[8:12, 8:12, 8:12].all()
    significant[8:12, 8:12, 8:12] = False
    assert significant.sum() <= 8
    listed = [row for row in result.outputs["voxelwise_clusters"].rows if row["term"] == "age"]
    assert listed[0]["voxels"] >= 60
    sex = [row for row in result.outputs["voxelwise"].rows if row["term"] == "sex[T.M]"]
    assert sex[0]["fwe_voxels"] == 0
    assert [r["cluster"] for r in result.outputs["voxelwise_clusters"].rows if r["contrast"] == "sex"] == [0, 0]


def test_in_maps_without_any_effect_nothing_is_found(voxels):
    """Neither by the rate of false discoveries nor by that of any, over all voxels; with and without permutations."""
    _, inputs, _, _ = voxels
    rng = np.random.default_rng(11)
    for name in [name for name in inputs if name.startswith("chimap@")]:
        write_image(inputs[name], rng.normal(0, 0.01, SHAPE), GRID, "float32")
    for permutations in (0, 99):
        result = run_fit(voxels, permutations=permutations)
        for row in result.outputs["voxelwise"].rows:
            assert (row["fdr_voxels"], row["fwe_voxels"]) == (0, 0)
        assert [r["cluster"] for r in result.outputs["voxelwise_clusters"].rows] == [0] * 4


def test_why_no_model_can_be_fitted_is_said(voxels):
    with pytest.raises(QsmAppError, match=r'"chi ~ weight" cannot be fitted to voxels: .*weight'):
        run_fit(voxels, "chi ~ weight")
    with pytest.raises(QsmAppError, match="needs a map of r2star of everybody; sub-01"):
        run_fit(voxels, "r2star ~ age")


def test_somebody_with_a_small_mask_is_named(voxels):
    record, inputs, _, _ = voxels
    path = inputs[f"mask@{record.space.runs[3].basename}"]
    mask = read_image(path)[0]
    mask[:, :10] = 0
    write_image(path, mask, GRID, "uint8")
    result = run_fit(voxels)
    assert any("sub-04 lacks most" in text for text in result.warnings)
    assert any("permutations" in text for text in run_fit(voxels, permutations=5).warnings)
