"""Runs that are analysed together are made alike, and what differs is named."""

from bids_app.dataset.uniformity import mixtures
from bids_app.model.step_record import StepRecord


def record(step="inversion", method="rts", code="1", version="0.2.0+a", outputs=("chi",), started="1"):
    inner = {"delta": 0.15} if method == "rts" else {"threshold": 0.2}
    parameters = {"inversion": {"method": method, method: inner}}
    made = {key: {} for key in outputs}
    return StepRecord(step, "x", parameters=parameters, code=code, code_version=version, outputs=made, started=started)


def test_alike_runs_have_no_difference():
    assert mixtures({f"sub-{n}": [record(), record("qc")] for n in range(3)}) == ()


def test_one_run_with_another_method_is_named_with_both_values():
    runs = {f"sub-{n}": [record(), record("qc")] for n in range(3)}
    runs["sub-1"] = [record(method="tkd"), record("qc", method="tkd")]
    assert mixtures(runs) == ('sub-1: inversion.method is "tkd", and "rts" in 2 of 3 runs',)


def test_of_two_runs_the_newer_one_counts_as_the_rule():
    runs = {"sub-1": [record(method="tkd", started="2")], "sub-2": [record(started="1")]}
    assert mixtures(runs) == ('sub-2: inversion.method is "rts", and "tkd" in 1 of 2 runs',)


def test_a_step_that_was_not_run_again_after_a_change_is_named():
    """Killed between two steps: the run has two values of one parameter."""
    runs = {f"sub-{n}": [record(), record("qc")] for n in range(3)}
    runs["sub-2"] = [record(), record("qc", method="tkd")]
    assert mixtures(runs) == ('sub-2: inversion.method is "tkd", and "rts" in 2 of 3 runs',)


def test_other_code_is_named_and_another_version_of_the_same_code_is_not():
    runs = {f"sub-{n}": [record()] for n in range(4)}
    runs["sub-0"] = [record(version="0.1.0+b")]
    assert mixtures(runs) == ()
    runs["sub-1"] = [record(code="2", version="0.1.0+b")]
    (text,) = mixtures(runs)
    assert text == "sub-1: step inversion was run by version 0.1.0+b, and 0.2.0+a in 3 runs"


def test_without_digests_of_the_code_the_versions_are_compared():
    runs = {f"sub-{n}": [record(code="")] for n in range(3)}
    runs["sub-0"] = [record(code="", version="0.1.0+b")]
    assert "sub-0: step inversion was run by version 0.1.0+b" in mixtures(runs)[0]


def test_runs_that_make_other_products_are_not_compared_by_their_code():
    runs = {f"sub-{n}": [record()] for n in range(3)}
    runs["sub-0"] = [record(code="2", outputs=("chi", "r2star"))]
    assert mixtures(runs) == ()
