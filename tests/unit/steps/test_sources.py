"""What steps open is what decides about a rerun: tables of labels, dictionaries of columns, regions of a reference."""

import csv
import json

import numpy as np
import pytest

from bids_app.derivatives.files import write_image, write_json, write_table
from bids_app.engine.cache import path_of
from bids_app.engine.chain import Chain
from bids_app.model.cohort import Cohort, CompletenessEntry, GroupRun
from bids_app.model.context import Context
from bids_app.model.records import Echo, GreRun
from bids_app.model.settings import build_settings
from bids_app.model.step import Output, Step, StepResult
from bids_app.steps.group.tables import JOIN
from bids_app.steps.participant.reference import REFERENCE
from bids_app.steps.participant.regions import LABELS, TABLES

SHAPE = (24, 26, 22)
SUBJECT = (("sub", "01"),)


@pytest.fixture
def context(tmp_path):
    return Context(tmp_path / "bids", tmp_path / "out", tmp_path / "work", 1)


def _maps(step):
    x, y, z = np.meshgrid(*[np.arange(n) - n / 2 for n in SHAPE], indexing="ij")
    head = (x**2 + y**2 + z**2 < 90).astype(np.float32)
    maps = {"magnitude": 100 * head, "mask_qsm": head, "chi_unreferenced": np.where(x < 0, -0.1, 0.2) * head}
    return StepResult({key: Output(data.astype(np.float32), affine=np.eye(4)) for key, data in maps.items()})


MAPS = Step("maps", "", _maps, makes=lambda run, settings: ("magnitude", "mask_qsm", "chi_unreferenced"))


def names(folder, *regions):
    rows = [{"index": index, "name": name} for index, name in enumerate(regions, start=1)]
    write_table(folder / "sub-01_seg-mine_dseg.tsv", rows)


@pytest.fixture
def segmentation(tmp_path):
    """Return the folder of a segmentation of two boxes, low and high susceptibility, with its table."""
    folder = tmp_path / "derivatives" / "sub-01" / "anat"
    labels = np.zeros(SHAPE, np.int16)
    labels[8:11, 10:16, 8:14], labels[13:16, 10:16, 8:14] = 1, 2
    write_image(folder / "sub-01_seg-mine_dseg.nii.gz", labels, np.eye(4), "int16")
    names(folder, "left putamen", "right putamen")
    return folder


def go(segmentation, context, steps=(MAPS, *LABELS, REFERENCE, *TABLES)):
    echo = Echo(1, 0.01, phase=context.bids_dir / "sub-01_phase.nii.gz")
    run = GreRun("01", None, SUBJECT, "MEGRE", "anat", (echo,), 3.0)
    chosen = {"which": ["*_seg-mine_dseg.nii.gz"], "derivatives": [str(segmentation.parents[1])]}
    settings = build_settings({"segmentation": chosen, "reference": {"region": "left putamen"}})
    result = Chain(steps, run, settings, context).run()
    assert result.failures == []
    with path_of("regions@mine", run, context).open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return result.ran, {f"{row['hemisphere']} {row['name']}": round(float(row["chi_mean"]), 3) for row in rows}


def test_sides_that_are_corrected_in_the_table_of_a_segmentation_change_what_depends_on_them(segmentation, context):
    assert go(segmentation, context) == (
        ["maps", "labels-given", "reference", "regions-given"],
        {"L putamen": 0.0, "R putamen": 0.3},
    )
    assert go(segmentation, context)[0] == []
    names(segmentation, "right putamen", "left putamen")
    assert go(segmentation, context) == (
        ["labels-given", "reference", "regions-given"],
        {"R putamen": -0.3, "L putamen": 0.0},
    )
    (segmentation / "sub-01_seg-mine_dseg.tsv").unlink()
    write_table(segmentation.parent / "dseg.tsv", [{"index": 1, "name": "left putamen"}, {"index": 2, "name": "rest"}])
    assert go(segmentation, context)[1] == {"L putamen": 0.0, "n/a rest": 0.3}


def test_a_dictionary_of_columns_changes_the_tables(context):
    bids, run = context.bids_dir, GroupRun(SUBJECT, ())
    write_table(bids / "participants.tsv", [{"participant_id": "sub-01", "age": 30}])
    write_table(bids / "sub-01" / "sub-01_sessions.tsv", [{"session_id": "ses-1", "weight": 70}])
    cohort = Cohort(
        (GroupRun(SUBJECT, ("regions@mine",)),),
        (CompletenessEntry("01", None, run.basename, "found"),),
        bids / "participants.tsv",
        (bids / "sub-01" / "sub-01_sessions.tsv",),
    )
    table = path_of("regions@mine", run, context)
    write_table(table, [{"index": 1, "name": "putamen", "hemisphere": "L", "chi_mean": 0.1}])

    def described():
        chain = Chain((JOIN,), cohort, build_settings({}), context)
        result = chain.run()
        assert result.failures == []
        assert chain.verify().failures == []
        sidecar = path_of("group_long@mine", cohort, context).with_suffix(".json")
        content = json.loads(sidecar.read_text())
        return result.ran, [content[name]["Description"] for name in ("age", "weight")]

    assert described() == (["tables"], ["Column of participants.tsv", "Column of sessions.tsv"])
    assert described()[0] == []
    write_json(bids / "participants.json", {"age": {"Description": "Age at scan"}})
    assert described() == (["tables"], ["Age at scan", "Column of sessions.tsv"])
    write_json(bids / "sessions.json", {"weight": {"Description": "Body weight"}})
    assert described() == (["tables"], ["Age at scan", "Body weight"])
    assert described()[0] == []
