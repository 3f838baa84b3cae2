"""Who is in the group is found from what is there, not from what should be."""

import json

from bids_app.dataset.cohort import problems, survey
from tests.helpers.group_study import write_table_study


def entries(bids, out, **more):
    return {s.run: s.status for s in survey(bids, out, **more).entries}


def test_everybody_is_found(tmp_path):
    bids, out = write_table_study(tmp_path, count=3, sessions=2)
    cohort = survey(bids, out)
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
        "sub-02": "failed",
        "sub-03": "missing",
        "sub-04": "incomplete",
        "sub-05": "no data",
        "sub-06": "failed",
        "sub-07": "found",
    }
    assert "no space" in "".join(problems(survey(bids, out)))


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
    (run,) = survey(bids, out).runs
    assert run.similarity == 0.4
    assert run.t1w == (("sub", "01"), ("acq", "x"))
