"""Who the simulated persons are: age, sex, group, iron, the shape of the head, its veins and its texture."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_app.phantom import sampling, template
from bids_app.phantom.shapes import NUCLEI, rotation_matrix
from bids_app.phantom.texture import living_texture
from bids_app.phantom.veins import vein_distance

FloatArray = npt.NDArray[np.float32]

#: Iron at age ``a`` in mg per 100 g of wet tissue: level * (1 - exp(-rate * a)) + birth. Caudate, putamen and pallidum
#: are Hallgren & Sourander 1958 (10.1111/j.1471-4159.1958.tb12607.x); the others reach adult means by the same form.
_IRON = {
    "caudate": (9.66, 0.05, 0.33),
    "putamen": (14.62, 0.04, 0.46),
    "pallidum": (21.41, 0.09, 0.37),
    "thalamus": (4.5, 0.06, 0.3),
    "red nucleus": (19.0, 0.05, 0.4),
    "substantia nigra": (18.0, 0.06, 0.4),
    "dentate nucleus": (13.0, 0.04, 0.4),
}
#: ppm per mg of iron in 100 g, and the myelin that shifts it.
_PPM_PER_IRON = 0.0085
_MYELIN = {"pallidum": -0.010, "thalamus": -0.020, "red nucleus": -0.015, "dentate nucleus": -0.010}
#: R2* (1/s at 3 T) without iron, and its rise with the susceptibility of iron.
_R2STAR_BASE, _R2STAR_PER_PPM = 15.0, 130.0
#: The same for R2: iron raises it too, by diffusion around its stores.
_R2_BASE, _R2_PER_PPM = 11.0, 45.0
#: Nuclei that the patients' effect is planted in.
AFFECTED = ("putamen", "pallidum")
GROUPS = ("control", "patient")
_REFERENCE_AGE = 45.0

#: chi (ppm, water 0), proton density, R2* (1/s at 3 T), T1-weighted intensity, share of fat, diamagnetic part of chi
#: (ppm), R2 (1/s at 3 T), fraction of white matter.
_TISSUE = {
    sampling.AIR: (9.4, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    sampling.FAT: (0.6, 0.85, 35.0, 245.0, 0.0, 0.0, 15.0, 0.0),
    sampling.MUSCLE: (0.0, 0.55, 35.0, 120.0, 0.0, 0.0, 28.0, 0.0),
    sampling.BONE: (-2.1, 0.06, 250.0, 25.0, 0.0, -2.1, 150.0, 0.0),
    sampling.VITREOUS: (-0.02, 0.9, 3.0, 50.0, 0.0, -0.02, 1.0, 0.0),
    sampling.CSF: (0.0, 1.0, 2.5, 62.0, 0.0, 0.0, 0.6, 0.0),
    sampling.GREY: (0.015, 0.82, 17.0, 165.0, 0.0, -0.018, 10.5, 0.0),
    sampling.WHITE: (-0.030, 0.70, 21.0, 222.0, 0.0, -0.044, 14.0, 1.0),
    sampling.VEIN: (0.28, 0.85, 45.0, 130.0, 0.0, 0.0, 25.0, 0.0),
    sampling.CALCIFICATION: (-0.75, 0.25, 110.0, 60.0, 0.0, -0.75, 30.0, 0.0),
}
#: The same, and the share of fat, of tissue around the brain as gradient echoes at small flip angles show it: the short
#: T1 of fat makes it brighter than brain.
_IN_VIVO = {
    sampling.FAT: (0.6, 1.25, 35.0, 245.0, 0.95),
    sampling.MUSCLE: (0.0, 0.62, 32.0, 120.0, 0.05),
    sampling.BONE: (-2.1, 0.10, 250.0, 25.0, 0.0),
    sampling.MARROW: (-0.5, 0.60, 80.0, 200.0, 0.80, 0.0, 40.0, 0.0),
}


@dataclass(frozen=True)
class Person:
    """One line of participants.tsv, and what makes the person reproducible."""

    label: str
    number: int
    seed: int
    age: float
    sex: str
    group: str

    def random(self, *purpose: int) -> np.random.Generator:
        """Return the generator of one purpose: other purposes do not shift its numbers."""
        return np.random.default_rng([self.seed, self.number, *purpose])


def people(count: int, seed: int) -> tuple[Person, ...]:
    """Return the persons of a study: ages 20 to 80, groups in turn and of like ages."""
    persons = []
    for number in range(count):
        pair = np.random.default_rng([seed, 900, number // 2])
        random = np.random.default_rng([seed, 901, number])
        age = float(np.clip(np.round(pair.uniform(21, 79) + random.uniform(-2, 2), 1), 20, 80))
        sex = "FM"[int(random.integers(2))]
        persons.append(Person(f"{number + 1:02d}", number, seed, age, sex, GROUPS[number % 2]))
    return tuple(persons)


def iron_ppm(nucleus: str, age: float, age_effect: float = 1.0) -> float:
    """Susceptibility of a nucleus (ppm, water is 0) at an age in years.

    ``age_effect`` scales the change with age around the value at 45 years: 1 as measured by Hallgren & Sourander,
    0 none.
    """
    level, rate, birth = _IRON[nucleus]

    def iron(years: float) -> float:
        return float(level * (1 - np.exp(-rate * years)) + birth)

    middle = iron(_REFERENCE_AGE)
    return float(_PPM_PER_IRON * (middle + age_effect * (iron(age) - middle)) + _MYELIN.get(nucleus, 0.0))


def tissue_table(
    person: Person,
    *,
    age: float,
    field_strength: float,
    age_effect: float = 1.0,
    group_effect: float = 0.0,
    in_vivo: bool = False,
) -> FloatArray:
    """Return the person's tissue properties, one row per tissue; R2* follows the field strength (T).

    ``in_vivo`` gives fat its chemical shift, bone its marrow, and both the brightness of short T1.
    """
    table = np.zeros((sampling.MARROW + in_vivo, sampling.COLUMNS), np.float32)
    for row, values in (*_TISSUE.items(), *(_IN_VIVO.items() if in_vivo else ())):
        table[row, : len(values)] = values
    random = person.random(1)
    general = random.normal(1, 0.06)
    for n, nucleus in enumerate(NUCLEI):
        chi = iron_ppm(nucleus, age, age_effect) * general * random.normal(1, 0.05)
        if person.group == "patient" and nucleus in AFFECTED:
            chi += group_effect
        for side in range(2):
            value = chi * (1 + 0.03 * (random.normal() if side else 0))
            iron = max(value - _MYELIN.get(nucleus, 0.0), 0.0)
            r2star = _R2STAR_BASE + _R2STAR_PER_PPM * iron
            r2, myelin = _R2_BASE + _R2_PER_PPM * iron, _MYELIN.get(nucleus, -0.010)
            values = (value, 0.78, r2star, 190 - 60 * iron, 0.0, myelin, r2, 0.0)
            table[sampling.FIRST_NUCLEUS + 2 * n + side] = values
    table[sampling.VEIN, sampling.CHI] *= np.float32(random.normal(1, 0.08))
    table[:, sampling.R2STAR] *= np.float32(0.4 + 0.6 * field_strength / 3)
    table[:, sampling.R2] *= np.float32(0.7 + 0.3 * field_strength / 3)
    return table


def shape_head(
    person: Person, head: template.Head, texture: float = 1.0, living_texture_ppm: float = 0.0
) -> template.Head:
    """Return the head with the person's veins and textures (in template space).

    ``texture`` scales the random variation within a tissue: 1 has standard deviations of 10 ppb at 1 mm and at 3.5 mm.
    ``living_texture_ppm`` is the standard deviation of texture with the spectrum of living heads that is added.
    """
    brain = head.brain
    shape = brain.data.shape[:3]
    random = person.random(2)
    channels = {template.VEIN: vein_distance(person.random(3), head)}
    for channel, sigma in ((template.FINE, 1.1), (template.COARSE, 3.5)):
        noise = ndimage.gaussian_filter(random.standard_normal(shape, np.float32), sigma, mode="wrap")
        channels[channel] = np.float32(texture) * np.clip(noise / noise.std(), -3, 3)
    if living_texture_ppm:
        fine = living_texture(shape, (1 / brain.inverse_mm,) * 3, person.random(9))
        channels[template.FINE] = channels[template.FINE] + np.float32(living_texture_ppm / sampling.TEXTURE_PPM) * fine
    return head.with_brain(channels)


def head_to_template(person: Person, age: float) -> tuple[npt.NDArray[np.float64], template.Stack]:
    """Return the affine part (3, 4) and the displacement (mm) from the person's head to the template.

    The displacement is smooth (Gaussian, 20 mm) and weaker than its smoothness, so that it never folds; the ventricles
    widen with age.
    """
    random = person.random(4)
    scale = random.normal(1.0, 0.025, 3) * (1.02 if person.sex == "F" else 0.98)
    affine = np.zeros((3, 4))
    affine[:, :3] = rotation_matrix(random.normal(0, 1.0, 3)) @ np.diag(scale)
    step, low = 8.0, np.array([-120.0, -150.0, -195.0])
    shape = (31, 36, 41)
    move = random.standard_normal((*shape, 3))
    move = ndimage.gaussian_filter(move, (20 / step, 20 / step, 20 / step, 0), mode="nearest")
    move *= 2.0 / move.std()
    x, y, z = template.points(low, shape, step)
    widening = 0.05 + 0.20 * np.clip((age - 20) / 60, 0, 1)
    for centre in ((12.0, 5.0, 12.0), (-12.0, 5.0, 12.0), (22.0, -38.0, 10.0), (-22.0, -38.0, 10.0)):
        delta = np.stack(np.broadcast_arrays(x - centre[0], y - centre[1], z - centre[2]), axis=-1)
        near = np.exp(-np.sum(delta**2, axis=-1, keepdims=True) / (2 * 13.0**2))
        move -= widening * near * delta
    return affine, template.Stack(np.ascontiguousarray(move, np.float32), low, 1 / step)


def no_warp() -> tuple[npt.NDArray[np.float64], template.Stack]:
    """Return the identity in the form of :func:`head_to_template`: the template's own head."""
    zero = np.zeros((2, 2, 2, 3), np.float32)
    return np.eye(3, 4), template.Stack(zero, np.zeros(3), 1.0)


def pose(person: Person, session: int, tilt: Sequence[float]) -> npt.NDArray[np.float64]:
    """Return the 4x4 matrix from head mm to scanner mm: how the person lies in this session."""
    random = person.random(5, session)
    matrix = np.eye(4)
    matrix[:3, :3] = rotation_matrix(np.asarray(tilt, float) + random.normal(0, 2.0, 3))
    matrix[:3, 3] = random.normal(0, 2.0, 3)
    return matrix
