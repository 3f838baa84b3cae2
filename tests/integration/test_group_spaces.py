"""The template of T1w and magnitude, several sessions, and its way to an output space, from hand-made derivatives."""

import csv
import json

import numpy as np
import pytest

from bids_app.cli.command import main
from bids_app.derivatives.files import read_image, write_image, write_table
from bids_app.group import warps
from tests.helpers.group_study import write_step

pytestmark = pytest.mark.slow
SHAPE, AFFINE = (28, 30, 26), np.diag([4.0, 4, 4, 1])
ROW = {"index": 1, "name": "nucleus", "hemisphere": "R"}
#: Where the head of each session lies, mm, and how wide it is. Scanners have their origins where they like.
SESSIONS = {("01", "1"): ((90, -90, 60), 1.0), ("01", "2"): ((45, -94, 62), 1.0), ("02", "1"): ((-3, 83, 0), 1.1)}
LATER = {("03", "1"): ((10, 6, -80), 0.97)}
RUN = ["--nprocs", "1", "--omp-nthreads", "1"]
FAST = ["--template-iterations", "1", "1"]
for _name, _value in (("resolution", 4), ("registration_resolution", 4), ("syn_coarse", 10), ("syn_middle", 10)):
    RUN += ["--set", f"template.{_name}={_value}"]
RUN += ["--set", "template.syn_fine=5"]


def head(width, contrast):
    """Return a head (T1w or magnitude), its mask, and a nucleus."""
    x, y, z = ((np.indices(SHAPE).T * 4.0 - (52, 56, 48)) / (width, 1, 1)).T
    inside = (x / 40) ** 2 + (y / 46) ** 2 + (z / 36) ** 2 < 1
    nucleus = ((x - 14) / 9) ** 2 + (y / 12) ** 2 + ((z - 4) / 9) ** 2 < 1
    texture = 100 + contrast * (20 * np.sin(x / 9) + 20 * np.sin(y / 8 + z / 11)) - contrast * 40 * nucleus
    return (inside * texture).astype(np.float32), inside, nucleus & inside


def at(shift):
    affine = AFFINE.copy()
    affine[:3, 3] = shift
    return affine


def write_session(bids, out, sub, ses, shift, width):
    """Write what ``participant`` leaves of one session: images, tables and records."""
    names, place = f"sub-{sub}_ses-{ses}", f"sub-{sub}/ses-{ses}"
    raw, anat = bids / place / "anat", out / place / "anat"
    raw.mkdir(parents=True)
    anat.mkdir(parents=True)
    (raw / f"{names}_echo-1_part-phase_MEGRE.nii.gz").touch()
    magnitude, inside, nucleus = head(width, -1)
    images = {
        "chimap": (f"{names}_Chimap", 0.1 * nucleus, "float32"),
        "mask_qsm": (f"{names}_desc-qsm_mask", inside, "uint8"),
        "magnitude": (f"{names}_part-mag_desc-combined_T2starw", magnitude, "float32"),
        "dseg_gre@nuclei": (f"{names}_space-GRE_seg-nuclei_dseg", nucleus, "int16"),
    }
    made = {}
    for key, (name, data, dtype) in images.items():
        made[key] = anat / f"{name}.nii.gz"
        write_image(made[key], data, at(shift), dtype)
    made["t1w_preproc"] = anat / f"{names}_desc-preproc_T1w.nii.gz"
    write_image(made["t1w_preproc"], head(width, 1)[0], at(np.add(shift, (4, 0, 0))), "float32")
    write_table(made["dseg_gre@nuclei"].with_name(f"{names}_space-GRE_seg-nuclei_dseg.tsv"), [ROW])
    move = np.eye(4)
    move[0, 3] = 4  # the T1w was taken 4 mm further right
    made["xfm_t1w_to_gre"] = warps.write_linear(anat / f"{names}_from-T1w_to-GRE_mode-image_xfm.txt", move)
    values = {"volume_mm3": 1.0, "region_voxels": 1, "voxels": 1, "valid_fraction": 1.0, "erosion_voxels": 0}
    made["regions@nuclei"] = anat / f"{names}_seg-nuclei_desc-chi_stats.tsv"
    write_table(made["regions@nuclei"], [ROW | values | {"chi_mean": 0.1}])
    t1w = {"t1w_preproc": made.pop("t1w_preproc")}
    write_step(out, place, "t1w", f"{names}_T1w", t1w)
    xfm = {"xfm_t1w_to_gre": made.pop("xfm_t1w_to_gre")}
    write_step(out, place, "registration", names, xfm, t1w.values())
    write_step(out, place, "chi", names, made)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("spaces")
    bids, out = root / "bids", root / "out"
    bids.mkdir()
    (bids / "dataset_description.json").write_text(json.dumps({"Name": "spaces", "BIDSVersion": "1.10.0"}))
    (bids / "participants.tsv").write_text("participant_id\tage\nsub-01\t30\nsub-02\t60\n")
    for (sub, ses), (shift, width) in SESSIONS.items():
        write_session(bids, out, sub, ses, shift, width)
    return bids, out


def centre(path):
    data, affine = read_image(path)
    points = np.argwhere(data > 0.5 * data.max())
    return (affine @ [*points.mean(axis=0), 1])[:3]


def places(out, space, sessions):
    names = [f"sub-{sub}/ses-{ses}/anat/sub-{sub}_ses-{ses}" for sub, ses in sessions]
    return [centre(out / f"{name}_space-{space}_Chimap.nii.gz") for name in names]


def ran(text):
    return {line.split()[0] for line in text.splitlines() if " ran " in line and "ran nothing" not in line}


def test_both_contrasts_and_all_sessions_make_one_template_and_come_to_another_space(study, monkeypatch, capfd):
    bids, out = study
    flow = bids.parent / "flow" / "tpl-Small"
    image, _, nucleus = head(1.05, 1)
    write_image(flow / "tpl-Small_res-01_T1w.nii.gz", image, at((9, 5, -3)), "float32")
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(flow.parent))
    words = ["group", *RUN, *FAST, "--set", "template.magnitude_weight=0.5", "--output-space", "Small"]
    assert main([str(bids), str(out), *words]) == 0, capfd.readouterr().err
    anat = out / "tpl-study" / "anat"
    for suffix in ("T1w", "T2starw"):
        data, _ = read_image(anat / f"tpl-study_desc-template_{suffix}.nii.gz")
        # The head is in the middle of its grid, wherever the sessions lie, and is not cut.
        assert np.abs(centre(anat / f"tpl-study_desc-template_{suffix}.nii.gz")).max() < 6
        border = np.ones(data.shape, bool)
        border[1:-1, 1:-1, 1:-1] = False
        assert data[border].max() < 0.05 * data.max()
    with (anat / "tpl-study_desc-convergence_stats.tsv").open(newline="") as file:
        iterations = list(csv.DictReader(file, delimiter="\t"))
    assert [row["kind"] for row in iterations] == ["start", "rigid", "syn", "single"]
    assert [row["sharpness_to_single"] == "1" for row in iterations] == [False, False, False, True]
    assert max(float(row["shape_update_mm"]) for row in iterations) < 3
    # Sessions of a participant are brought together before anything else: both nuclei lie in one place then.
    for space in ("study", "Small"):
        first, second, other = places(out, space, SESSIONS)
        assert np.linalg.norm(first - second) < 1.5
        assert np.linalg.norm(first - other) < 3
        mean = read_image(out / f"tpl-{space}/anat/tpl-{space}_desc-mean_Chimap.nii.gz")[0]
        assert mean.max() > 0.08
    for space in ("study", "Small"):
        with (out / f"tpl-{space}/anat/tpl-{space}_desc-registration_stats.tsv").open(newline="") as file:
            fits = list(csv.DictReader(file, delimiter="\t"))
        assert [row["flagged"] for row in fits] == ["false"] * 3
        assert all(float(row["mask_overlap"]) > 0.85 for row in fits)
    truth = (at((9, 5, -3)) @ [*np.argwhere(nucleus).mean(axis=0), 1])[:3]
    assert np.linalg.norm(centre(out / "tpl-Small/anat/tpl-Small_desc-mean_Chimap.nii.gz") - truth) < 3
    sidecar = json.loads((anat / "tpl-study_space-Small_desc-template_T1w.json").read_text())
    assert sidecar["SpatialReference"] == "tpl-Small"
    members = {path.name for path in out.rglob("*desc-subject*.nii.gz")}
    assert {"sub-01_desc-subject_T1w.nii.gz", "sub-01_part-mag_desc-subject_T2starw.nii.gz"} <= members


def test_a_participant_that_comes_later_is_registered_alone_to_the_template_that_is_there(study, capfd):
    bids, out = study
    before = {path: path.stat().st_mtime_ns for path in (out / "tpl-study/anat").glob("*desc-template*")}
    for (sub, ses), (shift, width) in LATER.items():
        write_session(bids, out, sub, ses, shift, width)
    capfd.readouterr()
    words = ["group", *RUN, "--set", "template.magnitude_weight=0.5", "--template", str(out / "tpl-study")]
    assert main([str(bids), str(out), *words]) == 0, capfd.readouterr().err
    again = ran(capfd.readouterr().out)
    assert {"sub-03_subject", "sub-03_tostudy", "sub-03_ses-1_template", "tpl-study_maps"} <= again
    assert not [name for name in again if name.startswith(("sub-01", "sub-02", "tpl-study_round"))]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    *_, old, new = places(out, "study", SESSIONS | LATER)
    assert np.linalg.norm(old - new) < 3
    count = read_image(out / "tpl-study/anat/tpl-study_desc-count_Chimap.nii.gz")[0]
    assert count.max() == 3
