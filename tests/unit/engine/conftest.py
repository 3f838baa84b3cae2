"""A record, settings and a context for steps that are made up."""

from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from bids_app.model.context import Context
from bids_app.model.records import Anatomical, Echo, GreRun


class Section:
    def __init__(self, **values):
        self.values = values

    def to_mapping(self):
        return dict(self.values)


@pytest.fixture
def settings():
    return SimpleNamespace(mask=Section(level=1), inversion=Section(method="a"))


@pytest.fixture
def run(tmp_path):
    anat = tmp_path / "bids/sub-01/anat"
    anat.mkdir(parents=True)
    for name in ("sub-01_part-phase_MEGRE.nii.gz", "sub-01_T1w.nii.gz"):
        nib.save(nib.Nifti1Image(np.arange(27, dtype=np.int16).reshape(3, 3, 3), np.eye(4)), anat / name)
    t1w = Anatomical(anat / "sub-01_T1w.nii.gz", "01", None, (("sub", "01"),))
    echo = Echo(1, 0.01, phase=anat / "sub-01_part-phase_MEGRE.nii.gz")
    return GreRun("01", None, (("sub", "01"),), "MEGRE", "anat", (echo,), 3.0, t1w=t1w)


@pytest.fixture
def context(tmp_path):
    return Context(tmp_path / "bids", tmp_path / "out", tmp_path / "work", 1)


def files(folder: Path):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
