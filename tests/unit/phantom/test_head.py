"""The simulated persons: anatomy, effects, geometry, noise."""

import numpy as np
import pytest
from scipy import ndimage

from bids_app.phantom import sampling, subjects
from bids_app.phantom.acquisition import Acquisition, axis_codes, receive, slab
from bids_app.phantom.shapes import NUCLEI
from bids_app.phantom.simulate import Body, make_body, simulate
from bids_app.phantom.template import load_head

QUICK = Acquisition(voxel_size=(4.5, 4.5, 4.5), echo_times=(0.004, 0.012), phase_offset=0.0, snr=1e4)


def body(person, **options):
    head = subjects.shape_head(person, load_head())
    tissue = subjects.tissue_table(person, age=person.age, field_strength=3.0)
    return make_body(person, head, tissue, age=person.age, session=0, tilt=options.get("tilt", (0, 0, 0)))


@pytest.fixture(scope="module")
def persons():
    return subjects.people(2, seed=5)


@pytest.fixture(scope="module")
def first(persons):
    return body(persons[0])


@pytest.fixture(scope="module")
def axial(first):
    return simulate(first, QUICK, np.random.default_rng(0))


def test_the_undeformed_head_has_nuclei_of_believable_size_on_both_sides():
    person = subjects.Person("x", 0, 0, 45.0, "F", "control")
    tissue = subjects.tissue_table(person, age=45, field_strength=3)
    still = Body(load_head(), tissue, *subjects.no_warp(), np.eye(4))
    affine = np.diag([1.0, 1, 1, 1])
    affine[:3, 3] = -45, -80, -55
    labels = still.sample(affine, (91, 120, 95), 1.0)[..., sampling.NUCLEUS].astype(int)
    expected_ml = (4.0, 5.0, 1.6, 6.0, 0.27, 0.45, 1.5)
    for n, volume in enumerate(expected_ml):
        right, left = (int((labels == 2 * n + 1 + side).sum()) for side in range(2))
        assert 0.6 * volume < right / 1000 < 1.6 * volume, NUCLEI[n]
        assert right == pytest.approx(left, rel=0.02), NUCLEI[n]
        assert np.argwhere(labels == 2 * n + 1)[:, 0].mean() > 45 > np.argwhere(labels == 2 * n + 2)[:, 0].mean()


def test_phase_is_that_of_the_true_total_field(axial):
    truth = axial.truth
    deep = ndimage.binary_erosion(truth.mask, iterations=4)
    turns = np.angle(axial.signal[1] * np.conj(axial.signal[0])) / (2 * np.pi)
    expected = truth.total_field * 42.577478518 * 3 * 0.008
    error = turns - expected
    error -= np.round(error)
    assert np.abs(np.median(error[deep])) < 1e-3
    assert np.percentile(np.abs(error[deep]), 90) < 0.01  # averaging in voxels is not linear, hence no equality


def test_tissue_is_not_piecewise_constant(axial):
    truth = axial.truth
    white = ndimage.binary_erosion(truth.tissue == 2)
    assert white.sum() > 500
    assert 0.005 < truth.chi[white].std() < 0.03
    putamen = truth.nuclei == 3
    assert truth.chi[putamen].std() > 0.003


def test_air_and_sinuses_make_a_background_field(axial):
    truth = axial.truth
    background = (truth.total_field - truth.local_field)[truth.mask]
    assert background.std() > 2 * truth.local_field[truth.mask].std()
    below = np.abs(truth.total_field) * truth.mask
    assert below.max() > 0.5


@pytest.mark.parametrize(
    "scan", [{"oblique": (18, -7, 4)}, {"orientation": "sagittal", "voxel_size": (4, 3.5, 5)}, {"orientation": "RPI"}]
)
def test_the_field_belongs_to_the_head_and_not_to_the_slab(first, axial, scan):
    other = simulate(first, Acquisition(**(QUICK.__dict__ | scan)), np.random.default_rng(0))
    inner = ndimage.binary_erosion(axial.truth.mask, iterations=3)
    world = np.argwhere(inner) @ axial.affine[:3, :3].T + axial.affine[:3, 3]
    back = np.linalg.inv(other.affine)
    voxels = (world @ back[:3, :3].T + back[:3, 3]).T
    seen = ndimage.map_coordinates(other.truth.total_field, voxels, order=1)
    expected = axial.truth.total_field[inner]
    assert np.corrcoef(seen, expected)[0, 1] > 0.97
    assert np.std(seen - expected) < 0.03


def test_a_tilted_head_has_another_field(persons, axial):
    tilted = simulate(body(persons[0], tilt=(25, 0, 0)), QUICK, np.random.default_rng(0))
    inner = ndimage.binary_erosion(axial.truth.mask, iterations=3)
    at = np.argwhere(inner) @ axial.affine[:3, :3].T + axial.affine[:3, 3]
    pose = subjects.pose(persons[0], 0, (25, 0, 0)) @ np.linalg.inv(subjects.pose(persons[0], 0, (0, 0, 0)))
    world = at @ pose[:3, :3].T + pose[:3, 3]
    back = np.linalg.inv(tilted.affine)
    voxels = (world @ back[:3, :3].T + back[:3, 3]).T
    chi = ndimage.map_coordinates(tilted.truth.chi, voxels, order=1)
    local = ndimage.map_coordinates(tilted.truth.local_field, voxels, order=1)
    assert np.corrcoef(chi, axial.truth.chi[inner])[0, 1] > 0.8  # the same tissue, interpolated
    assert np.corrcoef(local, axial.truth.local_field[inner])[0, 1] < 0.75  # in another direction of the field


def test_persons_differ_in_shape_and_texture(persons, first, axial):
    second = simulate(body(persons[1]), QUICK, np.random.default_rng(0))
    assert second.truth.chi.shape != axial.truth.chi.shape or not np.allclose(second.truth.chi, axial.truth.chi)
    grid = np.diag([3.0, 3, 3, 1])
    grid[:3, 3] = -75, -110, -50
    masks = [
        person.sample(first.pose @ grid, (50, 60, 45), 3.0)[..., sampling.BRAIN] > 0.5
        for person in (first, make_body(persons[1], first.head, first.tissue, age=40, session=0, tilt=(0, 0, 0)))
    ]
    overlap = 2 * (masks[0] & masks[1]).sum() / (masks[0].sum() + masks[1].sum())
    assert 0.8 < overlap < 0.99


def test_noise_has_the_asked_level_and_the_same_seed_gives_the_same_bytes():
    signal = np.ones((2, 30, 30, 30), np.complex64)
    scan = Acquisition(snr=25, phase_offset=0)
    received = receive(signal.copy(), scan, np.random.default_rng(3), level=1.0)
    sensitivity = receive(signal.copy(), Acquisition(snr=1e9, phase_offset=0), np.random.default_rng(3), level=1.0)
    noise = received - sensitivity
    assert noise.real.std() == pytest.approx(1 / 25, rel=0.02)
    assert noise.imag.std() == pytest.approx(1 / 25, rel=0.02)
    assert (receive(signal.copy(), scan, np.random.default_rng(3), level=1.0) == received).all()


def test_coil_phase_wraps_and_bipolar_readout_alternates():
    signal = np.ones((4, 12, 14, 16), np.complex64)
    quiet = receive(signal.copy(), Acquisition(snr=1e9, phase_offset=8), np.random.default_rng(1), level=1.0)
    phase = np.unwrap(np.angle(quiet[0]), axis=0)
    assert np.ptp(np.unwrap(np.unwrap(phase, axis=1), axis=2)) > 2 * np.pi
    same = receive(signal.copy(), Acquisition(snr=1e9, bipolar=True), np.random.default_rng(1), level=1.0)
    even = np.angle(same[1] * np.conj(same[0]))
    assert np.allclose(even, np.angle(same[3] * np.conj(same[2])), atol=1e-5)
    slopes = np.diff(np.unwrap(even, axis=1), axis=1)
    assert np.allclose(slopes, slopes[0, 0, 0], atol=1e-4)
    assert abs(slopes[0, 0, 0] * 13) > 1.9


def test_iron_rises_with_age_and_the_effects_can_be_taken_away():
    for nucleus in NUCLEI:
        values = [subjects.iron_ppm(nucleus, age) for age in (20, 40, 60, 80)]
        assert values == sorted(values)
        assert subjects.iron_ppm(nucleus, 25, 0.0) == subjects.iron_ppm(nucleus, 75, 0.0)
    assert 0.08 < subjects.iron_ppm("putamen", 60) - subjects.iron_ppm("thalamus", 60) < 0.2


def test_participants_age_predicts_their_susceptibility_and_patients_have_more():
    study = subjects.people(40, seed=2)
    row = sampling.FIRST_NUCLEUS + 2 * NUCLEI.index("putamen")
    tables = [subjects.tissue_table(p, age=p.age, field_strength=3, group_effect=0.05) for p in study]
    age, chi = np.array([p.age for p in study]), np.array([t[row, sampling.CHI] for t in tables])
    patient = np.array([p.group == "patient" for p in study])
    design = np.stack([np.ones(40), age, patient], axis=1)
    slope, effect = np.linalg.lstsq(design, chi, rcond=None)[0][1:]
    assert slope > 0.0002
    assert effect == pytest.approx(0.05, abs=0.01)
    assert patient.sum() == 20
    assert abs(age[patient].mean() - age[~patient].mean()) < 2
    assert study[:10] == subjects.people(10, seed=2)  # more participants change nothing for the first


def test_orientations():
    assert axis_codes("sagittal") == "PSR"
    for bad in ("diagonal", "RLA", "RA", ""):
        with pytest.raises(ValueError, match="orientation"):
            axis_codes(bad)
    shape, affine = slab("LPI", (0, 0, 0), (1, 2, 3), np.eye(4))
    assert np.allclose(affine[:3, :3], np.diag([-1, -2, -3]))
    assert np.allclose(affine[:3, :3] @ ((np.array(shape) - 1) / 2) + affine[:3, 3], (0, -12, 9))


def test_texture_scales_the_variation_within_a_tissue(persons):
    person = persons[0]
    tissue = subjects.tissue_table(person, age=person.age, field_strength=3.0)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = 20.0, -30.0, 20.0  # white matter and cortex of one side
    maps = []
    for texture in (0.0, 1.0, 3.0):
        head = subjects.shape_head(person, load_head(), texture)
        body = make_body(person, head, tissue, age=person.age, session=0, tilt=(0, 0, 0))
        maps.append(body.sample(affine, (16, 16, 16), 2.0)[..., sampling.CHI])
    once, thrice = maps[1] - maps[0], maps[2] - maps[0]
    assert 0.005 < once.std() < 0.02
    np.testing.assert_allclose(thrice, 3 * once, atol=2e-4)
