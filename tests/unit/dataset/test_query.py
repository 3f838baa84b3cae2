"""What is found, under which names, and which anatomical image goes with it."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_app.dataset.expected import sessions_of
from bids_app.dataset.metadata_checks import metadata_remarks
from bids_app.dataset.pairing import choose_t1w
from bids_app.dataset.query import find_subjects, matches
from bids_app.derivatives.names import product_path
from bids_app.derivatives.products import PRODUCTS
from bids_app.errors import InputRefusedError
from bids_app.model.records import Anatomical, GreRun


def runs_of(dataset, *args, **more):
    return [run for subject in find_subjects(dataset.root, *args, **more) for run in subject.runs]


def test_entities_tell_runs_apart_as_they_are_written(dataset):
    for prefix in ("sub-01_run-01", "sub-01_run-02", "sub-01_acq-a_rec-norm", "sub-01_acq-b"):
        dataset.megre(prefix)
    names = sorted(run.basename for run in runs_of(dataset))
    assert names == ["sub-01_acq-a_rec-norm", "sub-01_acq-b", "sub-01_run-01", "sub-01_run-02"]


def test_metadata_is_inherited_and_the_nearest_wins(dataset):
    dataset.megre("sub-01")
    dataset.megre("sub-02")
    (dataset.root / "sub-02/anat/sub-02_MEGRE.json").write_text('{"MagneticFieldStrength": 7}')
    assert [run.field_strength for run in runs_of(dataset)] == [3, 7]
    assert runs_of(dataset)[0].echo_times == (0.005, 0.01)


def test_names_and_metadata_are_those_of_a_pybids_layout(dataset):
    from bids.layout import BIDSLayout

    for prefix in ("sub-01_ses-a_run-01", "sub-01_ses-a_acq-x_run-2", "sub-02", "sub-02_acq-x"):
        dataset.megre(prefix, Manufacturer="A")
    for place, name, content in (
        (".", "acq-x_MEGRE", {"FlipAngle": 9, "Manufacturer": "B"}),
        (".", "part-phase_MEGRE", {"Units": "rad"}),
        ("sub-01", "sub-01_MEGRE", {"MagneticFieldStrength": 7, "FlipAngle": 3}),
        ("sub-01/ses-a", "sub-01_ses-a_run-2_MEGRE", {"RepetitionTime": 0.05}),
        (".", "T1w", {"FlipAngle": 80}),
    ):
        (dataset.root / place / f"{name}.json").write_text(json.dumps(content))
    layout = BIDSLayout(dataset.root, validate=False)
    seen = 0
    for run in runs_of(dataset):
        for echo in run.echoes:
            assert echo.metadata == layout.get_metadata(echo.phase), echo.phase
            assert echo.number == int(layout.get_file(echo.phase).entities["echo"])
            seen += 1
    assert seen == 8


def test_a_damaged_sidecar_is_named(dataset):
    dataset.megre("sub-01")
    (dataset.root / "sub-01/anat/sub-01_echo-1_part-phase_MEGRE.json").write_text("{")
    with pytest.raises(InputRefusedError, match=r"sub-01_echo-1_part-phase_MEGRE\.json: cannot be read as JSON"):
        find_subjects(dataset.root)


def test_real_and_imaginary_a_single_echo_and_a_t1w_with_phase(dataset):
    dataset.image("sub-01_part-real_T2starw", EchoTime=0.02)
    dataset.image("sub-01_part-imag_T2starw", EchoTime=0.02)
    dataset.image("sub-02_part-phase_T1w", EchoTime=0.003)
    dataset.image("sub-02_T1w", EchoTime=0.003)  # a magnitude may go without its part
    complex_run, t1w_run = runs_of(dataset)
    assert complex_run.echoes[0].real and complex_run.echoes[0].imag
    assert t1w_run.suffix == "T1w"
    assert t1w_run.echoes[0].magnitude.name == "sub-02_T1w.nii.gz"


def test_echoes_are_in_order_of_time(dataset):
    for echo, time in ((1, 0.02), (2, 0.01)):
        dataset.image(f"sub-01_echo-{echo}_part-phase_MEGRE", EchoTime=time)
    (run,) = runs_of(dataset)
    assert run.echo_times == (0.01, 0.02)
    assert [echo.number for echo in run.echoes] == [2, 1]


def test_selection_by_participant_session_and_filter(dataset):
    for session in ("a", "b"):
        for acq in ("hi", "lo"):
            dataset.megre(f"sub-01_ses-{session}_acq-{acq}")
    dataset.megre("sub-02_ses-a")
    assert len(runs_of(dataset)) == 5
    assert len(runs_of(dataset, ["01"])) == 4
    assert len(runs_of(dataset, ["01"], ["b"])) == 2
    assert [run.basename for run in runs_of(dataset, ["01"], ["b"], {"gre": {"acquisition": "hi"}})] == [
        "sub-01_ses-b_acq-hi"
    ]
    assert [run.basename for run in runs_of(dataset, filters={"gre": {"acquisition": None}})] == ["sub-02_ses-a"]
    with pytest.raises(InputRefusedError, match="there are: 01, 02"):
        runs_of(dataset, ["3"])
    with pytest.raises(InputRefusedError, match="there are: a, b"):
        runs_of(dataset, [], ["c"])


@pytest.mark.parametrize(
    ("wanted", "yes"),
    [
        ({"run": 1}, True),
        ({"run": "01"}, True),
        ({"run": 2}, False),
        ({"run": [2, 1]}, True),
        ({"run": None}, False),
        ({"acquisition": None}, True),
        ({"acquisition": "*"}, False),
        ({"run": "*"}, True),
        ({}, True),
    ],
)
def test_filter_values(wanted, yes):
    assert matches({"run": 1, "suffix": "MEGRE"}, wanted) is yes
    assert matches({"run": "01", "suffix": "MEGRE"}, wanted) is yes  # as it is written


def test_files_that_cannot_be_told_apart_are_named(dataset):
    dataset.megre("sub-01", echoes=1)
    dataset.image("sub-01_coil-2_echo-1_part-phase_MEGRE", EchoTime=0.005)
    (run,) = runs_of(dataset)
    assert run.clashes == (("sub-01_coil-2_echo-1_part-phase_MEGRE.nii.gz", "sub-01_echo-1_part-phase_MEGRE.nii.gz"),)


def test_t1w_of_the_session_then_of_the_subject(dataset):
    dataset.megre("sub-01_ses-a")
    dataset.megre("sub-01_ses-b")
    dataset.image("sub-01_ses-b_acq-mprage_run-1_T1w")
    dataset.image("sub-01_ses-b_acq-mprage_rec-norm_run-2_T1w")
    first, second = runs_of(dataset)
    assert first.t1w == second.t1w
    assert second.t1w.basename == "sub-01_ses-b_acq-mprage_rec-norm_run-2_T1w"
    assert "taken from session b" in first.t1w_choice
    assert "first of 2" in second.t1w_choice
    assert runs_of(dataset, [], ["a"])[0].t1w == first.t1w  # a selected session does not hide the others' T1w
    chosen = runs_of(dataset, filters={"t1w": {"run": 1}})[0].t1w
    assert chosen.basename == "sub-01_ses-b_acq-mprage_run-1_T1w"


labels = st.fixed_dictionaries(
    {},
    optional={
        "ses": st.sampled_from("ab"),
        "acq": st.sampled_from(["x", "y"]),
        "ce": st.just("gad"),
        "rec": st.sampled_from(["norm", "orig"]),
        "run": st.sampled_from(["1", "02", "10"]),
    },
)


@given(st.lists(labels, max_size=6), st.sampled_from([None, "a", "c"]), st.randoms())
def test_the_choice_is_of_the_own_session_and_does_not_depend_on_order(several, session, random):
    images = []
    for entities_of in several:
        entities = (("sub", "01"), *entities_of.items())
        name = "_".join(f"{k}-{v}" for k, v in entities) + "_T1w.nii.gz"
        images.append(Anatomical(Path(name), "01", entities_of.get("ses"), entities))
    run = GreRun("01", session, (("sub", "01"),), "MEGRE", "anat", (), 3.0)
    image, sentence = choose_t1w(run, images)
    shuffled = list(images)
    random.shuffle(shuffled)
    assert choose_t1w(run, shuffled) == (image, sentence)
    assert (image is None) == (not images)
    if image is not None:
        assert image.path.name in sentence
        of_session = [other for other in images if other.session == session]
        assert image in (of_session or images)
        assert "ce" not in dict(image.entities) or all(
            "ce" in dict(other.entities)
            for other in of_session or images
            if of_session or other.session == image.session
        )


def test_the_combined_image_of_mp2rage_is_anatomy_where_there_is_no_t1w(dataset):
    for prefix in ("sub-01", "sub-02"):
        dataset.megre(prefix)
        dataset.image(f"{prefix}_UNIT1")
    dataset.image("sub-02_T1w")
    first, second = runs_of(dataset)
    assert (first.t1w.suffix, first.t1w.basename) == ("UNIT1", "sub-01_UNIT1")
    assert second.t1w.path.name == "sub-02_T1w.nii.gz"
    assert runs_of(dataset, filters={"t1w": {"suffix": "UNIT1"}})[1].t1w.path.name == "sub-02_UNIT1.nii.gz"


def quantitative(dataset):
    """Write MPM, VFA and MP2RAGE images, with and without phase."""
    for flip, mt in ((1, "on"), (1, "off"), (2, "off")):
        for echo in (1, 2):
            for part in ("mag", "phase"):
                name = f"sub-01_echo-{echo}_flip-{flip}_mt-{mt}_part-{part}_MPM"
                dataset.image(name, EchoTime=0.005 * echo, MagneticFieldStrength=3)
    dataset.image("sub-01_acq-mag_echo-1_flip-1_mt-off_MPM", EchoTime=0.005)
    for flip in (1, 2):
        dataset.image(f"sub-01_flip-{flip}_part-phase_VFA", EchoTime=0.005)
        dataset.image(f"sub-01_flip-{flip}_part-mag_VFA", EchoTime=0.005)
    for inv in (1, 2):
        dataset.image(f"sub-01_inv-{inv}_part-phase_MP2RAGE", EchoTime=0.003)
        for echo in (1, 2):
            for part in ("mag", "phase"):
                name = f"sub-01_acq-multi_echo-{echo}_inv-{inv}_part-{part}_MP2RAGE"
                dataset.image(name, EchoTime=0.005 * echo, MagneticFieldStrength=3)


def test_quantitative_scans_with_phase_are_gradient_echoes_at_both_levels(dataset):
    quantitative(dataset)
    names = [run.basename for run in runs_of(dataset)]
    assert sorted(names) == [
        "sub-01_acq-multi_inv-1",
        "sub-01_acq-multi_inv-2",
        "sub-01_flip-1",
        "sub-01_flip-1_mt-off",
        "sub-01_flip-1_mt-on",
        "sub-01_flip-2",
        "sub-01_flip-2_mt-off",
    ]
    (home,) = sessions_of(dataset.root)
    assert list(home.runs) == sorted(names)
    assert [len(run.echoes) for run in sorted(runs_of(dataset), key=lambda run: run.basename)] == [2, 2, 1, 2, 2, 1, 2]


def test_filters_select_by_magnetisation_transfer_flip_angle_and_inversion(dataset):
    quantitative(dataset)
    wanted = {"gre": {"mt": "off", "flip": 2}}
    assert [run.basename for run in runs_of(dataset, filters=wanted)] == ["sub-01_flip-2_mt-off"]
    assert [run.basename for run in runs_of(dataset, filters={"gre": {"inv": 2}})] == ["sub-01_acq-multi_inv-2"]


def test_products_of_quantitative_scans_carry_their_entities(dataset, tmp_path):
    quantitative(dataset)
    paths = {product_path(PRODUCTS["chimap"], dict(run.entities), tmp_path, tmp_path).name for run in runs_of(dataset)}
    assert len(paths) == 7
    assert {"sub-01_flip-1_mt-on_Chimap.nii.gz", "sub-01_acq-multi_inv-2_Chimap.nii.gz"} <= paths


def test_the_first_inversion_is_reported(dataset):
    quantitative(dataset)
    said = {run.basename: " ".join(metadata_remarks(run)) for run in runs_of(dataset)}
    assert [name for name, text in said.items() if "still inverted" in text] == ["sub-01_acq-multi_inv-1"]
