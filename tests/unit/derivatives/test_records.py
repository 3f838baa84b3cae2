"""The records of the steps: what is read is whole and of the right types, or counts as absent."""

import json
from dataclasses import replace

import pytest

from bids_app import steps
from bids_app.derivatives.products import PRODUCTS
from bids_app.derivatives.records import (
    is_damaged,
    load_own_record,
    load_record,
    load_records,
    record_files,
    remove_record,
    split_name,
    write_record,
)
from bids_app.model import aliases
from bids_app.model.step_record import FileState, StepRecord

RECORD = StepRecord(
    "swi",
    "sub-01",
    title="SWI",
    fingerprint="abc",
    inputs={"phase": "34"},
    parameters={"swi": {"method": "clearswi", "clearswi": {"sigma": 4.0}}},
    outputs={"swi": {"sub-01_swi.nii.gz": "12"}},
    paths={"swi": "sub-01/anat/sub-01_swi.nii.gz"},
    files=(FileState("sub-01/anat/sub-01_swi.nii.gz", "12", 5, 7),),
    metrics={"noise": 1.5, "flags": []},
    warnings=("look",),
    methods=("clearswi",),
    started="2026-01-01T00:00:00+00:00",
    duration_s=2.5,
    peak_memory_bytes=10,
    threads=4,
)


def test_what_is_written_is_read_again(tmp_path):
    path = tmp_path / "sub-01_step-swi.json"
    write_record(path, RECORD)
    assert load_record(path) == RECORD
    assert RECORD.section("swi")["method"] == "clearswi"
    assert (RECORD.section("mask"), RECORD.number("noise"), RECORD.number("flags")) == ({}, 1.5, None)


def test_fields_that_an_earlier_version_did_not_write_have_their_defaults():
    assert StepRecord.from_mapping({"step": "x", "basename": "y", "later": 1}) == StepRecord("x", "y")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("step", 3),
        ("basename", None),
        ("fingerprint", []),
        ("parameters", {"swi": 1}),
        ("outputs", {"swi": {"a": None}}),
        ("outputs", {"swi": ["a"]}),
        ("inputs", {"phase": None}),
        ("paths", {"swi": 1}),
        ("files", [{"path": "a", "hash": "b", "size": 1}]),
        ("files", [{"path": "a", "hash": "b", "size": -1, "mtime_ns": 0}]),
        ("files", {"path": "a"}),
        ("metrics", [1]),
        ("warnings", "look"),
        ("methods", [1]),
        ("duration_s", "long"),
        ("duration_s", -1.0),
        ("peak_memory_bytes", 1.5),
        ("threads", True),
    ],
)
def test_odd_content_counts_as_absent(tmp_path, name, value):
    path = tmp_path / "sub-01_step-swi.json"
    path.write_text(json.dumps(RECORD.to_mapping() | {name: value}))
    assert load_record(path) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"step": "x"}', b"[" * 100_000])
def test_a_damaged_record_counts_as_absent(tmp_path, content):
    path = tmp_path / "sub-01_step-swi.json"
    path.write_bytes(content)
    assert load_record(path) is None
    assert load_record(tmp_path / "gone.json") is None


def test_records_of_a_folder(tmp_path):
    for name in ("sub-02/sub-02_step-swi", "sub-01/ses-1/sub-01_ses-1_step-swi", "sub-01/ses-1/other"):
        path = tmp_path / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"step": "swi", "basename": path.name.partition("_step")[0]}))
    (tmp_path / "sub-02/sub-02_step-qc.json").write_text("{")
    assert {record.basename for record in load_records(tmp_path)} == {"sub-02", "sub-01_ses-1"}
    assert {split_name(path) for path in record_files(tmp_path)} == {
        ("sub-02", "swi"),
        ("sub-02", "qc"),
        ("sub-01_ses-1", "swi"),
    }
    assert split_name(tmp_path / "other.json") == ("", "")


def test_steps_and_products_of_earlier_versions_have_their_new_names(tmp_path):
    old = {
        "step": "drawn",
        "basename": "sub-01_drawn",
        "outputs": {"regions_drawn@mine": {"a.tsv": "1"}},
        "paths": {"dseg_drawn_gre@mine": "a.nii.gz", "chimap": "b.nii.gz"},
    }
    record = StepRecord.from_mapping(old)
    assert record.step == "manual_regions"
    assert record.outputs == {"regions_manual@mine": {"a.tsv": "1"}}
    assert record.paths == {"dseg_manual_gre@mine": "a.nii.gz", "chimap": "b.nii.gz"}
    assert split_name(tmp_path / "sub-01_member_step-member.json") == ("sub-01_member", "subject")


def test_every_old_name_of_a_step_or_product_leads_to_one_that_exists():
    listings = [listing for name, listing in vars(steps).items() if name.endswith("_steps")]
    names = {step.name for listing in listings for step in listing()}
    assert set(aliases.STEPS.values()) <= names
    assert not set(aliases.STEPS) & names
    assert set(aliases.PRODUCTS.values()) <= set(PRODUCTS)
    assert not set(aliases.PRODUCTS) & set(PRODUCTS)


OWN = StepRecord(
    "reference",
    "sub-01_ses-1",
    outputs={"chimap": {"sub-01_ses-1_Chimap.nii.gz": "12"}},
    paths={
        "chimap": "sub-01/ses-1/anat/sub-01_ses-1_Chimap.nii.gz",
        "quality": "../w/sub-01/ses-1/sub-01_ses-1_quality.npy",
    },
    metrics={"offset": 0.1},
    warnings=("look",),
)


@pytest.mark.parametrize(
    ("basename", "key", "path"),
    [
        ("group", "group_qc", "group_desc-qc_stats.tsv"),
        ("tpl-Own_maps", "mean_chimap", "tpl-Own/anat/tpl-Own_stat-mean_Chimap.nii.gz"),
        ("sub-01_acq-x_T1w", "t1w_preproc", "sub-01/anat/sub-01_acq-x_desc-preproc_T1w.nii.gz"),
        ("sub-01_template", "space_chimap@Own", "sub-01/anat/sub-01_space-Own_Chimap.nii.gz"),
        ("sub-01", "of a later version", "anything"),
    ],
)
def test_products_of_every_level_are_a_records_own(tmp_path, basename, key, path):
    place = tmp_path / f"{basename}_step-x.json"
    record = StepRecord("x", basename, paths={key: path})
    write_record(place, record)
    assert load_own_record(place) == record


@pytest.mark.parametrize(
    "change",
    [
        {"basename": "sub-01"},
        {"basename": "sub-02_ses-1"},
        {"step": "mask"},
        {"paths": {"chimap": "sub-02/ses-1/anat/sub-02_ses-1_Chimap.nii.gz"}},
        {"paths": {"chimap": "sub-01/ses-2/anat/sub-01_ses-2_Chimap.nii.gz"}},
        {"paths": {"chimap": "sub-02/ses-1/anat/sub-01_ses-1_Chimap.nii.gz"}},
        {"paths": {"chimap": "sub-01/ses-1/../../../sub-01_ses-1_Chimap.nii.gz"}},
        {"paths": {"chimap": "/sub-01/ses-1/anat/sub-01_ses-1_Chimap.nii.gz"}},
        {"paths": {"chimap": "sub-01/ses-1/anat/sub-01_ses-1_mask.nii.gz"}},
        {"paths": {"quality": "../w/sub-02/sub-02_quality.npy"}},
        {"metrics": {"offset": 0.2}},
        {"warnings": []},
        {"methods": ["rts"]},
    ],
)
def test_a_record_is_believed_only_about_its_own(tmp_path, change):
    path = tmp_path / "sub-01_ses-1_step-reference.json"
    sealed = replace(OWN, results=OWN.digest_of_results())
    write_record(path, sealed)
    assert load_own_record(path) == sealed
    assert not is_damaged(path)
    path.write_text(json.dumps(sealed.to_mapping() | change))
    assert load_record(path) is not None
    assert load_own_record(path) is None
    assert is_damaged(path)
    remove_record(path)
    assert not is_damaged(path)
