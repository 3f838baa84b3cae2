"""Failures of an earlier command as a file keeps them."""

import pytest

from bids_app.model.results import StepFailure, earlier_failures


def test_failures_are_read_as_they_were_kept():
    failure = StepFailure("mask", "no voxel left", "Traceback", blocked=True)
    assert earlier_failures({"sub-01": [vars(failure)]}) == {"sub-01": [failure]}


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        "x",
        {"sub-01": None},
        {"sub-01": {"step": "a"}},
        {"sub-01": [None, 1, []]},
        {"sub-01": [{"step": "a"}]},
        {"sub-01": [{"step": "a", "sentence": None}]},
        {"sub-01": [{"step": "a", "sentence": "b", "more": 1}]},
    ],
)
def test_odd_content_holds_no_failure(content):
    assert earlier_failures(content) == {}
