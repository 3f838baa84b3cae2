"""The template: maps of space, mean shape, overlap, and the order of its stages."""

import numpy as np
import pytest

from bids_app import levels
from bids_app.cli import build_parser
from bids_app.config import from_arguments
from bids_app.dataset.cohort import Cohort, GroupRun
from bids_app.dataset.template import template_files
from bids_app.errors import UsageError
from bids_app.group import template, warps

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


def test_after_the_update_the_mean_map_is_the_identity():
    """That is what mean shape says, of fields and of linear maps."""
    fields = [smooth_field(1.5), warps.Field(smooth_field().displacement[::-1].copy(), grid())]
    update = template.shape_update(fields)
    mean = sum(field(update(points())) for field in fields) / 2
    assert np.abs(mean - points())[3:-3, 3:-3, 3:-3].max() < 0.05
    assert np.abs(sum(field(points()) for field in fields) / 2 - points()).max() > 0.5
    linear = [shift(4, 0, 0), shift(0, -2, 0)]
    update = template.shape_update(linear)
    assert np.allclose(sum(one(update(points())) for one in linear) / 2, points())


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


def cohort(count=3):
    return Cohort(tuple(GroupRun((("sub", f"{n:02d}"),), ("chimap", "magnitude")) for n in range(count)))


def test_stages_wait_for_the_one_before_and_the_tables_for_none(config):
    jobs = levels.group_jobs(cohort(), config)
    order = list(dict.fromkeys(job.stage for job in jobs))
    registered = [f"{kind}-{n}" for n in range(1, 6) for kind in ("register", "average")]
    assert order == [
        "tables",
        "members",
        "average-0",
        *registered,
        "register-template",
        "maps",
        "average-maps",
        "report",
    ]
    of = {stage: [job.name for job in jobs if job.stage == stage] for stage in order}
    assert all(set(job.after) == set(of[order[order.index(job.stage) - 1]]) for job in jobs if job.stage in order[2:-1])
    assert all(not job.after for job in jobs if job.stage in ("tables", "members"))
    assert set(jobs[-1].after) == {job.name for job in jobs[:-1]}  # the page shows all
    assert len(of["register-3"]) == 3
    assert len({job.name for job in jobs}) == len(jobs)


def test_one_person_has_no_template_and_none_means_none(config):
    assert {job.stage for job in levels.group_jobs(cohort(1), config)} == {"tables", "report"}
    args = build_parser().parse_args([str(config.bids_dir), str(config.output_dir), "group", "--template", "none"])
    assert {job.stage for job in levels.group_jobs(cohort(), from_arguments(args))} == {"tables", "report"}


def test_a_finished_template_needs_no_rounds(config, tmp_path):
    folder = tmp_path / "tpl-mine" / "anat"
    folder.mkdir(parents=True)
    (folder / "tpl-mine_desc-template_T2starw.nii.gz").write_bytes(b"x")
    (folder / "tpl-mine_desc-round1_T2starw.nii.gz").write_bytes(b"x")
    words = [str(config.bids_dir), str(config.output_dir), "group", "--template", str(folder.parent)]
    own = from_arguments(build_parser().parse_args(words))
    jobs = levels.group_jobs(cohort(), own)
    assert list(dict.fromkeys(job.stage for job in jobs))[1:] == [
        "members",
        "register-template",
        "maps",
        "average-maps",
        "report",
    ]
    assert template_files(str(folder.parent))[0] == "mine"
    # Those who were registered when it was built are not registered again: same record, same facts.
    built = {job.name: job.record for job in levels.group_jobs(cohort(), config) if job.stage == "register-template"}
    assert [job.record.facts() for job in jobs if job.stage == "register-template"] == [
        record.facts() for record in built.values()
    ]


def test_a_template_that_is_not_there_is_refused(config):
    with pytest.raises(UsageError, match="neither build, none, a folder"):
        template_files("no-such-template")


def test_an_empty_folder_is_no_template(tmp_path):
    with pytest.raises(UsageError, match="holds no"):
        template_files(str(tmp_path))


def test_a_stage_is_cut_into_parts_that_make_the_whole(config):
    jobs = levels.group_jobs(cohort(5), config)
    parts = [levels.of_stage(jobs, "register-2", (n, 3)) for n in (1, 2, 3)]
    assert sorted(job.name for part in parts for job in part) == [f"sub-0{n}_round2" for n in range(5)]
    assert levels.of_stage(jobs, "", (1, 1)) == jobs
    with pytest.raises(UsageError, match="there are tables, members, average-0"):
        levels.of_stage(jobs, "register-99", (1, 1))


@pytest.mark.parametrize("text", ["0/3", "4/3", "x", "1/", "1.5/2"])
def test_parts_are_checked(config, text):
    with pytest.raises(UsageError, match="3/12"):
        build_parser().parse_args(["a", "b", "group", "--stage-part", text])
