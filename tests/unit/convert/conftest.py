"""What a dry run says about DICOM files that a test has written."""

import pytest

from bids_app.convert import ConvertRequest, convert


@pytest.fixture
def planned(tmp_path):
    """Return a function that plans the conversion of ``tmp_path/dicom`` and gives each series' fate by its number."""

    def plan(**options):
        request = ConvertRequest(
            tmp_path / "bids",
            tmp_path / "out",
            tmp_path / "work",
            dicom_dir=tmp_path / "dicom",
            dry_run=True,
            **options,
        )
        return {o.number: o for o in convert(request).outcomes}

    return plan


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "dicom"
