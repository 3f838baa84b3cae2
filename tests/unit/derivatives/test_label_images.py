"""Labels are whole numbers, each with one name and one column."""

import nibabel as nib
import numpy as np
import pytest

from bids_app.adapters.labels import from_rows
from bids_app.derivatives.files import read_label_image
from bids_app.errors import QsmAppError
from bids_app.group.tables import Covariates, Run, wide_table


def image(folder, data):
    path = folder / "x_dseg.nii.gz"
    nib.save(nib.Nifti1Image(data, np.diag([2, 2, 2, 1])), path)
    return path


def test_labels_are_read_as_they_are_stored(tmp_path):
    for kind in (np.uint8, np.int16, np.int32, np.float32):
        data = np.arange(27).reshape(3, 3, 3).astype(kind)
        labels, _ = read_label_image(image(tmp_path, data))
        assert labels.dtype == np.int32 and np.array_equal(labels, np.arange(27).reshape(3, 3, 3))


@pytest.mark.parametrize(
    ("value", "kind", "says"),
    [(1.5, np.float32, "not whole .1.5."), (np.nan, np.float32, "not whole"), (2**24 + 1, np.int32, "round together")],
)
def test_what_is_no_label_is_refused(tmp_path, value, kind, says):
    data = np.zeros((3, 3, 3), kind)
    data[1, 1, 1] = value
    with pytest.raises(QsmAppError, match=says):
        read_label_image(image(tmp_path, data))


def test_an_index_has_one_name():
    with pytest.raises(ValueError, match=r"label 3 twice \(putamen, pallidum\)"):
        from_rows([{"index": "3", "name": "putamen"}, {"index": "3", "name": "pallidum"}])


def test_names_that_read_alike_have_columns_of_their_own():
    rows = [
        {"index": k, "name": name, "hemisphere": "n/a", "chi_mean": float(k)}
        for k, name in ((1, "GPi-a"), (2, "GPi a"))
    ]
    table, columns = wide_table([Run("01", None, "sub-01", rows=tuple(rows))], Covariates())
    assert [table[0][name] for name in columns if name.startswith("chi_mean")] == [1.0, 2.0] and len(columns) == 2
