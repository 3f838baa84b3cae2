"""The voxel-wise model: the same as nilearn's on whole images, whatever the slabs; no false voxel, no missed one."""

import numpy as np
import pytest
from scipy import stats

from bids_app.errors import QsmAppError, UsageError
from bids_app.group import voxelwise
from bids_app.group.clusters import clusters
from bids_app.group.values import Stored, Values, in_mask

PEOPLE = 16
VOXELS = 400


@pytest.fixture(scope="module")
def design():
    rng = np.random.default_rng(3)
    covariates = {
        f"{n:02d}": {"age": str(float(age)), "sex": "FM"[n % 2], "group": ("control", "patient")[n // 2 % 2]}
        for n, age in enumerate(rng.uniform(20, 80, PEOPLE))
    }
    return voxelwise.design("chi ~ age + group", covariates)


@pytest.fixture(scope="module")
def data(design):
    rng = np.random.default_rng(4)
    values = rng.normal(size=(PEOPLE, VOXELS))
    values[:, :20] += 5 * design.matrix[:, [design.names.index("group[T.patient]")]]
    return values.astype(np.float32)


def stored(path, data):
    data.tofile(path)
    return Stored(path, *data.shape)


def test_slabs_give_what_nilearns_second_level_model_gives(tmp_path, design, data):
    import nibabel as nib
    import pandas as pd
    from nilearn.glm.second_level import SecondLevelModel

    images = [nib.Nifti1Image(row.reshape(20, 20, 1), np.eye(4)) for row in data]
    mask = nib.Nifti1Image(np.ones((20, 20, 1), np.uint8), np.eye(4))
    whole = SecondLevelModel(mask_img=mask).fit(images, design_matrix=pd.DataFrame(design.matrix, columns=design.names))
    contrast = np.eye(3)[design.names.index("age")]
    expected = whole.compute_contrast(contrast, output_type="all")
    (k,) = design.columns_of("age")
    maps = voxelwise.fit(stored(tmp_path / "v", data), design, [k], slab_values=PEOPLE * 37)[k]
    for name, key in (("effect", "effect_size"), ("t", "stat"), ("z", "z_score")):
        np.testing.assert_allclose(getattr(maps, name), expected[key].get_fdata().ravel(), rtol=2e-4, atol=1e-5)
    p = 2 * stats.t.sf(np.abs(maps.t), design.df)
    np.testing.assert_allclose(10.0**-maps.logp, p, rtol=1e-3)


def test_permutations_do_not_depend_on_the_slabs(tmp_path, design, data):
    (k,) = design.columns_of("group")
    whole, parts = (
        voxelwise.fit(stored(tmp_path / "v", data), design, [k], 60, 1, slab_values=PEOPLE * width)[k]
        for width in (VOXELS, 61)
    )
    np.testing.assert_allclose(whole.largest, parts.largest, rtol=1e-6)
    np.testing.assert_allclose(whole.logpfwe, parts.logpfwe, rtol=1e-5)


def test_permutations_are_nilearns_own(tmp_path, design, data):
    from nilearn.mass_univariate import permuted_ols

    (k,) = design.columns_of("group")
    maps = voxelwise.fit(stored(tmp_path / "v", data), design, [k], 99, 7, slab_values=PEOPLE * 61)[k]
    age = design.matrix[:, design.columns_of("age")]
    theirs = permuted_ols(
        design.matrix[:, [k]],
        data.astype(float),
        confounding_vars=age,
        n_perm=99,
        random_state=7,
        n_jobs=1,
        output_type="dict",
    )
    np.testing.assert_allclose(maps.logpfwe, theirs["logp_max_t"].ravel(), rtol=1e-5)
    np.testing.assert_allclose(maps.t, theirs["t"].ravel(), rtol=1e-3)


def test_of_a_single_voxel_permutations_give_the_p_of_students_t(tmp_path, design, data):
    """With Gaussian noise both tests are the same one but for the chance of 999 permutations."""
    (k,) = design.columns_of("group")
    for voxel in range(20, 26):
        maps = voxelwise.fit(stored(tmp_path / "v", data[:, [voxel]]), design, [k], 999, 2)[k]
        permuted, expected = 10.0 ** -maps.logpfwe[0], 10.0 ** -maps.logp[0]
        assert abs(permuted - expected) < 0.02 + 3 * np.sqrt(expected * (1 - expected) / 999)


@pytest.mark.parametrize("permutations", [0, 199])
def test_planted_voxels_are_found_and_no_others(tmp_path, design, data, permutations):
    (k,) = design.columns_of("group")
    maps = voxelwise.fit(stored(tmp_path / "v", data), design, [k], permutations, 1)[k]
    fdr, fwe = voxelwise.thresholds(maps, design.df, 0.05, 0.05)
    by_fdr, by_fwe = (voxelwise.cut_at(maps.t, cut) != 0 for cut in (fdr, fwe))
    assert by_fdr[:20].all()
    assert by_fdr[20:].mean() < 0.01
    assert by_fwe[:20].sum() >= 15
    assert not by_fwe[20:].any()
    (age,) = design.columns_of("age")
    nothing = voxelwise.fit(stored(tmp_path / "v", data), design, [age], permutations, 1)[age]
    assert all(
        not voxelwise.cut_at(nothing.t, cut).any() for cut in voxelwise.thresholds(nothing, design.df, 0.05, 0.05)
    )


def test_fdr_is_benjamini_and_hochbergs_of_both_tails(tmp_path, design, data):
    from bids_app.group.statistics import benjamini_hochberg

    (k,) = design.columns_of("group")
    maps = voxelwise.fit(stored(tmp_path / "v", -data), design, [k])[k]
    fdr, _ = voxelwise.thresholds(maps, design.df, 0.05, 0.05)
    adjusted = np.array(benjamini_hochberg([float(p) for p in 10.0**-maps.logp]))
    np.testing.assert_array_equal(np.abs(maps.t) >= fdr, adjusted <= 0.05)


def test_too_few_permutations_threshold_nothing():
    maps = voxelwise.Maps(*(np.full(3, 9, np.float32) for _ in range(4)), largest=np.ones(10))
    assert voxelwise.thresholds(maps, 5, 0.05, 0.05)[1] is None


def test_a_voxel_that_never_varies_has_no_statistic(tmp_path, design, data):
    (k,) = design.columns_of("age")
    flat = data.copy()
    flat[:, 7] = 0.3
    maps = voxelwise.fit(stored(tmp_path / "v", flat), design, [k], 10)[k]
    assert maps.t[7] == maps.effect[7] == maps.z[7] == maps.logp[7] == 0
    assert np.isfinite(maps.logpfwe).all()


@pytest.mark.parametrize(
    ("formula", "sentence"),
    [
        ("volume ~ age", "it must be chi or r2star"),
        ("np.log(chi) ~ age", "it must be chi or r2star"),
        ("chi ~ 1", "no term"),
        ("chi ~ age +", "cannot be read"),
    ],
)
def test_formulas_that_are_refused(formula, sentence):
    with pytest.raises(UsageError, match=sentence):
        voxelwise.terms_of(formula)


def test_terms_have_names_for_files():
    assert voxelwise.terms_of("chi ~ age * C(group) + np.log(age)")[1] == {
        "age": "age",
        "Cgroup": "C(group)",
        "ageXCgroup": "age:C(group)",
        "nplogage": "np.log(age)",
    }


def test_a_design_that_cannot_be_fitted_says_why():
    people = {str(n): {"age": n, "same": 1, "word": "x"} for n in range(4)}
    with pytest.raises(QsmAppError, match="'weight' is not defined"):
        voxelwise.design("chi ~ weight", people)
    with pytest.raises(QsmAppError, match="same"):
        voxelwise.design("chi ~ age + same", people)
    with pytest.raises(QsmAppError, match="too few"):
        voxelwise.design("chi ~ age", dict(list(people.items())[:2]))
    assert voxelwise.design("chi ~ age", people | {"9": {"age": None}}).left_out == ("9",)


def test_sessions_are_averaged_and_words_must_agree():
    rows = [{"age": "20", "sex": "F", "drug": "a"}, {"age": "22", "sex": "F", "drug": "b"}]
    assert voxelwise.average_covariates(rows) == {"age": 21.0, "sex": "F", "drug": None}


def test_clusters_are_listed_with_size_place_and_region():
    t, labels, affine = np.zeros((8, 8, 8), np.float32), np.zeros((8, 8, 8), int), np.diag([2.0, 2, 2, 1])
    t[1:3, 1, 1], t[5, 5, 5] = (4, 6), -5
    labels[2, 1, 1] = 3
    first, second = clusters(t, affine, labels, {3: "left putamen"})
    assert (first["voxels"], first["volume_mm3"], first["region"], first["region_fraction"]) == (
        2,
        pytest.approx(16),
        "left putamen",
        0.5,
    )
    assert (first["peak_t"], first["peak_x"], first["peak_y"]) == (6, 4, 2)
    assert (second["cluster"], second["peak_t"], second["region"]) == (2, -5, None)


def test_smoothing_stays_in_the_mask_and_keeps_a_constant(tmp_path):
    from bids_app.derivatives.files import write_image

    mask = np.zeros((9, 9, 9), bool)
    mask[2:7, 2:7, 2:7] = True
    write_image(tmp_path / "m.nii.gz", mask, np.eye(4), "uint8")
    write_image(tmp_path / "v.nii.gz", np.where(mask, 0.5, 9), np.eye(4), "float32")
    values = Values({"1": [(tmp_path / "v.nii.gz", tmp_path / "m.nii.gz")]}, mask.shape, 2.0)
    ((smooth, inside),) = values.each()
    np.testing.assert_array_equal(inside, mask)
    np.testing.assert_allclose(smooth, np.where(mask, 0.5, 0), atol=1e-6)
    assert in_mask(np.ones((2, mask.sum())), mask).shape == (9, 9, 9, 2)


def test_voxels_without_residuals_have_no_statistic(tmp_path, design, data):
    """A value that the model explains to the last digit gives a t of any size."""
    perfect = data.copy()
    perfect[:, 0] = 1 + design.matrix @ np.arange(1.0, 1 + design.matrix.shape[1])
    perfect[:, 1] *= 1e-7  # next to nothing, beside the other voxels
    perfect[:, 2] = 0.5
    values = stored(tmp_path / "v", perfect)
    exact = voxelwise.exact(values, design)
    assert np.flatnonzero(exact).tolist() == [0, 1]
    column = design.columns_of("age")[0]
    maps = voxelwise.fit(values, design, [column], without=exact)[column]
    assert maps.t[:3].tolist() == [0, 0, 0] and np.abs(maps.t[3:]).min() > 0
    assert np.abs(voxelwise.fit(values, design, [column])[column].t[0]) > 1e4


def test_a_design_of_few_participants_is_refused_where_a_least_number_is_given():
    people = {str(n): {"age": float(n * n)} for n in range(6)}
    with pytest.raises(QsmAppError, match="6 participants have all values, and 10 are needed for 2 coefficients"):
        voxelwise.design("chi ~ age", people, 10, 3)
    assert voxelwise.design("chi ~ age", people, 0, 3).df == 4
    with pytest.raises(QsmAppError, match="5 are needed"):
        voxelwise.design("chi ~ age", dict(list(people.items())[:4]), 0, 3)
