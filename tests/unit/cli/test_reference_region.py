"""A reference region that no segmentation has is refused before anything runs."""

from types import SimpleNamespace

import pytest

from bids_app.adapters.labels import Region
from bids_app.cli import segmentations
from bids_app.errors import InputRefusedError, UsageError
from bids_app.model.settings import build_settings


def subjects(**regions):
    """Return a participant for each name, whose segmentation has this region."""
    runs = {name: SimpleNamespace(basename=f"sub-{name}", region=region) for name, region in regions.items()}
    return [SimpleNamespace(runs=(run,)) for run in runs.values()]


@pytest.fixture(autouse=True)
def fake(monkeypatch):
    def segmentations_of(run, settings):
        if run.region is None:
            return ()
        table = {1: Region(1, run.region, "L")}
        return (SimpleNamespace(regions=lambda: table),)

    monkeypatch.setattr(segmentations, "segmentations", segmentations_of)


def check(region, people):
    segmentations.check_reference(people, build_settings({"reference": {"region": region}}))


def test_a_region_that_everybody_has_is_taken():
    check("putamen", subjects(a="putamen", b="putamen"))
    check("mask", subjects(a=None))


def test_a_region_that_nobody_has_is_a_mistake_of_the_command():
    with pytest.raises(UsageError, match=r"--qsm-reference putamin: no region is called 'putamin'.*near: .*putamen"):
        check("putamin", subjects(a="putamen", b="putamen"))


def test_who_lacks_the_region_is_named():
    with pytest.raises(InputRefusedError) as refused:
        check("putamen", subjects(a="putamen", b="thalamus", c=None))
    assert [text.split(":")[0] for text in refused.value.problems] == ["sub-b", "sub-c"]
    assert "there is no segmentation of it" in refused.value.problems[1]
