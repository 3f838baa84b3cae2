"""What the BIDS validator finds is told in sentences."""

from bids_app.dataset.validation import InputValidation
from tests.unit.dataset.conftest import Dataset


def test_errors_are_counted_by_kind(tmp_path):
    dataset = Dataset(tmp_path / "bids")
    dataset.megre("sub-01")
    for number in (1, 2):
        (dataset.root / f"sub-01/anat/sub-01_acq-{number}_nosuchsuffix.nii.gz").write_bytes(b"x")
    validation = InputValidation(dataset.root)
    sentences = validation.findings(60)
    validation.stop()
    assert any(
        "(2 times), first in /sub-01/anat/sub-01_acq-1_nosuchsuffix.nii.gz" in sentence for sentence in sentences
    )


def test_a_validator_that_takes_too_long_is_stopped(tmp_path):
    validation = InputValidation(tmp_path)
    assert "in time" in validation.findings(0.0)[0]
    validation.stop()


def test_without_the_tool_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("bids_app.dataset.validation._TOOL", "no-such-tool")
    validation = InputValidation(tmp_path)
    assert "not installed" in validation.findings(1)[0]
    validation.stop()
