"""What ``--group-dseg``, ``--output-space``, ``--voxelwise`` refuse before anything runs; the stages they add."""

import numpy as np
import pytest

from bids_app.cli.config import from_arguments
from bids_app.cli.options import build_parser
from bids_app.derivatives.files import write_image
from bids_app.engine import levels
from bids_app.errors import InputRefusedError, UsageError
from bids_app.model.cohort import Cohort
from bids_app.model.group_run import GroupRun
from tests.unit.engine.fake_steps import REPORT

GRID = np.diag([4.0, 4, 4, 1])
RUNS = tuple(GroupRun((("sub", f"{n:02d}"),), ("chimap", "magnitude", "regions@nuclei")) for n in (1, 2, 3))


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A finished template, TemplateFlow's folder with another one in two resolutions, and a drawing."""
    (tmp_path / "bids").mkdir()
    anat = tmp_path / "tpl-mine" / "anat"
    anat.mkdir(parents=True)
    write_image(anat / "tpl-mine_desc-template_T2starw.nii.gz", np.ones((8, 9, 7)), GRID, "float32")
    flow = tmp_path / "flow" / "tpl-Small"
    flow.mkdir(parents=True)
    for name in ("res-01", "res-02"):
        write_image(flow / f"tpl-Small_{name}_T1w.nii.gz", np.ones((5, 5, 5)), GRID, "float32")
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(flow.parent))
    draw(tmp_path)
    return tmp_path


def draw(home, name="mine.nii.gz", shape=(8, 9, 7), grid=GRID, value=2.0):
    data = np.zeros(shape)
    data[3, 3] = value
    write_image(home / name, data, grid, "float32")
    return home / name


def jobs(home, *words):
    words = ["--template", str(home / "tpl-mine"), *words]
    args = build_parser().parse_args([str(home / "bids"), str(home / "out"), "group", *words])
    config = from_arguments(args)
    return levels.group_jobs(Cohort(RUNS), config.settings, config.context, REPORT)


def stages(home, *words):
    return list(dict.fromkeys(job.stage for job in jobs(home, *words)))


def test_stages_that_are_asked_for_come_after_the_maps(home):
    words = ["--group-dseg", str(home / "mine.nii.gz"), "--output-space", "Small:res-2"]
    names = stages(home, *words, "--voxelwise", "--model", "chi ~ age")
    assert names[names.index("average-maps") + 1 : -1] == [
        "manual-segmentation",
        "manual-regions",
        "manual-tables",
        "register-space",
        "maps-space",
        "average-maps-space",
        "voxelwise",
    ]
    made = jobs(home, *words)
    standard = next(job.record for job in made if job.stage == "register-space")
    assert standard.space_files[0][1].name == "tpl-Small_res-02_T1w.nii.gz"
    assert len({job.name for job in made}) == len(made)


@pytest.mark.parametrize(
    ("drawing", "sentence"),
    [
        ({"shape": (8, 9, 8)}, "does not lie on the template's grid"),
        ({"grid": np.diag([4.0, 4, 3.9, 1])}, "does not lie on the template's grid"),
        ({"value": 1.5}, "not whole .1.5."),
        ({"value": -1}, "labels below 0 .-1."),
        ({"value": np.nan}, "not whole"),
        ({"value": 0}, "empty"),
        ({"value": 5}, "has no name for label 5"),
    ],
)
def test_drawings_that_are_refused(home, drawing, sentence):
    path = draw(home, "bad.nii.gz", **drawing)
    (home / "names.tsv").write_text("index\tname\n2\tspot\n")
    with pytest.raises(InputRefusedError, match=sentence):
        jobs(home, "--group-dseg", str(path), "--group-labels", str(home / "names.tsv"))


def test_a_file_that_is_no_image_is_refused(home):
    (home / "text.nii.gz").write_text("hello")
    with pytest.raises(InputRefusedError, match=r"text\.nii\.gz cannot be read"):
        jobs(home, "--group-dseg", str(home / "text.nii.gz"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--group-dseg", "gone.nii.gz"], "there is no file"),
        (["--group-labels", "names.tsv"], "goes with --group-dseg"),
        (["--voxelwise"], "needs a model"),
        (["--permutations", "10"], "goes with --voxelwise"),
        (["--voxelwise", "--model", "volume ~ age"], "chi or r2star"),
        (["--output-space", "NoSuch"], "--output-space: 'NoSuch' is no template in .*TEMPLATEFLOW_HOME"),
        (["--output-space", "Small:res-7"], "holds no"),
        (["--output-space", "Small", "--template", "none"], "needs a template"),
        (["--output-space", "Small", "--template", "Small"], "in that space already"),
    ],
)
def test_words_that_do_not_go_together(home, words, sentence):
    with pytest.raises(UsageError, match=sentence):
        jobs(home, *words)


def test_a_name_that_the_participants_have_already_is_refused(home):
    path = draw(home, "x_seg-nuclei_dseg.nii.gz")
    with pytest.raises(UsageError, match="have a segmentation called nuclei"):
        jobs(home, "--group-dseg", str(path))
