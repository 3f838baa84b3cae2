"""The template: maps of space, mean shape, overlap, and the order of its stages."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bids_app.cli.config import from_arguments
from bids_app.cli.options import build_parser
from bids_app.dataset.template import template_files
from bids_app.engine import levels
from bids_app.engine.graph import of_stage
from bids_app.errors import UsageError
from bids_app.group import template, warps
from bids_app.model.cohort import Cohort
from bids_app.model.group_run import GroupRun
from tests.unit.engine.fake_steps import REPORT

SHAPE = (20, 22, 18)


def grid(step=2.0):
    affine = np.diag([step, step, step, 1.0])
    affine[:3, 3] = -19, -21, -17
    return affine


def points(affine=None):
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1).astype(float)
    return warps.Linear(grid() if affine is None else affine)(index)


def smooth_field(amplitude=2.0):
    x, y, z = np.moveaxis(points(), -1, 0)
    move = np.stack([np.sin(y / 9), np.cos(z / 8), np.sin(x / 10)], -1) * amplitude
    return warps.Field(move.astype(np.float32), grid())


def shift(*mm):
    matrix = np.eye(4)
    matrix[:3, 3] = mm
    return warps.Linear(matrix)


def test_itk_files_come_back_as_they_were(tmp_path):
    rng = np.random.default_rng(0)
    matrix = np.eye(4)
    matrix[:3] += 0.1 * rng.normal(size=(3, 4))
    assert np.allclose(warps.read_linear(warps.write_linear(tmp_path / "x.txt", matrix)), matrix, atol=1e-14)


def test_a_linear_map_agrees_with_itk(tmp_path):
    ants = pytest.importorskip("ants")
    matrix = np.eye(4)
    matrix[:3] += 0.1 * np.arange(12).reshape(3, 4)
    path = warps.write_linear(tmp_path / "x.txt", matrix)
    point = np.array([3.0, -5.0, 7.0])
    flip = np.array([-1, -1, 1])  # ITK's points are in LPS
    theirs = np.array(ants.apply_ants_transform_to_point(ants.read_transform(str(path)), list(point * flip))) * flip
    assert np.allclose(warps.Linear(matrix)(point), theirs, atol=1e-5)


def test_an_image_moves_by_what_the_map_says():
    x, y, z = np.moveaxis(points(), -1, 0)
    image = (x + 2 * y - z).astype(np.float32)
    seen = warps.resample(image, grid(), SHAPE, grid(), [shift(1, 0, 0), shift(0, 2, 0)])
    inner = (slice(2, -2),) * 3
    assert np.allclose(seen[inner], (image + 1 + 4)[inner], atol=1e-4)
    assert seen[-1].max() == 0  # outside the image there is nothing


def test_the_inverse_of_a_field_undoes_it():
    field = smooth_field()
    back = warps.inverse(field)
    residual = field(back(points())) - points()
    assert np.abs(residual[3:-3, 3:-3, 3:-3]).max() < 0.02


def turned(degrees, axis=0):
    angle, (i, j) = np.deg2rad(degrees), [k for k in range(3) if k != axis]
    matrix = np.eye(4)
    matrix[[i, i, j, j], [i, j, i, j]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
    return matrix


def test_after_the_update_the_mean_map_is_a_shift():
    """That is what mean shape says, of fields and of linear maps; where the members lie is no part of it."""
    fields = [smooth_field(1.5), warps.Field(smooth_field().displacement[::-1] + np.float32([90, 0, -40]), grid())]
    update = template.shape_update(fields)
    flat = points()[::2, ::2, ::2].reshape(-1, 3)
    turns = [Rotation.align_vectors(m - m.mean(axis=0), flat - flat.mean(axis=0))[0] for m in (f(flat) for f in fields)]
    shapes = [turn.inv().apply(field(update(flat))) for turn, field in zip(turns, fields, strict=True)]
    moved = (sum(shapes) / 2 - flat).reshape(10, 11, 9, 3)[2:-2, 2:-2, 2:-2].reshape(-1, 3)
    assert np.ptp(moved, axis=0).max() < 0.1
    before = sum(t.inv().apply(field(flat)) for t, field in zip(turns, fields, strict=True)) / 2 - flat
    assert np.ptp(before, axis=0).max() > 2
    assert np.abs(np.mean(update(flat) - flat, axis=0)).max() < 0.1  # the template stays where its grid is


def test_linear_maps_scale_about_the_origin_wherever_the_heads_lie():
    wide, narrow = np.diag([1.1, 1, 1, 1]), np.diag([0.9, 1.2, 1, 1])
    wide[:3, 3], narrow[:3, 3] = (90, -80, 70), (100, -60, 90)
    update = template.shape_update([warps.Linear(wide), warps.Linear(narrow)])
    assert np.allclose(update.matrix, np.diag([1, 1 / 1.1, 1, 1]))


@pytest.mark.parametrize("as_field", [False, True])
def test_heads_that_are_turned_do_not_shrink_the_template(as_field):
    """The mean of turns by 20 and -20 degrees would be a scaling by cos(20)."""
    maps = []
    for degrees in (20, -20):
        rotation = warps.Linear(shift(90, 30, 0).matrix @ turned(degrees))
        maps.append(warps.Field(warps.displacement(SHAPE, grid(), [rotation]), grid()) if as_field else rotation)
    update = template.shape_update(maps)
    assert np.abs(update(points()) - points()).max() < 0.01


def test_iterations_of_averages_stay_on_their_grid():
    """Registration is perfect here: each member's map is known. 90 mm off the origin, and turned."""
    rng = np.random.default_rng(5)
    members = []
    for side in (1, -1, 1):
        matrix = turned(8 * side, 1) @ np.diag([*(1 + 0.06 * rng.normal(size=3)), 1])
        matrix[:3, 3] = 90 * side, -90, 60 + 3 * side
        members.append(matrix)
    place = np.eye(4)  # from the last average to what the first one showed
    for _ in range(5):
        maps = [warps.Linear(matrix @ place) for matrix in members]
        place = place @ template.shape_update(maps).matrix
    assert np.allclose(place[:3, 3], 0, atol=1e-9)
    mean = np.mean([template.rotation_of((m @ place)[:3, :3]).T @ (m @ place)[:3, :3] for m in members], axis=0)
    assert np.allclose(mean, np.eye(3), atol=1e-3)


def test_sessions_meet_half_way_on_the_first_ones_grid():
    first, second = np.eye(4), shift(61, -3, 0).matrix @ turned(10, 2)
    centre = np.array([5.0, -8.0, 20.0])
    back = template.mean_pose([first, second], centre, grid())
    poses = [first @ back, second @ back]
    angles = [np.rad2deg(np.arctan2(pose[1, 0], pose[0, 0])) for pose in poses]
    assert angles == pytest.approx([-5, 5])
    moved = np.linalg.inv(back) @ [*centre, 1]
    assert np.abs(moved[:3] - centre).max() <= 1  # half a voxel


def test_overlap_is_that_of_all_pairs():
    rng = np.random.default_rng(1)
    members = [rng.integers(0, 4, SHAPE) for _ in range(4)]
    counts = template.Labels(SHAPE)
    for labels in members:
        counts.add(labels)
    both = size = 0
    for i in range(4):
        for j in range(i):
            both += sum(((members[i] == k) & (members[j] == k)).sum() for k in (1, 2, 3))
            size += (members[i] > 0).sum() + (members[j] > 0).sum()
    assert counts.overlap() == pytest.approx(2 * both / size)
    votes = np.stack([[(m == k) for k in range(4)] for m in members]).sum(axis=0)
    fused = counts.majority()
    sure = votes[1:].max(axis=0) > 2
    assert np.array_equal(fused[sure], votes.argmax(axis=0)[sure])
    assert (fused[votes[0] >= 3] == 0).all()


def test_a_sharper_average_has_more_gradient_energy():
    rng = np.random.default_rng(2)
    noise = rng.normal(size=SHAPE).astype(np.float32)
    soft, _ = template.mean_image([noise, np.roll(noise, 1, 0)])
    assert template.sharpness(soft, 2.0) < template.sharpness(noise, 2.0)
    raised = template.sharpen(soft, 1.0)
    assert template.sharpness(raised, 2.0) > template.sharpness(soft, 2.0)


@pytest.fixture
def config(tmp_path):
    return from_arguments(build_parser().parse_args([str(tmp_path / "in"), str(tmp_path / "out"), "group"]))


def group_jobs(cohort, config):
    return levels.group_jobs(cohort, config.settings, config.context, REPORT)


def cohort(count=3):
    return Cohort(tuple(GroupRun((("sub", f"{n:02d}"),), ("chimap", "magnitude")) for n in range(count)))


def test_jobs_wait_for_what_they_read_and_the_tables_for_none(config):
    jobs = group_jobs(cohort(), config)
    order = list(dict.fromkeys(job.stage for job in jobs))
    registered = [f"{kind}-{n}" for n in range(1, 6) for kind in ("register", "average")]
    assert order == [
        "tables",
        "subjects",
        "average-0",
        *registered,
        "register-template",
        "maps",
        "average-maps",
        "report",
    ]
    of = {stage: [job.name for job in jobs if job.stage == stage] for stage in order}
    after = {job.name: set(job.after) for job in jobs}
    assert all(not job.after for job in jobs if job.stage in ("tables", "subjects"))
    assert after["tpl-study_iteration0"] == set(of["subjects"])
    assert after["sub-01_iteration1"] == {"sub-01_subject", "tpl-study_iteration0"}
    # From the last linear map on, brought to the mean shape of that iteration.
    assert after["sub-01_iteration2"] == {"sub-01_subject", "sub-01_iteration1", "tpl-study_iteration1"}
    assert after["tpl-study_iteration2"] == {*of["register-2"], *of["subjects"], "tpl-study_iteration1"}
    assert after["tpl-study_single"] == {f"sub-{n:02d}_single" for n in range(3)} | set(of["subjects"]) | {
        "tpl-study_iteration0"
    }
    assert after["sub-02_tostudy"] >= {"sub-02_subject", "tpl-study_iteration5"}
    assert after["sub-02_template"] == {"sub-02_tostudy", "sub-02_subject", "tpl-study_iteration5"}
    assert after["tpl-study_maps"] >= set(of["maps"])
    assert set(jobs[-1].after) == {job.name for job in jobs[:-1]}  # the page shows all
    assert len(of["register-3"]) == 3
    # Beside the first round: what one affine registration of each would give.
    assert of["average-1"] == ["tpl-study_iteration1", "tpl-study_single"]
    assert of["register-1"] == [f"sub-{n:02d}_{label}" for label in ("iteration1", "single") for n in range(3)]
    assert len({job.name for job in jobs}) == len(jobs)


def test_the_average_to_compare_with_can_be_left_out(config):
    words = [str(config.bids_dir), str(config.output_dir), "group", "--set", "group.single_pass=false"]
    jobs = group_jobs(cohort(), from_arguments(build_parser().parse_args(words)))
    assert not [job.name for job in jobs if "single" in job.name]


def test_one_person_has_no_template_and_none_means_none(config):
    assert {job.stage for job in group_jobs(cohort(1), config)} == {"tables", "report"}
    args = build_parser().parse_args([str(config.bids_dir), str(config.output_dir), "group", "--template", "none"])
    assert {job.stage for job in group_jobs(cohort(), from_arguments(args))} == {"tables", "report"}


def test_a_finished_template_needs_no_iterations(config, tmp_path):
    folder = tmp_path / "tpl-mine" / "anat"
    folder.mkdir(parents=True)
    (folder / "tpl-mine_desc-template_T2starw.nii.gz").write_bytes(b"x")
    (folder / "tpl-mine_desc-iteration1_T2starw.nii.gz").write_bytes(b"x")
    words = [str(config.bids_dir), str(config.output_dir), "group", "--template", str(folder.parent)]
    finished = from_arguments(build_parser().parse_args(words))
    jobs = group_jobs(cohort(), finished)
    assert list(dict.fromkeys(job.stage for job in jobs))[1:] == [
        "subjects",
        "register-template",
        "maps",
        "average-maps",
        "report",
    ]
    assert template_files(str(folder.parent))[0] == "mine"
    # Those who were registered when it was built are not registered again: same record, same facts.
    built = {job.name: job.record for job in group_jobs(cohort(), config) if job.stage == "register-template"}
    assert [job.record.facts() for job in jobs if job.stage == "register-template"] == [
        record.facts() for record in built.values()
    ]


def test_a_template_of_templateflow_is_taken_by_its_name(config, tmp_path, monkeypatch):
    """From the offline folder: images of whole heads before cut-out ones; an empty file is a placeholder."""
    folder = tmp_path / "home" / "tpl-Own"
    folder.mkdir(parents=True)
    for name in ("res-01_T1w", "res-01_desc-brain_T1w", "res-02_T1w"):
        (folder / f"tpl-Own_{name}.nii.gz").write_bytes(b"x")
    (folder / "tpl-Own_res-01_T2starw.nii.gz").touch()
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(folder.parent))
    words = [str(config.bids_dir), str(config.output_dir), "group", "--template", "Own"]
    jobs = group_jobs(cohort(), from_arguments(build_parser().parse_args(words)))
    registrations = [job.record for job in jobs if job.stage == "register-template"]
    assert [record.label for record in registrations] == ["toOwn"] * 3
    assert registrations[0].files == (("t1w", folder / "tpl-Own_res-01_T1w.nii.gz"),)
    assert not [job for job in jobs if job.stage.startswith("average-") and job.stage != "average-maps"]


def test_a_template_that_is_not_there_is_refused(config):
    with pytest.raises(UsageError, match="neither build, none, a folder"):
        template_files("no-such-template")


def test_an_empty_folder_is_no_template(tmp_path):
    with pytest.raises(UsageError, match="holds no"):
        template_files(str(tmp_path))


def test_a_stage_is_cut_into_parts_that_make_the_whole(config):
    jobs = group_jobs(cohort(5), config)
    parts = [of_stage(jobs, "register-2", (n, 3)) for n in (1, 2, 3)]
    assert sorted(job.name for part in parts for job in part) == [f"sub-0{n}_iteration2" for n in range(5)]
    assert of_stage(jobs, "", (1, 1)) == jobs
    with pytest.raises(UsageError, match="there are tables, subjects, average-0"):
        of_stage(jobs, "register-99", (1, 1))


@pytest.mark.parametrize("text", ["0/3", "4/3", "x", "1/", "1.5/2"])
def test_parts_are_checked(config, text):
    with pytest.raises(UsageError, match="3/12"):
        build_parser().parse_args(["a", "b", "group", "--stage-part", text])
