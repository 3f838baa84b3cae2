"""Records that are damaged, odd or of others: told and made anew, and nothing of others is removed or believed."""

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bids_app.derivatives.records import load_own_record, record_path
from bids_app.engine.cache import path_of
from bids_app.engine.chain import Chain
from bids_app.model.step import Output, Step, StepResult
from bids_app.model.step_record import StepRecord
from tests.unit.engine.conftest import files


def make(name, products, needs=(), reads=()):
    def function(step):
        like = step.record.echoes[0].phase
        outputs = {key: Output(np.ones((3, 3, 3), np.float32), like) for key in products}
        return StepResult(outputs, {"noise": 1.5, "lists": [1, {"a": None}]}, ("look",), ("rts",))

    sources = {"image": lambda record: record.echoes[0].phase}
    return Step(
        name,
        name,
        function,
        reads=reads,
        sources=lambda record, settings: {key: get(record) for key, get in sources.items()},
        needs=lambda record, settings: needs,
        makes=lambda record, settings: products,
    )


STEPS = (make("first", ("mask_brain", "quality"), reads=("mask",)), make("last", ("chimap",), needs=("mask_brain",)))


@pytest.fixture
def path(run, settings, context):
    """Return the record of the first step after a run."""
    assert Chain(STEPS, run, settings, context).run().ran == ["first", "last"]
    return record_path("first", run, context.output_dir)


def changed(**values):
    return lambda path, content: path.write_text(json.dumps(content | values))


def without(*names):
    return lambda path, content: path.write_text(json.dumps({k: v for k, v in content.items() if k not in names}))


def instead(make_it):
    def damage(path, content):
        path.unlink()
        make_it(path)

    return damage


BIG = 10**400
DAMAGES = {
    "empty": instead(lambda path: path.write_bytes(b"")),
    "half": lambda path, content: path.write_bytes(path.read_bytes()[:200]),
    "no UTF-8": instead(lambda path: path.write_bytes(b"\xff\xfe{}")),
    "null": instead(lambda path: path.write_text("null")),
    "list": instead(lambda path: path.write_text("[]")),
    "deep": instead(lambda path: path.write_text("[" * 100_000)),
    "deep metrics": lambda path, content: path.write_text(
        json.dumps(content).replace('"metrics": {', '"metrics": {"x": ' + "[" * 2000 + "]" * 2000 + ", ")
    ),
    "pipe": instead(os.mkfifo),
    "loop": instead(lambda path: path.symlink_to(path)),
    "link to nowhere": instead(lambda path: path.symlink_to(path.with_name("gone"))),
    "warnings null": changed(warnings=None),
    "warnings numbers": changed(warnings=[1]),
    "other warnings": changed(warnings=["all is well"]),
    "methods mapping": changed(methods={"rts": 1}),
    "outputs null": changed(outputs=None),
    "outputs list": changed(outputs=[]),
    "outputs of null": changed(outputs={"mask_brain": {"sub-01_desc-brain_mask.nii.gz": None}}),
    "parameters list": changed(parameters=[]),
    "other parameters": changed(parameters={"mask": {"level": []}}),
    "no parameters": without("parameters"),
    "paths null": changed(paths=None),
    "no paths": without("paths"),
    "paths with NUL": changed(paths={"mask_brain": "a\0b"}),
    "paths that no disk has": changed(paths={"mask_brain": "\ud800"}),
    "paths of another": changed(paths={"mask_brain": "sub-02/anat/sub-02_desc-brain_mask.nii.gz"}),
    "paths above": changed(paths={"mask_brain": "../sub-01/anat/sub-01_desc-brain_mask.nii.gz"}),
    "files mapping": changed(files={"path": "a"}),
    "files with a list": changed(files=[{"path": ["a"], "hash": "b", "size": 1, "mtime_ns": 1}]),
    "time of 400 digits": changed(files=[{"path": "a", "hash": "b", "size": 1, "mtime_ns": BIG}]),
    "size of 400 digits": changed(files=[{"path": "a", "hash": "b", "size": BIG, "mtime_ns": 1}]),
    "memory of 400 digits": changed(peak_memory_bytes=BIG),
    "duration of 400 digits": changed(duration_s=BIG),
    "threads of 5000 digits": lambda path, content: path.write_text(
        json.dumps(content).replace('"threads": 1', f'"threads": {"9" * 5000}')
    ),
    "metrics null": changed(metrics=None),
    "odd metrics": changed(metrics={"noise": {"deep": [None, "x"]}}),
    "metrics of 400 digits": changed(metrics={"noise": BIG}),
    "of another run": changed(basename="sub-02"),
    "of another step": changed(step="last"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_record_is_told_and_made_anew(path, run, settings, context, name):
    before, content = path.read_bytes(), json.loads(path.read_text())
    DAMAGES[name](path, content)
    assert os.path.lexists(path)
    assert Chain(STEPS, run, settings, context).unfinished() == list(STEPS)
    chain = Chain(STEPS, run, settings, context)
    chain.run()
    result = chain.verify()
    assert (result.ran, result.skipped, result.failures) == (["first"], ["last"], [])
    assert f"{path} was damaged: the step first was run again" in result.warnings
    made = load_own_record(path)
    assert (made.outputs, made.metrics) == (json.loads(before)["outputs"], json.loads(before)["metrics"])
    assert Chain(STEPS, run, settings, context).unfinished() == []


@pytest.mark.parametrize(
    "values", [{"outputs": {}}, {"files": []}, {"fingerprint": ""}, {"outputs": {"mask_brain": {}, "quality": {}}}]
)
def test_a_record_that_says_less_than_is_there_makes_it_anew_or_is_no_loss(path, run, settings, context, values):
    changed(**values)(path, json.loads(path.read_text()))
    assert Chain(STEPS, run, settings, context).run().failures == []
    assert Chain(STEPS, run, settings, context).unfinished() == []


def test_a_folder_in_the_place_of_a_record_is_one_sentence(path, run, settings, context):
    path.unlink()
    path.mkdir()
    result = Chain(STEPS, run, settings, context).run()
    assert f"{path} cannot be removed" in result.failures[0].sentence
    assert "remove it yourself" in result.failures[0].sentence
    assert result.failures[0].traceback.count("QsmAppError")


def test_odd_things_in_the_place_of_outputs_are_replaced(path, run, settings, context, tmp_path):
    anat = context.output_dir / "sub-01" / "anat"
    other = tmp_path / "other.json"
    other.write_text("{}")
    for name, put in (
        ("sub-01_desc-brain_mask.nii.gz", os.mkfifo),
        ("sub-01_desc-brain_mask.json", lambda place: place.symlink_to(other)),
        ("sub-01_Chimap.nii.gz", lambda place: place.symlink_to(place)),
    ):
        (anat / name).unlink()
        put(anat / name)
    chain = Chain(STEPS, run, settings, context)
    assert chain.run().failures == []
    assert chain.verify().ran == ["first", "last"]
    assert all(file.is_file() and not file.is_symlink() for file in anat.iterdir())
    assert other.read_text() == "{}"


def test_a_record_renamed_to_another_participant_removes_nothing_of_that_one(run, settings, context):
    """The record names a map that its step no longer makes; it must neither be removed of the one nor of the other."""
    more, fewer = make("chi", ("chimap", "r2star"), reads=("mask",)), make("chi", ("chimap",), reads=("mask",))
    second = replace(run, subject="02", entities=(("sub", "02"),))
    for each in (run, second):
        Chain((more,), each, settings, context).run()
    before = {file: (context.output_dir / file).read_bytes() for file in files(context.output_dir) if "sub-01" in file}
    first, other = (record_path("chi", each, context.output_dir) for each in (run, second))
    shutil.copy(first, other)  # sub-01's record under the name of sub-02's
    settings.mask.values["level"] = 2
    result = Chain((fewer,), second, settings, context).run()
    assert f"{other} was damaged: the step chi was run again" in result.warnings
    assert {file: (context.output_dir / file).read_bytes() for file in before} == before
    assert path_of("r2star", second, context).is_file()


def test_only_what_a_step_itself_made_is_removed(run, settings, context):
    """A record that claims another step's map, or a file of somebody else, as its own."""
    steps = (make("a", ("mask_brain",), reads=("mask",)), make("b", ("chimap",)), make("c", ("r2star",)))
    Chain(steps, run, settings, context).run()
    path = record_path("a", run, context.output_dir)
    content = json.loads(path.read_text())
    content["paths"] |= {"chimap": "sub-01/anat/sub-01_Chimap.nii.gz", "quality": "../elsewhere/sub-01_quality.npy"}
    path.write_text(json.dumps(content))
    stranger = context.output_dir.parent / "elsewhere" / "sub-01_quality.npy"
    stranger.parent.mkdir()
    stranger.write_bytes(b"mine")
    settings.mask.values["level"] = 2
    assert Chain(steps, run, settings, context).run().ran == ["a"]
    assert path_of("chimap", run, context).is_file()
    assert stranger.read_bytes() == b"mine"


def test_what_is_not_made_any_more_is_removed(run, settings, context):
    Chain((make("a", ("chimap", "r2star", "quality"), reads=("mask",)),), run, settings, context).run()
    settings.mask.values["level"] = 2
    Chain((make("a", ("chimap",), reads=("mask",)),), run, settings, context).run()
    left = [file for file in files(context.output_dir.parent) if file.startswith(("out/sub", "work"))]
    assert left == ["out/sub-01/anat/sub-01_Chimap.json", "out/sub-01/anat/sub-01_Chimap.nii.gz"]


@pytest.mark.parametrize("same_time", [False, True])
def test_a_file_that_changes_before_the_end_is_no_success(run, settings, context, same_time):
    chain = Chain(STEPS, run, settings, context)
    chain.run()
    image = path_of("mask_brain", run, context)
    state, content = image.stat(), image.read_bytes()
    image.write_bytes(content[:-1] + b"x")
    if same_time:
        os.utime(image, ns=(state.st_atime_ns, state.st_mtime_ns))
    result = chain.verify()
    assert (result.ran, [failure.step for failure in result.failures]) == (["last"], ["first"])
    assert f"{image} does not hold what was written to it" in result.failures[0].sentence
    again = Chain(STEPS, run, settings, context)
    assert again.run().ran == ["first"]
    assert again.verify().failures == []
    assert image.read_bytes() == content


def test_a_record_that_another_command_wrote_is_no_success(path, run, settings, context):
    settings.mask.values["level"] = 2
    chain = Chain(STEPS, run, settings, context)
    chain.run()
    settings.mask.values["level"] = 3
    Chain(STEPS, run, settings, context).run()
    assert [failure.step for failure in chain.verify().failures] == ["first"]
    assert Chain(STEPS, run, settings, context).unfinished() == []  # what lies there is the other command's


def test_outputs_have_the_digests_of_what_was_written_and_not_of_what_lies_there(run, settings, context, monkeypatch):
    """Who writes into the file between writing and record is found out."""
    from bids_app.engine import execution

    writes = execution.write_product

    def disturbed(key, path, *more):
        written = writes(key, path, *more)
        if key == "chimap":
            path.write_bytes(b"of another")
        return written

    monkeypatch.setattr(execution, "write_product", disturbed)
    chain = Chain(STEPS, run, settings, context)
    assert chain.run().ran == ["first", "last"]
    assert [failure.step for failure in chain.verify().failures] == ["last"]
    monkeypatch.undo()
    assert Chain(STEPS, run, settings, context).run().ran == ["last"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(BIG) | st.just(-1),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(name=st.sampled_from(sorted(StepRecord.__dataclass_fields__)), value=JSON)
@hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_content_of_a_record_raises_anything(path, run, settings, context, name, value):
    content = json.loads(path.read_text())
    kept = path.read_bytes()
    path.write_text(json.dumps(content | {name: value}))
    chain = Chain(STEPS, run, settings, context)
    chain.run()
    assert chain.verify().failures == []
    assert load_own_record(path).outputs == content["outputs"]
    path.write_bytes(kept)
