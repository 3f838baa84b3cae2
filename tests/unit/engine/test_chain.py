"""When steps run, when they are skipped, and what a failure does to the others."""

import json
import shutil
from dataclasses import replace
from hashlib import blake2b

import nibabel as nib
import numpy as np
import pytest

from bids_app.derivatives.products import PRODUCTS, Product, product_from
from bids_app.derivatives.records import load_own_record, record_path
from bids_app.engine.cache import Hashes, path_of
from bids_app.engine.chain import Chain
from bids_app.model.step import Output, Step, StepResult


class Counter(list):
    """Steps that note their names when they run; products hold a number that tells them apart."""

    def make(self, name, products, needs=(), sources=False, value=1.0, **more):
        def function(step):
            self.append(name)
            data = np.full((3, 3, 3), value, np.float32)
            like = step.record.echoes[0].phase if hasattr(step.record, "echoes") else step.record.path
            return StepResult({key: Output(data, like) for key in products})

        if sources:
            more["sources"] = lambda record, settings: {"image": record.echoes[0].phase}
        return Step(name, name, function, needs=lambda r, s: needs, makes=lambda r, s: products, **more)


@pytest.fixture
def ran():
    return Counter()


@pytest.fixture
def steps(ran):
    return (
        ran.make("first", ("total_field", "quality"), sources=True),
        ran.make("second", ("mask_brain",), needs=("quality",), reads=("mask",)),
        ran.make("third", ("chimap",), needs=("total_field", "mask_brain"), reads=("inversion",)),
        ran.make("apart", ("r2star",), sources=True),
    )


def go(steps, run, settings, context, **more):
    return Chain(steps, run, settings, context, **more).run()


def test_what_an_earlier_command_made_stays_while_its_sources_do(steps, ran, run, settings, context):
    """Regions that an earlier command made of the same map stay as long as the map, and are removed with it."""
    regions = ran.make("regions", ("local_field",), needs=("chimap",))
    pages = ran.make("pages", ("swi",), needs=("local_field",))
    go((*steps, regions, pages), run, settings, context)
    without = [replace(step, makes=lambda r, s: ()) for step in (regions, pages)]
    places = [path_of(key, run, context) for key in ("local_field", "swi")]
    result = go((*steps, *without), run, settings, context)
    assert result.warnings == [] and all(place.is_file() for place in places)
    changed = ran.make(
        "third", ("chimap",), needs=("total_field", "mask_brain"), reads=("mask", "inversion"), value=2.0
    )
    plan = (*steps[:2], changed, steps[3], *without)
    assert Chain(plan, run, settings, context).others.outdated({}, Hashes(context.output_dir)) == []
    result = go(plan, run, settings, context)
    assert [warning.split(" is removed")[0].split()[-1] for warning in result.warnings] == ["regions", "pages"]
    assert not any(place.exists() for place in places)
    assert not any(record_path(step.name, run, context.output_dir).exists() for step in without)
    assert go(plan, run, settings, context).warnings == []


def test_what_an_earlier_command_made_of_a_changed_file_is_found_where_nothing_else_is_to_do(
    ran, run, settings, context, tmp_path
):
    table = tmp_path / "table.tsv"
    table.write_text("a")
    named = ran.make("named", ("swi",), sources=False)
    named = replace(named, sources=lambda r, s: {"table": table})
    first = ran.make("first", ("total_field",), sources=True)
    go((first, named), run, settings, context)
    without = replace(named, makes=lambda r, s: ())
    chain = Chain((first, without), run, settings, context)
    assert chain.unfinished() == [] and chain.others.outdated(chain.records, chain.hashes) == []
    table.write_text("b")
    chain = Chain((first, without), run, settings, context)
    assert chain.unfinished() == [] and chain.others.outdated(chain.records, chain.hashes) == ["named"]
    assert len(chain.run().warnings) == 1 and not path_of("swi", run, context).exists()


def test_nothing_runs_twice(steps, ran, run, settings, context):
    go(steps, run, settings, context)
    assert ran == ["first", "second", "third", "apart"]
    assert Chain(steps, run, settings, context).unfinished() == []
    result = go(steps, run, settings, context)
    assert len(ran) == 4
    assert result.skipped == ["first", "second", "third", "apart"]


def test_a_lost_work_product_is_made_again_only_when_a_later_step_needs_it(steps, ran, run, settings, context):
    go(steps, run, settings, context)
    path_of("quality", run, context).unlink()
    ran.clear()
    assert Chain(steps, run, settings, context).unfinished() == []
    go(steps, run, settings, context)
    assert ran == []
    settings.inversion.values["method"] = "b"  # read by the third step, which does not need the lost file
    go(steps, run, settings, context)
    assert ran == ["third"]
    assert not path_of("quality", run, context).exists()
    settings.mask.values["level"] = 2  # read by the second, which does
    ran.clear()
    result = go(steps, run, settings, context)
    assert ran == ["first", "second"]  # the mask has the same bytes as before, so that the third stays
    assert result.ran == ["first", "second"]
    assert result.skipped == ["third", "apart"]


def test_copied_outputs_leave_the_working_files_of_the_original_alone(ran, run, settings, context, tmp_path):
    """The copy's records name the original's working folder; a step that makes less removes its own files only."""

    def keys(record, chosen):
        return (
            ("chi_unreferenced", "trend", "r2star")
            if chosen.inversion.values["method"] == "a"
            else ("chi_unreferenced",)
        )

    made = ran.make("chi", ("chi_unreferenced", "trend", "r2star"), reads=("inversion",))
    fewer = ran.make("chi", ("chi_unreferenced",), reads=("inversion",))
    step = replace(
        made,
        makes=keys,
        function=lambda given: (made if given.settings.inversion.values["method"] == "a" else fewer).function(given),
    )
    go((step,), run, settings, context)
    copy = replace(context, output_dir=tmp_path / "copy", work_dir=tmp_path / "other_work")
    shutil.copytree(context.output_dir, copy.output_dir)
    settings.inversion.values["method"] = "b"
    go((step,), run, settings, copy)
    assert path_of("trend", run, context).is_file()
    assert path_of("r2star", run, context).is_file()
    assert not path_of("r2star", run, copy).exists()
    go((step,), run, settings, context)
    assert not path_of("trend", run, context).exists()
    assert not path_of("r2star", run, context).exists()


def test_a_working_file_of_another_record_that_is_gone_is_made_again_only_for_a_step_that_runs(
    ran, run, settings, context
):
    other = replace(run, entities=(("sub", "02"),), subject="02")
    never = replace(run, entities=(("sub", "03"),), subject="03")
    makers = (ran.make("own", ("quality",), sources=True),)
    seen = []

    def gather(level):
        def function(step):
            seen.append(sorted(name for name, path in step.inputs.items() if path.is_file()))
            return StepResult({"r2star": Output(np.ones((3, 3, 3), np.float32), run.echoes[0].phase)})

        return Step(
            "gather",
            "gather",
            function,
            reads=(level,),
            makers=makers,
            makes=lambda r, s: ("r2star",),
            collects=lambda r, s: {"a": (other, "quality"), "b": (never, "quality")},
        )

    go(makers, other, settings, context)
    go((gather("mask"),), run, settings, context)
    path_of("quality", other, context).unlink()
    result = go((gather("mask"),), run, settings, context)
    assert (result.skipped, ran, seen) == (["gather"], ["own"], [["a"]])
    go((gather("inversion"),), run, settings, context)  # other parameters: it runs, and needs the file
    assert (ran, seen) == (["own", "own"], [["a"], ["a"]])


def test_shared_working_files_lie_where_other_processes_see_them(run, context):
    elsewhere = replace(context, shared_dir=context.output_dir / "work")
    member = replace(run, entities=(("sub", "01"),))
    assert context.work_dir in path_of("xfm_iteration@iteration2", member, context).parents
    assert elsewhere.shared_dir in path_of("xfm_iteration@iteration2", member, elsewhere).parents
    assert elsewhere.work_dir in path_of("quality", member, elsewhere).parents


def test_a_damaged_output_or_sidecar_is_made_again(steps, ran, run, settings, context):
    go(steps, run, settings, context)
    ran.clear()
    path = path_of("chimap", run, context)
    path.with_name("sub-01_Chimap.json").unlink()
    go(steps, run, settings, context)
    assert ran == ["third"]
    before = path.read_bytes()
    path.write_bytes(b"x" * len(before))
    go(steps, run, settings, context)
    assert ran == ["third", "third"]
    assert path.read_bytes() == before


def test_touched_or_moved_input_reruns_nothing_and_changed_metadata_does(steps, ran, run, settings, context):
    go(steps, run, settings, context)
    ran.clear()
    run.echoes[0].phase.touch()
    go(steps, run, settings, context)
    assert ran == []
    go(steps, replace(run, field_strength=7.0), settings, context)
    assert ran == ["first", "second", "third", "apart"]


def test_a_failing_step_blocks_what_needs_it_and_nothing_else(steps, ran, run, settings, context):
    def fails(step):
        raise ValueError("no voxel left")

    broken = (steps[0], replace(steps[1], function=fails), *steps[2:])
    result = go(broken, run, settings, context)
    assert ran == ["first", "apart"]
    assert [failure.step for failure in result.failures] == ["second", "third"]
    assert "no voxel left" in result.failures[0].sentence
    assert "Traceback" in result.failures[0].traceback
    assert result.failures[1].sentence == "not run, because it needs what step second makes"
    assert [failure.blocked for failure in result.failures] == [False, True]
    ran.clear()
    assert go(steps, run, settings, context).failures == []
    assert ran == ["second", "third"]


def test_a_failure_makes_earlier_success_count_no_longer(steps, ran, run, settings, context):
    def fails(step):
        raise MemoryError

    go(steps, run, settings, context)
    settings.mask.values["level"] = 2
    broken = (steps[0], replace(steps[1], function=fails), *steps[2:])
    assert "memory ran out" in go(broken, run, settings, context).failures[0].sentence
    assert not record_path(steps[2].name, run, context.output_dir).exists()
    # Nothing of the earlier parameters looks like a result of these.
    gone = [path_of(key, run, context) for key in ("mask_brain", "chimap")]
    assert [
        path for path in gone if path.exists() or path.with_name(path.name.replace(".nii.gz", ".json")).exists()
    ] == []
    assert path_of("r2star", run, context).is_file()


def test_a_step_sees_only_the_sections_that_it_declares(run, settings, context):
    def peeks(step):
        return step.settings.inversion

    step = Step("peek", "", peeks, reads=("mask",), makes=lambda r, s: ("chimap",))
    assert "does not declare" in go((step,), run, settings, context).failures[0].sentence


def test_products_of_the_anatomical_image(ran, run, settings, context, monkeypatch):
    product = Product("t1w_x", "work", "t1wx", extension=".npy")
    monkeypatch.setitem(PRODUCTS, "t1w_x", product)
    anatomical = (ran.make("t1w", ("t1w_x",), sources=False),)
    seen = {}

    def uses(step):
        seen.update(step.inputs)
        return StepResult({"chimap": Output(np.load(step.inputs["t1w_x"]), run.echoes[0].phase)})

    steps = (
        Step("uses", "", uses, needs_t1w=lambda r, s: ("t1w_x",), makes=lambda r, s: ("chimap",)),
        ran.make("alone", ("r2star",)),
    )
    result = go(steps, run, settings, context, t1w_steps=anatomical)
    assert [failure.step for failure in result.failures] == ["uses"]  # the anatomical steps have not run
    assert result.failures[0].sentence == "not run, because it needs t1w_x of sub-01_T1w"
    assert result.ran == ["alone"]
    go(anatomical, run.t1w, settings, context)
    assert go(steps, run, settings, context, t1w_steps=anatomical).ran == ["uses"]
    assert seen["t1w_x"].name == "sub-01_t1wx.npy"
    seen["t1w_x"].unlink()
    assert go(steps, run, settings, context, t1w_steps=anatomical).ran == []
    changed = (replace(steps[0], reads=("mask",)), steps[1])
    assert go(changed, run, settings, context, t1w_steps=anatomical).ran == ["uses"]  # made again on demand
    assert seen["t1w_x"].exists()


def test_tables_segmentations_and_transforms(run, settings, context, monkeypatch):
    columns = {"region": {"Description": "Name"}, "mean": {"Description": "Mean", "Units": "ppm"}}
    kinds = (
        Product("roi", "anat", "stats", (("seg", "x"), ("desc", "chi")), extension=".tsv", columns=columns),
        product_from("labels", {"kind": "segmentation", "entities": {"seg": "x"}, "labelled": "", "dtype": "int16"}),
        product_from(
            "warp", {"kind": "transform", "entities": {"from": "T1w", "to": "GRE", "mode": "image"}, "extension": ".h5"}
        ),
    )
    for product in kinds:
        monkeypatch.setitem(PRODUCTS, product.key, product)

    def function(step):
        made = step.work_dir / "any.h5"
        made.write_bytes(b"transform")
        labels = np.zeros((3, 3, 3), np.int32)
        labels[0] = 1010
        names = [{"index": 1010, "name": "caudate left"}]
        rows = [{"region": "caudate", "mean": np.float32(0.05)}, {"region": "none", "mean": float("nan")}]
        return StepResult(
            {
                "roi": Output(rows=rows),
                "labels": Output(labels, affine=np.diag([2.0, 2, 2, 1]), rows=names),
                "warp": Output(file=made),
            }
        )

    step = Step("all", "", function, makes=lambda r, s: ("roi", "labels", "warp"))
    result = go((step,), run, settings, context)
    assert result.failures == []
    anat = context.output_dir / "sub-01/anat"
    assert (anat / "sub-01_seg-x_desc-chi_stats.tsv").read_text() == "region\tmean\ncaudate\t0.05\nnone\tn/a\n"
    dictionary = json.loads((anat / "sub-01_seg-x_desc-chi_stats.json").read_text())
    assert dictionary["mean"]["Units"] == "ppm"
    image = nib.load(anat / "sub-01_seg-x_dseg.nii.gz")
    assert image.get_data_dtype() == np.int16
    assert np.allclose(image.affine, np.diag([2, 2, 2, 1]))
    assert (anat / "sub-01_seg-x_dseg.tsv").read_text() == "index\tname\n1010\tcaudate left\n"
    assert (anat / "sub-01_from-T1w_to-GRE_mode-image_xfm.h5").read_bytes() == b"transform"
    assert list(context.work_dir.iterdir()) == []
    (anat / "sub-01_seg-x_dseg.tsv").unlink()
    assert go((step,), run, settings, context).ran == ["all"]


def test_progress_is_passed_on_and_throttled(run, settings, context, ran):
    events = []

    def long(step):
        for done in range(1000):
            step.progress(done, 1000)
        return StepResult({"r2star": Output(np.zeros((3, 3, 3)), run.echoes[0].phase)})

    step = Step("long", "", long, makes=lambda r, s: ("r2star",))
    Chain((step,), run, settings, context, lambda *event: events.append(event)).run()
    assert [event[0] for event in events if event[0] != "progress"] == ["started", "finished"]
    assert len(events) < 100
    counts = [event[2:] for event in events if event[0] == "progress"]
    assert counts
    assert all(done <= total == 1000 for done, total in counts)


def test_what_a_step_read_has_the_digest_of_what_another_wrote(steps, run, settings, context):
    go(steps, run, settings, context)
    made, used = (load_own_record(record_path(name, run, context.output_dir)) for name in ("second", "third"))
    assert used.inputs["mask_brain"] == made.outputs["mask_brain"]["sub-01_desc-brain_mask.nii.gz"]
    written = {**made.outputs["mask_brain"], **used.outputs["chimap"]}
    folder = path_of("chimap", run, context).parent
    assert written == {name: blake2b((folder / name).read_bytes(), digest_size=16).hexdigest() for name in written}
    assert len(written) == 4
    path = path_of("total_field", run, context)
    working = load_own_record(record_path("first", run, context.output_dir)).outputs["total_field"]
    assert working[path.name] == blake2b(path.read_bytes(), digest_size=16).hexdigest()


def _names_of(label):
    """Return a step that makes a segmentation of one voxel value, and the name of its label by the settings."""

    def function(step):
        rows = [{"index": 1, "name": step.settings.mask.values["name"]}]
        return StepResult({f"dseg_gre@{label}": Output(np.ones((3, 3, 3), np.int32), affine=np.eye(4), rows=rows)})

    return Step("labels", "", function, reads=("mask",), makes=lambda record, settings: (f"dseg_gre@{label}",))


def test_the_table_of_a_segmentation_is_an_input_of_what_reads_the_segmentation(run, settings, context):
    read = []

    def function(step):
        read.append(step.inputs["lookup:dseg_gre@x"].read_text().split()[-1])
        return StepResult({"r2star": Output(np.ones((3, 3, 3), np.float32), affine=np.eye(4))})

    reader = Step("reader", "", function, needs=lambda r, s: ("dseg_gre@x",), makes=lambda r, s: ("r2star",))
    for name, ran in (("putamen", ["labels", "reader"]), ("putamen", []), ("caudate", ["labels", "reader"])):
        settings.mask.values["name"] = name
        assert go((_names_of("x"), reader), run, settings, context).ran == ran
    assert read == ["putamen", "caudate"]
    record = load_own_record(record_path("reader", run, context.output_dir))
    assert record.inputs.keys() == {"dseg_gre@x", "lookup:dseg_gre@x"}
    sidecar = json.loads(path_of("r2star", run, context).with_name("sub-01_R2starmap.json").read_text())
    assert [source.rpartition(".")[2] for source in sidecar["Sources"]] == ["gz"]  # the table goes with the image


def test_a_sidecar_that_a_step_reads_is_an_input_of_it(run, settings, context):
    read = []

    def maker(step):
        facts = {"Similarity": step.settings.mask.values["level"]}
        return StepResult({"chimap": Output(np.ones((3, 3, 3), np.float32), affine=np.eye(4), sidecar=facts)})

    def function(step):
        read.append(json.loads(step.inputs["sidecar:map"].read_text())["Similarity"])
        return StepResult({"r2star": Output(np.ones((3, 3, 3), np.float32), affine=np.eye(4))})

    steps = (
        Step("maker", "", maker, reads=("mask",), makes=lambda r, s: ("chimap",)),
        Step(
            "reader",
            "",
            function,
            collects=lambda record, settings: {"map": (record, "chimap")},
            sidecars=lambda record, settings: ("map",),
            makes=lambda record, settings: ("r2star",),
        ),
    )
    for level in (1, 1, 2):
        settings.mask.values["level"] = level
        assert go(steps, run, settings, context).failures == []
    assert read == [1, 2]


def test_of_an_image_whose_header_is_read_only_the_header_counts(ran, run, settings, context):
    image = run.echoes[0].phase
    step = ran.make("grid", ("r2star",), headers=lambda record, settings: {"image": record.echoes[0].phase})
    affine, data = np.eye(4), np.zeros((3, 3, 3), np.int16)
    go((step,), run, settings, context)
    nib.save(nib.Nifti1Image(data + 7, affine), image)
    assert go((step,), run, settings, context).ran == []
    affine[0, 3] = 5
    nib.save(nib.Nifti1Image(data, affine), image)
    assert go((step,), run, settings, context).ran == ["grid"]
    image.write_bytes(b"damaged")
    assert "grid" in Chain((step,), run, settings, context).unfinished()[0].name


def test_an_input_that_changes_while_its_step_runs_is_recorded_as_it_was_and_read_again(run, settings, context):
    image, times = run.echoes[0].phase, []

    def slow(step):
        times.append(0)
        if len(times) == 1:
            nib.save(nib.Nifti1Image(np.ones((3, 3, 3), np.int16), np.eye(4)), image)
        return StepResult({"r2star": Output(np.ones((3, 3, 3), np.float32), affine=np.eye(4))})

    step = Step("slow", "", slow, sources=lambda r, s: {"image": image}, makes=lambda r, s: ("r2star",))
    before = blake2b(image.read_bytes(), digest_size=16).hexdigest()
    go((step,), run, settings, context)
    record = load_own_record(record_path("slow", run, context.output_dir))
    assert (record.inputs["image"], record.files[0].hash) == (before, before)
    assert go((step,), run, settings, context).ran == ["slow"]
    assert go((step,), run, settings, context).ran == []


def test_a_product_of_another_level_that_is_gone_is_one_sentence(run, settings, context):
    reader = Step(
        "reader",
        "",
        lambda step: None,
        sources=lambda r, s: {"table": context.bids_dir / "gone.tsv"},
        makes=lambda r, s: ("r2star",),
    )
    (failure,) = go((reader,), run, settings, context).failures
    assert failure.sentence.startswith(f"{context.bids_dir / 'gone.tsv'} is not there")
