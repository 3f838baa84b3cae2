"""What the benchmarks of truth compute, on data where the answer is known."""

import nibabel as nib
import numpy as np
import pytest

from benchmarks import field_errors, heads, left_out, on_off, reference, regional, repeatability
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion import empirical_bayes, spectra


@pytest.fixture(scope="module")
def symmetric():
    """A brain-like image that is symmetrical about the plane x = 11.5, and its mask."""
    x, y, z = np.meshgrid(np.arange(28.0) - 11.5, np.arange(30.0) - 14, np.arange(26.0) - 11, indexing="ij")
    mask = (x / 10) ** 2 + (y / 13) ** 2 + (z / 9) ** 2 < 1
    nuclei = ((np.abs(x) - 5) ** 2 + (y - 3) ** 2 + (z - 2) ** 2) < 9
    return (mask * (1 + 0.5 * (y > 4) + 0.3 * (z > 1)) + 0.2 * nuclei).astype(np.float32), mask, nuclei


def test_the_plane_of_symmetry_is_found(symmetric):
    image, _, _ = symmetric
    assert on_off.symmetry_plane(image) == (0, 23)


def test_sides_that_differ_lower_the_correlation(symmetric):
    image, mask, nuclei = symmetric
    grid, plane = Grid(image.shape, (2.0,) * 3), (0, 23)
    chi = (0.1 * nuclei).astype(np.float32)
    assert on_off.side_correlation(chi, mask, grid, plane) > 0.99
    ramp = np.linspace(-0.2, 0.2, chi.shape[0], dtype=np.float32)[:, None, None]
    assert on_off.side_correlation(chi + ramp, mask, grid, plane) < 0


def test_halves_of_the_echoes():
    scan = heads.GreScan("", np.zeros((4, 2, 2, 2)), np.zeros((4, 2, 2, 2)), (1, 2, 3, 4), Grid((2, 2, 2)), 3.0)
    assert [scan.echoes(part).times for part in on_off.halves_of(scan)] == [(1, 3), (2, 4)]
    assert on_off.halves_of(scan.echoes([0, 1])) == ()
    assert on_off.halves_of(scan.echoes([0, 1, 2])) == ((0, 1), (1, 2))


def test_the_difference_of_halves_is_relative_to_the_map():
    rng = np.random.default_rng(0)
    chi, noise = rng.standard_normal((2, 40, 40, 40)).astype(np.float32)
    everywhere = np.ones(chi.shape, bool)
    parts = [(chi + 0.1 * noise, everywhere), (chi - 0.1 * noise, everywhere)]
    assert on_off.difference(parts, chi, everywhere) == pytest.approx(20, rel=0.02)


def test_the_spread_within_heads_leaves_out_that_between_them():
    assert repeatability.within({1: [10.0, 12.0], 2: [110.0, 112.0]}) == pytest.approx(np.sqrt(2))


def test_a_mean_is_near_enough_by_its_size():
    assert regional.is_within("putamen", 60.0, 64.0)
    assert not regional.is_within("putamen", 60.0, 66.0)
    assert regional.is_within("dentate nucleus", 60.0, 65.5)
    assert regional.is_within("thalamus", 10.0, 6.0)
    assert not regional.is_within("thalamus", 10.0, 4.0)


def test_constants_are_changed_for_a_while_and_come_back():
    before = spectra.HALF_STRUCTURED, spectra._MEAN_STRUCTURED
    with left_out.constants({"HALF_STRUCTURED": 0.1}):
        assert spectra.HALF_STRUCTURED == empirical_bayes.HALF_STRUCTURED == 0.1
        assert before[1] > spectra._MEAN_STRUCTURED
    assert before == (spectra.HALF_STRUCTURED, spectra._MEAN_STRUCTURED)
    assert before[0] == empirical_bayes.HALF_STRUCTURED


def test_a_scan_with_its_truth_is_read_from_a_dataset(tmp_path):
    anat, truth = tmp_path / "sub-1" / "anat", tmp_path / "derivatives" / "other" / "sub-1" / "anat"
    for folder in (anat, truth):
        folder.mkdir(parents=True)
    shape = (6, 5, 4)

    def save(path, data):
        nib.save(nib.Nifti1Image(data.astype(np.float32), np.diag([2.0, 2.0, 2.0, 1.0])), path)

    phase = np.linspace(-3.1, np.pi, np.prod(shape)).reshape(shape)
    for echo in (1, 2):
        stem = f"sub-1_echo-{echo}_part"
        save(anat / f"{stem}-phase_MEGRE.nii", phase)
        save(anat / f"{stem}-mag_MEGRE.nii", np.full(shape, echo))
        facts = f'{{"EchoTime": {0.005 * echo}, "MagneticFieldStrength": 7, "B0_dir": [0.0, 1.0, 0.0]}}'
        (anat / f"{stem}-phase_MEGRE.json").write_text(facts)
    save(truth / "sub-1_Chimap.nii", np.full(shape, 0.1))
    save(truth / "sub-1_mask.nii", np.ones(shape))
    save(truth / "sub-1_dseg.nii", np.full(shape, 99))
    scan = heads.read_scan(tmp_path, "sub-1")
    assert scan.times == (0.005, 0.01)
    assert scan.field_strength == 7
    assert scan.grid.b0_dir == (0.0, 1.0, 0.0)
    np.testing.assert_allclose(np.exp(1j * scan.phase[0]), np.exp(1j * phase), atol=0.05)
    assert scan.magnitude[1].max() == 2
    assert scan.mask.all()
    assert dict(scan.names) == {99: "label 99"}
    with pytest.raises(SystemExit, match="no \\*part-phase_MEGRE"):
        heads.read_scan(tmp_path, "sub-2")


def test_a_shim_is_harmonic_on_voxels_of_any_shape():
    grid, rng = Grid((20, 24, 18), (1.0, 1.5, 3.0)), np.random.default_rng(1)
    field = heads.shim_field(np.ones(grid.shape, bool), grid, rng, 0.1).astype(np.float64)
    assert field.std() == pytest.approx(0.1, rel=1e-3)
    core = (slice(1, -1),) * 3
    parts = [
        np.diff(field, 2, axis=n)[tuple(slice(None) if m == n else slice(1, -1) for m in range(3))] for n in range(3)
    ]
    curvatures = [part / size**2 for part, size in zip(parts, grid.voxel_size, strict=True)]
    assert field[core].shape == curvatures[0].shape
    assert np.abs(sum(curvatures)).max() < 0.02 * max(np.abs(c).max() for c in curvatures)


def test_constants_are_chosen_on_the_others_alone():
    """Data sets like a larger or a smaller constant; two constants gain alone, and only one of them together."""

    def score(data, choices):
        likes = data.grid * (choices.get("outside", 0.5) - 0.5)
        again = 0.004 if choices.keys() & {"edge", "outside"} == {"edge"} else 0.0
        return 50.0, 0.5 + 0.02 * likes + again

    names = ("a", "b", "c")
    every = [reference.Data(name, grid, *(None,) * 5) for name, grid in zip(names, (1, 1, -1), strict=True)]
    scores = left_out.Scores(every, score)
    varied = {"outside": (0.25, 1.0), "edge": (0.5, 2.0)}
    assert left_out.chosen(scores, [0, 1], varied) == {"outside": 1.0}
    assert left_out.chosen(scores, [2], varied) == {"outside": 0.25}
    assert left_out.chosen(scores, [0, 2], varied) == {"edge": 2.0}


def test_spectra_of_another_field_are_given_in_the_units_of_the_present_one():
    grid = Grid((16, 16, 16))
    kernel, spectrum = np.ones((16, 16, 9), np.float32), np.ones((16, 16, 9), np.complex64)
    measure, record = empirical_bayes.estimate_spectra, []
    spectrum += np.random.default_rng(0).standard_normal(spectrum.shape).astype(np.float32)
    arguments = spectrum, kernel, kernel, grid, 100
    with field_errors.spectra_of(record, 2.0):
        of_first = empirical_bayes.estimate_spectra(*arguments)
    with field_errors.spectra_of([], 1.0, (record, 2.0)):
        given, measured = (empirical_bayes.estimate_spectra(*arguments) for _ in range(2))
    np.testing.assert_allclose(given.signal, 4 * of_first.signal)
    np.testing.assert_allclose(measured.signal, of_first.signal)
    assert empirical_bayes.estimate_spectra is measure
