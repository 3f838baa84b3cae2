"""Regions end to end: an atlas, FastSurfer stood in for, given labels, references, masks, what is asked and missing."""

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_app.cli.command import main
from tests.helpers.fastsurfer import stand_in
from tests.integration.conftest import SHAPE, oblique_affine, write_study
from tests.integration.test_participant import validator_errors

#: Coarse and quick; the defaults are measured on the phantom.
CHEAP = [
    "--preset",
    "fast",
    "--skip-bids-validation",
    "--participant-label",
    "01",
    "--set",
    "registration.resolution=3",
    "--set",
    "registration.syn_resolution=3",
    "--set",
    "registration.syn_coarse=10",
    "--set",
    "registration.syn_middle=5",
    "--set",
    "registration.syn_fine=0",
]
NAMES = {1: "right core", 2: "left core", 3: "front nucleus", 4: "lateral ventricle"}
CENTRES = ((12, 0, 0, 9), (-12, 0, 0, 9), (0, 18, 5, 7), (0, -20, 0, 8))


def scene(world):
    """Return labels and a T1-weighted contrast at scanner positions (mm); labels are the study's sources."""
    index = (world - oblique_affine()[:3, 3]) @ np.linalg.inv(oblique_affine()[:3, :3]).T
    sizes = np.linalg.norm(oblique_affine()[:3, :3], axis=0)
    p = (index - np.array(SHAPE) / 2) * sizes
    inside = ((p / (38, 44, 38)) ** 2).sum(-1) < 1
    labels = np.zeros(p.shape[:-1], np.int16)
    for number, (*centre, radius) in enumerate(CENTRES, start=1):
        labels[((p - centre) ** 2).sum(-1) < radius**2] = number
    texture = np.sin(p[..., 0] / 6 + 1) + np.sin(p[..., 1] / 7 + p[..., 0] / 15) + np.sin(p[..., 2] / 5 - 0.5)
    t1w = inside * (300 + 30 * texture + 120 * (labels > 0) - 200 * (labels == 4))
    return labels, np.maximum(t1w, 0), inside


def positions(shape, affine):
    return np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]


def save(path, data, affine):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, affine), path)


def with_contrast(study):
    """Give the magnitude a contrast of its own, so that there is something to register."""
    labels, t1w, _ = scene(positions(SHAPE, oblique_affine()))
    factor = 1.4 - t1w / 600 - 0.3 * (labels == 1)
    for path in study.glob("sub-01/anat/*part-mag*.nii.gz"):
        image = nib.load(path)
        save(path, (np.asarray(image.dataobj) * factor).astype(np.int16), image.affine)
    return study


def add_t1w(study):
    affine = np.array([[-2.5, 0, 0, 62], [0, 0, 2.5, -62], [0, 2.5, 0, -62], [0, 0, 0, 1.0]])  # another order of axes
    save(
        study / "sub-01/anat/sub-01_acq-mprage_T1w.nii.gz",
        scene(positions((50,) * 3, affine))[1].astype(np.int16),
        affine,
    )


@pytest.fixture
def study(tmp_path):
    return with_contrast(write_study(tmp_path / "bids", subjects=("01",)))


@pytest.fixture
def atlas(tmp_path):
    folder, affine = tmp_path / "tpl-test", np.diag([2.5, 2.5, 2.5, 1])
    affine[:3, 3] = -62, -62, -62
    labels, t1w, inside = scene(positions((50,) * 3, affine) * 1.05 + (4, -5, 3))
    save(folder / "tpl-test_T1w.nii.gz", t1w.astype(np.float32), affine)
    save(folder / "tpl-test_seg-parts_dseg.nii.gz", labels, affine)
    save(folder / "tpl-test_desc-brain_mask.nii.gz", inside.astype(np.uint8), affine)
    text = "index\tname\n" + "".join(f"{index}\t{name}\n" for index, name in NAMES.items())
    (folder / "tpl-test_seg-parts_dseg.tsv").write_text(text)
    return folder


def table(out, name):
    path = next(out.glob(f"sub-01/anat/*seg-{name}_desc-chi_stats.tsv"))
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def data_of(path):
    return np.asarray(nib.load(path).dataobj)


def overlap(labels):
    truth = scene(positions(SHAPE, oblique_affine()))[0]
    return [2 * ((labels == n) & (truth == n)).sum() / ((labels == n).sum() + (truth == n).sum()) for n in NAMES]


def made(out):
    keys = ("*_xfm.*", "*_dseg.nii.gz", "*_dseg.tsv", "*_stats.tsv", "*preproc_T1w.nii.gz")
    return {p.name: p.read_bytes() for key in keys for p in out.glob(f"sub-01/anat/{key}") if p.suffix != ".json"}


@pytest.mark.slow
def test_atlas_through_the_t1w(study, atlas, tmp_path, capsys):
    add_t1w(study)
    out = tmp_path / "out"
    command = [str(study), str(out), "participant", *CHEAP, "--atlas", str(atlas), "--mask-from-anatomy"]
    assert main(command) == 0
    assert min(overlap(data_of(out / "sub-01/anat/sub-01_space-GRE_seg-parts_dseg.nii.gz"))) > 0.8
    rows = table(out, "parts")
    assert [(row["name"], row["hemisphere"]) for row in rows[:3]] == [
        ("core", "R"),
        ("core", "L"),
        ("front nucleus", "n/a"),
    ]
    chi = data_of(out / "sub-01/anat/sub-01_Chimap.nii.gz")
    truth = scene(positions(SHAPE, oblique_affine()))[0]
    for row in rows[:2]:
        assert float(row["chi_mean"]) == pytest.approx(chi[truth == int(row["index"])].mean(), rel=0.2)
        assert float(row["r2star_median"]) == pytest.approx(20, rel=0.1)
        assert float(row["valid_fraction"]) == 1
    dictionary = json.loads(next(out.glob("sub-01/anat/*_stats.json")).read_text())
    assert dictionary["chi_mean"]["Units"] == "ppm"
    assert validator_errors(out, "-r") == []
    brain, anatomy = (data_of(out / f"sub-01/anat/sub-01_desc-{name}_mask.nii.gz") > 0 for name in ("brain", "anatomy"))
    assert anatomy.sum() > 20_000
    assert not (brain & ~anatomy).any()
    around = data_of(out / "sub-01/anat/sub-01_desc-processing_mask.nii.gz") > 0
    assert around[brain].all()
    assert (around & ~anatomy).any()
    assert not chi[~brain].any()
    before = made(out)
    capsys.readouterr()
    # Another reference or erosion neither inverts nor registers again.
    assert main([*command, "--qsm-reference", "csf", "--roi-erosion", "1"]) == 0
    assert "ran reference, regions-atlas; unchanged" in capsys.readouterr().out
    referenced = table(out, "parts")
    assert float(referenced[3]["chi_mean"]) == pytest.approx(0, abs=0.03)
    assert int(referenced[0]["voxels"]) < int(rows[0]["voxels"])
    assert referenced[0]["volume_mm3"] == rows[0]["volume_mm3"]
    assert main([*command, "--qsm-reference", "hart"]) == 2
    assert "no region is called 'hart'" in capsys.readouterr().err
    # Everything again, elsewhere: the same bytes.
    again = tmp_path / "again"
    assert main([str(study), str(again), *command[2:]]) == 0
    after = made(again)
    assert before.keys() == after.keys()
    assert all(before[name] == after[name] for name in before)


def labelled_t1w(study, stretch):
    """Write a T1-weighted image of a stretched head, and labels on it."""
    affine = np.array([[-2.5, 0, 0, 62], [0, 0, 2.5, -62], [0, 2.5, 0, -62], [0, 0, 0, 1.0]])
    labels, t1w, _ = scene(positions((50,) * 3, affine) * stretch)
    save(study / "sub-01/anat/sub-01_T1w.nii.gz", t1w.astype(np.int16), affine)
    save(study / "derivatives/drawn/sub-01/anat/sub-01_desc-parts_dseg.nii.gz", labels, affine)
    return [str(study), str(study.parent / "out"), "participant", *CHEAP, "--segmentation", "*_desc-parts_dseg.nii.gz"]


@pytest.mark.slow
def test_a_stretched_t1w_wants_an_affine_or_a_deformation(study):
    command = labelled_t1w(study, (1.1, 0.92, 1.0))
    anat = study.parent / "out/sub-01/anat"
    overlaps = {}
    for kind in ("affine", "syn"):
        assert main([*command, "--set", f"registration.t1w_to_gre={kind}"]) == 0
        overlaps[kind] = min(overlap(data_of(anat / "sub-01_space-GRE_seg-parts_dseg.nii.gz")))
        # One transform, and no left-over of the former kind.
        assert len(list(anat.glob("*_from-T1w_to-GRE_mode-image_xfm.*"))) == 2
        suffix = ".nii.gz" if kind == "syn" else ".txt"
        assert (anat / f"sub-01_from-T1w_to-GRE_mode-image_xfm{suffix}").is_file()
    # Rigid reaches 0.77; these few iterations of SyN on small nuclei undo a part of what the affine gained.
    assert overlaps["affine"] > 0.85, overlaps
    assert overlaps["syn"] > 0.79, overlaps


@pytest.mark.slow
def test_a_mask_in_t1w_space_comes_to_the_run_by_the_registration(study, tmp_path, capsys):
    """As fMRIPrep writes it; the T1w image lies 6 mm away from where the head was in the gradient echo."""
    with_contrast(study)
    affine = np.array([[-2.5, 0, 0, 62], [0, 0, 2.5, -62], [0, 2.5, 0, -62], [0, 0, 0, 1.0]])
    _, t1w, inside = scene(positions((50,) * 3, affine))
    moved = affine.copy()
    moved[2, 3] += 6
    save(study / "sub-01/anat/sub-01_T1w.nii.gz", t1w.astype(np.int16), moved)
    save(tmp_path / "fmriprep/sub-01/anat/sub-01_desc-brain_mask.nii.gz", inside.astype(np.uint8), moved)
    out = tmp_path / "out"
    command = [str(study), str(out), "participant", *CHEAP, "--segmentation", "none"]
    assert main([*command, "--derivatives", str(tmp_path / "fmriprep")]) == 0
    assert "it comes to the run's grid by the registration of the T1w image" in capsys.readouterr().err
    mask = data_of(out / "sub-01/anat/sub-01_desc-brain_mask.nii.gz") > 0
    true = scene(positions(SHAPE, oblique_affine()))[2]
    assert 2 * (mask & true).sum() / (mask.sum() + true.sum()) > 0.96  # by the headers alone 0.93
    assert "brought to the run by the registration of the T1w image" in (out / "sub-01.html").read_text()


@pytest.mark.slow
def test_a_t1w_that_does_not_fit_is_told_in_the_log_and_on_the_page(study, capsys):
    command = labelled_t1w(study, (1, 1, 1))
    path = study / "sub-01/anat/sub-01_T1w.nii.gz"
    image = nib.load(path)
    save(path, np.asarray(image.dataobj), np.diag([1.0, -1, -1, 1]) @ image.affine)  # a header that is upside down
    assert main(command) == 0
    message = "registration of the T1w image to the gradient-echo magnitude looks wrong"
    assert message in capsys.readouterr().err
    assert message in (study.parent / "out/sub-01.html").read_text()


@pytest.mark.slow
def test_atlas_without_a_t1w(study, atlas, tmp_path, capsys):
    out = tmp_path / "out"
    assert main([str(study), str(out), "participant", *CHEAP, "--segmentation", "atlas", "--atlas", str(atlas)]) == 0
    said = capsys.readouterr().err
    assert "no T1w image: the atlas test was registered to the gradient-echo magnitude" in said
    assert "looks wrong" not in said
    assert min(overlap(data_of(out / "sub-01/anat/sub-01_space-GRE_seg-parts_dseg.nii.gz"))) > 0.7
    assert len(table(out, "parts")) == 4


@pytest.mark.slow
def test_fastsurfer_and_labels_that_are_there(study, tmp_path, capsys):
    add_t1w(study)
    truth = scene(positions(SHAPE, oblique_affine()))[0]
    lesions = study / "derivatives/lesions/sub-01/anat"
    save(lesions / "sub-01_label-lesion_dseg.nii.gz", (truth == 3).astype(np.uint8), oblique_affine())
    home = stand_in(tmp_path / "fastsurfer").parent
    out = tmp_path / "out"
    command = [
        str(study),
        str(out),
        "participant",
        *CHEAP,
        "--segmentation",
        "fastsurfer",
        "--fastsurfer-home",
        str(home),
        "--extra-dseg",
        "*_label-lesion_dseg.nii.gz",
    ]
    assert main(command) == 0
    words = (home / "called.txt").read_text().split()
    assert words[words.index("--t1") + 1].endswith("sub-01_acq-mprage_T1w.nii.gz")
    rows = table(out, "lesion")
    assert [row["name"] for row in rows] == ["lesion"]
    assert int(rows[0]["region_voxels"]) == (truth == 3).sum()
    chi = data_of(out / "sub-01/anat/sub-01_Chimap.nii.gz")
    assert float(rows[0]["chi_mean"]) == pytest.approx(chi[truth == 3].mean(), abs=1e-5)
    putamen = [row for row in table(out, "fastsurfer") if row["name"] == "putamen"]
    assert [row["hemisphere"] for row in putamen] == ["L"]
    assert float(putamen[0]["volume_mm3"]) > 1000
    sidecar = next(out.glob("sub-01/anat/*space-T1w_seg-fastsurfer_dseg.json"))
    assert json.loads(sidecar.read_text())["FastSurferVersion"] == "2.4.2+abc"
    assert validator_errors(out, "-r") == []
    # The stand-in's ball is larger than this head, which is what the check is for.
    assert "segmentation fastsurfer looks misplaced" in capsys.readouterr().err
    # FastSurfer fails: that segmentation alone is missing, the maps and the other table are there.
    stand_in(tmp_path / "fastsurfer", "nomask", body="# another release")
    assert main(command) == 1
    assert "mask.mgz is not there" in capsys.readouterr().err
    assert (out / "sub-01/anat/sub-01_Chimap.nii.gz").exists()
    assert table(out, "lesion") == rows


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--segmentation", "fastsurfer"], 4, "FASTSURFER_HOME"),
        (["--segmentation", "atlas"], 4, "--atlas DIR"),
        (["--fastsurfer-home", "nowhere"], 4, "was not found"),
        (["--segmentation", "fastsurfr"], 2, "did you mean 'fastsurfer'"),
        (["--segmentation", "none", "atlas"], 2, "none cannot be combined"),
        (["--atlas", "./nowhere"], 2, "no folder"),
        (["--brain-extraction", "synthstrip"], 4, "there is no program mri_synthstrip"),
        (["--brain-extraction", "my-tool {image} {mask}"], 4, "there is no program my-tool"),
        (["--brain-extraction", "synthstrip", "--mask", "quality,otsu:1"], 2, "has no bet"),
        (["--qsm-reference", "csf"], 2, "needs a segmentation"),
        (["--mask-from-anatomy"], 2, "there is no brain mask"),
        (["--extra-dseg", "*_desc-x_dseg.nii.gz", "*_label-x_dseg.nii.gz"], 2, "two segmentations"),
    ],
)
def test_what_is_asked_and_missing_is_one_sentence(study, tmp_path, monkeypatch, capsys, options, code, says):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.delenv("FASTSURFER_HOME", raising=False)
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path / "templateflow"))
    out = tmp_path / "out"
    assert main([str(study), str(out), "participant", "--skip-bids-validation", *options]) == code
    error = capsys.readouterr().err
    assert says in error
    assert len(error.strip().splitlines()) == 1
    assert not Path(out).exists()


def test_without_any_segmentation_the_maps_are_made_and_told(study, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.delenv("FASTSURFER_HOME", raising=False)
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path / "templateflow"))
    out = tmp_path / "out"
    assert main([str(study), str(out), "participant", *CHEAP]) == 0
    assert capsys.readouterr().err.count("neither FastSurfer nor an atlas was found") == 1
    assert main([str(study), str(out), "participant", *CHEAP, "--segmentation", "none"]) == 0
    captured = capsys.readouterr()
    assert "neither" not in captured.err
    assert "ran nothing" in captured.out
