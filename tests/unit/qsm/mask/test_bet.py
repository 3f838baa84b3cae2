"""The brain's surface: its mesh, heads, and objects that are none."""

import numpy as np
import pytest

from bids_app.errors import ParameterError
from bids_app.qsm.mask.bet import brain_image, brain_surface
from bids_app.qsm.mask.head import extract_brain
from bids_app.qsm.mask.make import find_brain, make_mask
from bids_app.qsm.mask.mesh import Surface, icosphere, rasterize, refine, vertex_normals
from bids_app.qsm.mask.recipe import parse_recipe

SIZE = (2.5, 2.5, 2.5)


def coordinates(shape=(80, 92, 76), size=SIZE):
    axes = [(np.arange(n) - (n - 1) / 2) * d for n, d in zip(shape, size, strict=True)]
    return np.meshgrid(*axes, indexing="ij", sparse=True)


def ellipsoid(xyz, radii, centre=(0, 0, 0)):
    return sum(((a - c) / r) ** 2 for a, c, r in zip(xyz, centre, radii, strict=True)) < 1


def head(size=SIZE, shape=(80, 92, 76), noise=0.03, shading=0.0, seed=0):
    """Return magnitude, quality, brain and what is outside the skull of a head with a neck and an orbit."""
    xyz = coordinates(shape, size)
    brain = ellipsoid(xyz, (62, 80, 60))
    skull = ellipsoid(xyz, (69, 87, 67))
    scalp = ellipsoid(xyz, (78, 96, 76)) | (ellipsoid(xyz, (50, 50, 95), (0, -20, -60)))
    stem = ellipsoid(xyz, (12, 12, 90), (0, -25, -60))
    orbit = ellipsoid(xyz, (16, 22, 14), (30, 74, -30))
    brain = brain | (stem & skull)
    bone = skull & ~brain & ~stem & ~orbit
    tissue = scalp & ~bone
    magnitude = np.where(bone, 0.15, np.where(brain | stem, 1.0, np.where(tissue, 1.3, 0)))
    quality = np.where(bone, 0.25, np.where(brain | stem, 0.9, np.where(tissue, 0.55, 0.03)))
    rng = np.random.default_rng(seed)
    magnitude = magnitude * (1 + shading * xyz[0] / 100 + shading * xyz[1] / 120)
    magnitude = np.hypot(magnitude + noise * rng.normal(size=brain.shape), noise * rng.normal(size=brain.shape))
    quality = np.clip(quality + noise * rng.normal(size=brain.shape), 0, 1)
    return magnitude.astype(np.float32), quality.astype(np.float32), brain, ~skull & ~stem


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


@pytest.mark.parametrize("subdivisions", [0, 1, 3])
def test_the_sphere_is_closed_and_even(subdivisions):
    vertices, faces, table = icosphere(subdivisions)
    assert len(faces) == 20 * 4**subdivisions
    assert len(vertices) == len(faces) // 2 + 2  # Euler's formula
    np.testing.assert_allclose(np.linalg.norm(vertices, axis=1), 1)
    assert np.count_nonzero(table < 0) == 12
    edges = {frozenset((int(f[a]), int(f[a - 1]))) for f in faces for a in range(3)}
    assert edges == {frozenset((v, int(n))) for v, row in enumerate(table) for n in row if n >= 0}
    np.testing.assert_allclose((vertex_normals(Surface(vertices, faces)) * vertices).sum(axis=1), 1, atol=0.02)


def test_values_are_refined_between_their_vertices():
    coarse, fine = icosphere(2)[0], icosphere(3)[0]
    np.testing.assert_allclose(fine[: len(coarse)], coarse)
    np.testing.assert_allclose(refine(coarse @ [1.0, 2, 3], 3), fine @ [1.0, 2, 3], atol=0.06)


@pytest.mark.parametrize("size", [(1.0, 1.0, 1.0), (0.7, 1.3, 2.1)])
def test_the_inside_of_a_ball(size):
    vertices, faces, _ = icosphere(4)
    shape = tuple(int(40 / s) for s in size)
    centre = np.array([19.3, 20.1, 18.7])
    inside = rasterize(Surface(15 * vertices + centre, faces), shape, size)
    xyz = np.meshgrid(*[np.arange(n) * s for n, s in zip(shape, size, strict=True)], indexing="ij")
    ball = sum((a - c) ** 2 for a, c in zip(xyz, centre, strict=True)) < 15**2
    assert dice(inside, ball) > 0.995
    assert inside.sum() * np.prod(size) == pytest.approx(4 / 3 * np.pi * 15**3, rel=0.01)


def test_a_surface_that_leaves_the_volume_fills_what_is_in_it():
    vertices, faces, _ = icosphere(3)
    assert rasterize(Surface(100 * vertices + 10, faces), (20, 20, 20), (1.0, 1.0, 1.0)).all()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"noise": 0.1},
        {"shading": 0.6},
        {"size": (4.0, 4.0, 4.0), "shape": (52, 60, 48)},
        {"size": (1.2, 1.2, 4.0), "shape": (168, 192, 48)},
    ],
)
def test_the_brain_of_a_head_is_found_without_scalp_and_orbits(options):
    magnitude, quality, brain, outside = head(**options)
    surface = extract_brain(magnitude, quality, options.get("size", SIZE))
    assert surface.is_head
    assert dice(surface.mask & ~outside, brain) > 0.95
    assert np.count_nonzero(surface.mask & outside) < 0.01 * brain.sum()
    assert np.count_nonzero(brain & ~surface.mask) < 0.02 * brain.sum()


def test_a_slab_through_a_head_keeps_its_brain_to_the_edges():
    magnitude, quality, brain, outside = (a[:, :, 34:50] for a in head())
    surface = extract_brain(magnitude, quality, SIZE)
    assert surface.is_head
    assert np.count_nonzero(brain & ~surface.mask) < 0.02 * brain.sum()
    assert np.count_nonzero(surface.mask & outside) < 0.01 * brain.sum()


def test_quality_or_magnitude_alone_are_enough_where_bone_is_dark_in_them():
    magnitude, quality, brain, _ = head()
    for maps in ((None, quality), (np.ones_like(magnitude), quality), (magnitude * (quality > 0.7), None)):
        surface = brain_surface(brain_image(*maps, SIZE), SIZE)
        assert dice(rasterize(surface, brain.shape, SIZE), brain) > 0.93


def objects():
    xyz = coordinates()
    box = (np.abs(xyz[0]) < 60) & (np.abs(xyz[1]) < 60) & (np.abs(xyz[2]) < 60)
    tubes = np.zeros(box.shape, bool)
    for x, y in ((-40, 0), (40, 0), (0, 40), (0, -40)):
        tubes |= ((xyz[0] - x) ** 2 + (xyz[1] - y) ** 2 < 15**2) & (np.abs(xyz[2]) < 60)
    return {
        "ball": ellipsoid(xyz, (70, 70, 70)),
        "box": box,
        "cylinder": (xyz[0] ** 2 + xyz[1] ** 2 < 50**2) & (np.abs(xyz[2]) < 200),
        "tubes": tubes,
        "small": ellipsoid(xyz, (15, 25, 12)),
        "everywhere": np.ones(box.shape, bool),
    }


@pytest.mark.parametrize("name", sorted(objects()))
def test_what_is_no_head_stays_whole(name):
    inside = objects()[name]
    rng = np.random.default_rng(1)
    magnitude = np.abs(inside + 0.02 * rng.normal(size=inside.shape)).astype(np.float32)
    quality = np.where(inside, 0.9, 0.03).astype(np.float32)
    surface = extract_brain(magnitude, quality, SIZE)
    assert not surface.is_head
    assert surface.reason
    assert surface.mask.all()
    recipe = "bet & quality,threshold:0.5"
    mask = make_mask(recipe, quality=quality, magnitude=magnitude, voxel_size=SIZE)
    np.testing.assert_array_equal(mask, inside)


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_images_without_an_object(level):
    image = np.full((20, 20, 20), level, np.float32)
    assert not extract_brain(image, image, SIZE).is_head
    with pytest.raises(ValueError, match="magnitude or a quality"):
        brain_image(None, None, SIZE)


def test_the_recipe_of_a_tighter_surface():
    magnitude, quality, _, _ = head()
    volumes = [
        make_mask(recipe, quality=quality, magnitude=magnitude, voxel_size=SIZE).sum()
        for recipe in ("bet:0.3", "bet:0.8")
    ]
    assert volumes[0] > volumes[1] > 0
    assert find_brain("quality,otsu:1", magnitude, quality, SIZE) is None
    brain = find_brain("bet:0.8 => erode:1", magnitude, quality, SIZE)
    assert brain.mask.sum() == volumes[1]
    assert make_mask("bet,erode:1", quality=quality, voxel_size=SIZE, brain=brain).sum() < volumes[1]


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        ("bet:2", "between 0 and 1"),
        ("bet:x", "no number"),
        ("bet:0.5:1", "takes 1 numbers"),
        ("bet,otsu:1", "no threshold"),
        ("quality:0.5,otsu:1", "starts with a source"),
    ],
)
def test_wrong_recipes_with_a_surface_are_reported(recipe, says):
    with pytest.raises(ParameterError, match=says):
        parse_recipe(recipe)


def test_a_surface_needs_a_map():
    with pytest.raises(ValueError, match="needs bet"):
        make_mask("bet", given=np.ones((4, 4, 4)))
