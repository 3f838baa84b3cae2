"""Who is in the group is found from what is there, not from what should be."""

import json
import os

import pytest

from bids_app.dataset.cohort import Wanted, from_json, problems, survey, to_json
from bids_app.dataset.integrity import TABLE_READS, TEMPLATE_READS, Verifier, is_read
from bids_app.derivatives.ratings import Rating
from bids_app.model.settings import build_settings
from tests.helpers.group_study import write_step, write_table_study


def cohort_of(bids, out, **wanted):
    return survey(bids, out, Wanted(**wanted))[0]


def entries(bids, out, **wanted):
    return {s.run: s.status for s in cohort_of(bids, out, **wanted).entries}


def reason(bids, out, run, **wanted):
    return next(s.reason for s in cohort_of(bids, out, **wanted).entries if s.run == run)


def test_everybody_is_found(tmp_path):
    bids, out = write_table_study(tmp_path, count=3, sessions=2)
    cohort = cohort_of(bids, out)
    assert [run.basename for run in cohort.runs] == [f"sub-0{n}_ses-{s}" for n in (1, 2, 3) for s in (1, 2)]
    assert cohort.segmentations == ("nuclei",)
    assert problems(cohort) == []
    assert len(cohort.sessions) == 3


def test_what_is_gone_cut_or_never_made_is_told_apart(tmp_path):
    bids, out = write_table_study(tmp_path, count=7)
    (out / "sub-01/anat/sub-01_Chimap.nii.gz").unlink()
    (out / "sub-02/anat/sub-02_Chimap.nii.gz").write_bytes(b"m")  # cut
    for path in (out / "logs/records/sub-03").iterdir():
        path.unlink()
    (out / "sub-04/anat/sub-04_seg-nuclei_desc-chi_stats.tsv").unlink()
    (out / "logs/crash-20260101T000000-sub-04.txt").write_text("app\nstep regions: no space\n")
    (bids / "sub-05/anat/sub-05_echo-1_part-phase_MEGRE.nii.gz").unlink()
    for path in (out / "logs/records/sub-05").iterdir():
        path.unlink()
    (out / "logs/records/sub-06/sub-06_step-chi.json").write_text("{")  # damaged
    assert entries(bids, out) == {
        "sub-01": "failed",
        "sub-02": "changed",
        "sub-03": "missing",
        "sub-04": "incomplete",
        "sub-05": "no data",
        "sub-06": "failed",
        "sub-07": "found",
    }
    assert "no space" in "".join(problems(cohort_of(bids, out)))


def test_who_was_computed_slice_by_slice_is_no_part_of_the_group(tmp_path):
    bids, out = write_table_study(tmp_path, count=3)
    field = out / "sub-02/fmap/sub-02_desc-total_fieldmap.nii.gz"
    field.parent.mkdir(exist_ok=True)
    field.write_bytes(b"field")
    for path in (out / "logs/records/sub-02").iterdir():
        path.unlink()
    write_step(out, "sub-02", "slices", "sub-02", {"total_field": field})
    cohort = cohort_of(bids, out)
    assert [run.basename for run in cohort.runs] == ["sub-01", "sub-03"]
    assert (entries(bids, out)["sub-02"], problems(cohort)) == ("excluded", [])
    assert reason(bids, out, "sub-02") == "computed slice by slice: there is no susceptibility map"


def test_one_of_two_runs_that_never_ran_is_missed(tmp_path):
    bids, out = write_table_study(tmp_path, count=2)
    (bids / "sub-01/anat/sub-01_run-2_echo-1_part-phase_MEGRE.nii.gz").touch()
    assert entries(bids, out)["sub-01_run-2"] == "missing"
    assert "sub-01_run-2" not in entries(bids, out, by_run=False)  # a filter may have left it out


def test_only_the_chosen_are_compared(tmp_path):
    bids, out = write_table_study(tmp_path, count=3, sessions=2)
    assert list(entries(bids, out, participants=("02",), sessions=("1",))) == ["sub-02_ses-1"]


def test_similarity_and_t1w_come_from_the_registration(tmp_path):
    bids, out = write_table_study(tmp_path, count=1, sessions=1)
    record = {
        "step": "registration",
        "basename": "sub-01",
        "paths": {},
        "metrics": {"mutual_information": 0.4},
        "files": [{"path": "sub-01/anat/sub-01_acq-x_desc-preproc_T1w.nii.gz", "hash": "", "size": 1, "mtime_ns": 0}],
    }
    (out / "logs/records/sub-01/sub-01_step-registration.json").write_text(json.dumps(record))
    (run,) = cohort_of(bids, out).runs
    assert run.similarity == 0.4
    assert run.t1w == (("sub", "01"), ("acq", "x"))


def table_of(out, name):
    return out / f"{name}/anat/{name}_seg-nuclei_desc-chi_stats.tsv"


def test_an_edited_value_of_the_same_length_is_found_even_with_its_old_time(tmp_path):
    bids, out = write_table_study(tmp_path, count=4)
    path = table_of(out, "sub-02")
    before = path.stat()
    content = path.read_bytes()
    place = content.rindex(b"0.0")
    path.write_bytes(content[:place] + b"0.9" + content[place + 3 :])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert entries(bids, out) == {"sub-01": "found", "sub-02": "changed", "sub-03": "found", "sub-04": "found"}
    assert reason(bids, out, "sub-02") == (
        f"{path.name} was changed after it was made; remove it and run the level participant again"
    )
    (cohort, _) = survey(bids, out, verifier=Verifier(quick=True))  # small files are always read
    assert [s.status for s in cohort.entries].count("changed") == 1


def test_a_quick_check_trusts_the_time_of_large_images_and_no_other(tmp_path):
    bids, out = write_table_study(tmp_path, count=2)
    path = out / "sub-01/anat/sub-01_Chimap.nii.gz"
    path.write_bytes(bytes(2 << 20))
    write_step(out, "sub-01", "chi", "sub-01", {"chimap": path}, started="2026")
    write_step(out, "sub-01", "regions-given", "sub-01", {"regions@nuclei": table_of(out, "sub-01")}, [path])
    before = path.stat()
    path.write_bytes(b"1" + bytes((2 << 20) - 1))
    for quick in (False, True):
        assert survey(bids, out, verifier=Verifier(quick))[0].entries[0].status == "changed"
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert survey(bids, out, verifier=Verifier(quick=True))[0].entries[0].status == "found"
    assert survey(bids, out)[0].entries[0].status == "changed"


def test_a_new_map_with_an_old_table_is_found(tmp_path):
    bids, out = write_table_study(tmp_path, count=4)
    path = out / "sub-03/anat/sub-03_Chimap.nii.gz"
    path.write_bytes(b"new")
    write_step(out, "sub-03", "chi", "sub-03", {"chimap": path})  # killed before the regions
    assert entries(bids, out)["sub-03"] == "changed"
    assert reason(bids, out, "sub-03") == f"{table_of(out, 'sub-03').name}: made from an earlier {path.name}"
    table = next(run for run in cohort_of(bids, out).runs if run.basename == "sub-03")
    assert table.made == ("chimap",)


def test_what_is_made_of_something_stale_or_unrecorded_is_stale(tmp_path):
    bids, out = write_table_study(tmp_path, count=3)
    anat = out / "sub-01/anat"
    field, chi = anat / "sub-01_desc-local_fieldmap.nii.gz", anat / "sub-01_Chimap.nii.gz"
    field.write_bytes(b"old")
    write_step(out, "sub-01", "chi", "sub-01", {"chimap": chi}, [field])
    field.write_bytes(b"new")
    write_step(out, "sub-01", "background", "sub-01", {"local_field": field})
    cause = (
        "sub-01_Chimap.nii.gz, sub-01_seg-nuclei_desc-chi_stats.tsv: made from an earlier sub-01_desc-local_fieldmap"
    )
    assert reason(bids, out, "sub-01") == f"{cause}.nii.gz"
    (out / "logs/records/sub-01/sub-01_step-background.json").unlink()  # killed while the step ran
    assert "made from sub-01_desc-local_fieldmap.nii.gz, of which there is no record" in reason(bids, out, "sub-01")


def test_tables_that_an_earlier_command_left_are_not_used_and_no_problem(tmp_path):
    bids, out = write_table_study(tmp_path, count=3)
    for name in ("sub-01", "sub-02", "sub-03"):
        path = out / name / f"anat/{name}_Chimap.nii.gz"
        path.write_bytes(b"new")
        write_step(out, name, "chi", name, {"chimap": path})  # with --segmentation none
    cohort = cohort_of(bids, out)
    assert [s.status for s in cohort.entries] == ["found"] * 3
    assert cohort.segmentations == ()
    assert "segmentation nuclei: the tables of 3 runs were made from earlier maps" in cohort.remarks[0]


def test_a_record_of_somebody_else_counts_for_nobody(tmp_path):
    bids, out = write_table_study(tmp_path, count=2)
    folder = out / "logs/records"
    (folder / "sub-02/sub-02_step-chi.json").write_bytes((folder / "sub-01/sub-01_step-chi.json").read_bytes())
    assert entries(bids, out)["sub-02"] == "failed"


def test_who_is_not_in_the_dataset_is_left_out_unless_asked_for(tmp_path):
    bids, out = write_table_study(tmp_path, count=4)
    (bids / "sub-02/anat/sub-02_echo-1_part-phase_MEGRE.nii.gz").unlink()
    (bids / "sub-02/anat").rmdir()
    (bids / "sub-02").rmdir()
    cohort = cohort_of(bids, out)
    assert entries(bids, out) == {
        "sub-01": "found",
        "sub-02": "not in the dataset",
        "sub-03": "found",
        "sub-04": "found",
    }
    assert [run.basename for run in cohort.runs] == ["sub-01", "sub-03", "sub-04"]
    assert problems(cohort) == []
    assert "the dataset has no images of it" in reason(bids, out, "sub-02")
    assert set(entries(bids, out, with_withdrawn=True).values()) == {"found"}


def test_who_is_rated_exclude_is_left_out_with_the_note(tmp_path):
    bids, out = write_table_study(tmp_path, count=4)
    (out / "sub-04/anat/sub-04_Chimap.nii.gz").unlink()
    rated = [Rating("sub-01", "exclude", "motion"), Rating("sub-02", "good"), Rating("sub-04", "exclude")]
    rated.append(Rating("sub-09", "good"))
    cohort = cohort_of(bids, out, ratings={rating.run: rating for rating in rated})
    assert [(s.status, s.reason, s.rating, s.note) for s in cohort.entries] == [
        ("excluded", "rated exclude; motion", "exclude", "motion"),
        ("found", "", "good", ""),
        ("found", "", "", ""),
        ("excluded", "rated exclude", "exclude", ""),
    ]
    assert [run.basename for run in cohort.runs] == ["sub-02", "sub-03"]
    assert problems(cohort) == []
    assert cohort.remarks == ("sub-09 is rated, but there is no such run",)
    assert from_json(json.loads(json.dumps(to_json(cohort)))) == cohort


@pytest.mark.parametrize("template", ["none", "build"])
def test_every_product_of_a_participant_that_the_group_reads_is_compared(tmp_path, template):
    """A step of the group that reads another product must name it in ``dataset.integrity``."""
    from bids_app.engine.levels import group_stages
    from bids_app.model.cohort import Cohort
    from bids_app.model.context import Context
    from bids_app.model.group_run import GroupRun

    made = ("chimap", "r2star", "chi_paramagnetic", "chi_diamagnetic", "mask_qsm", "magnitude", "qc", "regions@a")
    made = (*made, "dseg_gre@a", "xfm_t1w_to_gre")
    runs = tuple(GroupRun((("sub", n),), made, (("sub", n), ("run", "1"))) for n in ("1", "2"))
    group = {"template": template}
    settings = build_settings({"group": group, "statistics": {"model": "chi ~ a"}})
    context = Context(tmp_path, tmp_path, tmp_path, 1)
    reads = (*TABLE_READS, *(TEMPLATE_READS if template == "build" else ()))
    read = set()
    for stage in group_stages(Cohort(runs), settings, context):
        steps, records = stage.of_records()
        for record in records:
            for step in steps():
                read |= {k for of, k in step.collects(record, settings).values() if isinstance(of, GroupRun)}
    assert read
    assert [key for key in read if not is_read(key, reads)] == []
