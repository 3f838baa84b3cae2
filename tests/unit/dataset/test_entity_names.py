"""The entities of names are those that pybids finds."""

import pytest

from bids_app.dataset.entity_names import EntityReader, filter_entities
from bids_app.model.naming import run_entities

NAMES = [
    ("01", "anat", "sub-01_echo-1_part-mag_MEGRE.nii.gz"),
    ("02", "anat", "sub-02_echo-1_part-mag_MEGRE.nii.gz"),
    ("A+b", "ses-1/anat", "sub-A+b_ses-1_acq-hi_ce-gd_rec-norm_dir-AP_run-01_T1w.nii"),
    ("01", "ses-1/anat", "sub-01_ses-2_run-007_run-8_mod-x_proc-y_space-z_chunk-3_T1w.nii.gz"),
    ("01", "anat", "sub-01_flip-1_mt-off_inv-2_part-phase_MPM.nii.gz"),
    ("01", "anat", "sub-01_run-1a_echo-x_mt-maybe_part-phases_MEGRE.nii.gz"),
    ("01", "anat", "sub-01_sample-s_task-t_tracksys-k_nuc-n_voi-v_stain-i_trc-r_recording-c_T2starw.nii.gz"),
    ("01", "anat", "sub-01_sub-02_acq-a.b_MEGRE.nii.gz"),
    ("a.b", "anat", "sub-a.b_xsub-1_coil-01_MEGRE.nii.gz"),
]


@pytest.mark.filterwarnings("ignore")
def test_entities_are_those_of_pybids_and_of_the_run():
    from bids.layout import parse_file_entities

    reader = EntityReader()
    for _ in range(2):  # the second time from what is known
        for label, visit, name in NAMES:
            entities, of_run = reader.read(label, visit, name)
            expected = parse_file_entities(f"/sub-{label}/{visit}/{name}", config=["bids"])
            assert entities == {key: str(value) for key, value in expected.items()}, name
            assert of_run == run_entities(name)


def test_other_participants_have_their_own_label():
    reader = EntityReader()
    first, second = (reader.read(label, "anat", f"sub-{label}_MEGRE.nii") for label in ("01", "02"))
    assert (first[0]["subject"], second[0]["subject"]) == ("01", "02")
    assert second == (filter_entities("sub-02/anat", "sub-02_MEGRE.nii"), (("sub", "02"),))
