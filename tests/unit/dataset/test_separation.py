"""Spin echoes in the dataset, what is wrong with them, and which image a separation lacks."""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from bids_app.dataset.checks import preflight
from bids_app.dataset.derived import with_given_maps
from bids_app.dataset.query import find_subjects
from bids_app.dataset.separation import few_echoes, missing_maps, problems_of, spin_echo
from bids_app.model.settings import build_settings

SHAPE = (8, 9, 7)


def image(path, value=100.0, shape=SHAPE, shift=0.0):
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = shift
    path.parent.mkdir(parents=True, exist_ok=True)
    data = value + np.random.default_rng(0).normal(size=shape)
    nib.save(nib.Nifti1Image(data.astype(np.float32), affine), path)


def gradient_echoes(root, echoes=3):
    root.mkdir(exist_ok=True)
    (root / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    (root / "MEGRE.json").write_text('{"MagneticFieldStrength": 3}')
    for number in range(1, echoes + 1):
        for part in ("mag", "phase"):
            stem = root / "sub-1" / "anat" / f"sub-1_echo-{number}_part-{part}_MEGRE"
            image(stem.with_name(stem.name + ".nii.gz"))
            stem.with_name(stem.name + ".json").write_text(json.dumps({"EchoTime": 0.005 * number}))


def spin_echoes(root, times=(0.01, 0.02, 0.03, 0.04), label="", **more):
    for number, time in enumerate(times, start=1):
        stem = root / "sub-1" / "anat" / f"sub-1{label}_echo-{number}_MESE"
        image(stem.with_name(stem.name + ".nii.gz"), **more)
        stem.with_name(stem.name + ".json").write_text(json.dumps({"EchoTime": time}))


def run_of(root):
    (subject,) = find_subjects(root)
    (run,) = subject.runs
    return run


@pytest.fixture
def root(tmp_path):
    gradient_echoes(tmp_path / "bids")
    return tmp_path / "bids"


def chosen(**separation):
    return build_settings({"separation": separation})


def test_spin_echoes_go_with_the_run_and_are_no_run(root):
    spin_echoes(root)
    run = run_of(root)
    assert run.suffix == "MEGRE"
    assert run.spin_echo_times == (0.01, 0.02, 0.03, 0.04)
    assert "spin_echo" in run.facts()
    assert list(spin_echo(run)) == []
    assert preflight(find_subjects(root), root, root / "derivatives" / "qsm") == []


def test_without_spin_echoes_nothing_changes(root):
    assert run_of(root).spin_echo == ()
    assert "spin_echo" not in run_of(root).facts()


def test_of_two_trains_one_is_used_and_said(root):
    spin_echoes(root)
    spin_echoes(root, label="_acq-b")
    run = run_of(root)
    assert len(run.spin_echo) == 4
    assert any("first of 2" in remark for remark in run.remarks)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"times": (10.0, 20.0, 30.0, 40.0)}, "looks like milliseconds; BIDS wants seconds (0.01)"),
        ({"times": (0.01, 0.01, 0.02, 0.03)}, "two spin echoes (MESE) have the same EchoTime"),
        ({"shift": 500.0}, "covers 0% of the field of view"),
    ],
)
def test_what_is_wrong_with_spin_echoes_is_said(root, change, says):
    spin_echoes(root, **change)
    assert any(says in problem for problem in spin_echo(run_of(root)))


def test_one_grid_for_all_spin_echoes(root):
    spin_echoes(root)
    image(root / "sub-1" / "anat" / "sub-1_echo-3_MESE.nii.gz", shape=(8, 9, 8))
    assert any("another grid than sub-1_echo-1_MESE.nii.gz" in problem for problem in spin_echo(run_of(root)))


@pytest.mark.parametrize("method", ["white_matter", "chi_separation", "closed_form", "apart"])
def test_a_missing_spin_echo_is_named(root, method):
    (problem,) = missing_maps(run_of(root), chosen(method=method))
    assert "multi-echo spin echo (suffix MESE)" in problem
    assert "separation.method=r2star_qsm" in problem


def test_gradient_echoes_are_enough_for_some_methods(root):
    run = run_of(root)
    assert problems_of(find_subjects(root), chosen(method="r2star_qsm")) == []
    assert missing_maps(run, chosen(method="decompose")) == []
    assert missing_maps(run, chosen(method="none")) == []
    (problem,) = missing_maps(replace(run, echoes=run.echoes[:2]), chosen(method="decompose"))
    assert "three or more gradient echoes; this run has 2" in problem


def test_settings_that_exclude_each_other_are_named(root):
    spin_echoes(root)
    run = run_of(root)
    assert missing_maps(run, chosen(method="white_matter")) == []
    assert "separation.r2 is none" in missing_maps(run, chosen(method="white_matter", r2="none"))[0]
    tgv = build_settings(
        {"separation": {"method": "white_matter"}, "background": {"method": "none"}, "inversion": {"method": "tgv"}}
    )
    assert "background.method is none" in missing_maps(run, tgv)[0]


def test_too_few_spin_echoes(root):
    spin_echoes(root, times=(0.01, 0.02, 0.03))
    run = run_of(root)
    assert "needs 4 spin echoes" in few_echoes(run, chosen())[0]
    assert few_echoes(run, chosen(r2="spin_echo_line")) == []


def test_maps_of_other_datasets_are_used(root, tmp_path):
    other = tmp_path / "other"
    image(other / "sub-1" / "anat" / "sub-1_desc-R2prime_R2map.nii.gz")
    image(other / "sub-1" / "anat" / "sub-1_R2map.nii.gz", shape=(4, 4, 4))
    run = with_given_maps(run_of(root), [other])
    assert run.given("r2prime").path.name == "sub-1_desc-R2prime_R2map.nii.gz"
    assert run.given("r2") is None
    assert any("lies on another grid" in remark for remark in run.remarks)
    assert missing_maps(run, chosen(method="white_matter")) == []
