"""A whole simulated study as a BIDS dataset, with its truth in ``derivatives/phantom``."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bids_app import __version__
from bids_app.derivatives.names import product_path, spell
from bids_app.derivatives.products import PRODUCTS
from bids_app.phantom import sampling, subjects
from bids_app.phantom.acquisition import FLIP_ANGLE, MAGNITUDE_SCALE, Acquisition
from bids_app.phantom.atlas import nucleus_labels, write_labels, write_template
from bids_app.phantom.folder import TRUTH, Folder
from bids_app.phantom.living import Living, as_living, cosmos_reference, write_reference
from bids_app.phantom.simulate import Body, Scan, make_body, simulate, spin_echo_scan, structural
from bids_app.phantom.sources import SourceModel
from bids_app.phantom.template import load_head
from bids_app.qsm.units import ppm_to_hz

BIDS_VERSION = "1.10.0"


@dataclass(frozen=True)
class Study:
    """What is simulated."""

    subjects: int = 2
    sessions: int = 1
    seed: int = 1
    scan: Acquisition = field(default_factory=Acquisition)
    tilt: tuple[float, float, float] = (0.0, 0.0, 0.0)
    real_imag: bool = False
    t1w: bool = True
    t1w_voxel_size: float = 1.0
    t1w_orientation: str = "RAS"
    t1w_oblique: tuple[float, float, float] = (0.0, 0.0, 0.0)
    age_effect: float = 1.0
    group_effect: float = 0.04
    in_vivo: bool = False
    texture: float = 1.0
    sources: SourceModel | None = None
    living: Living | None = None

    @property
    def suffix(self) -> str:
        """Multi-echo or single-echo suffix."""
        return "MEGRE" if len(self.scan.echo_times) > 1 else "T2starw"


def write_study(study: Study, root: Path, notify: Callable[[str], None] = print) -> int:
    """Write the dataset; return how many participants were computed (those that are there already are kept)."""
    folder = Folder(root)
    folder.open()
    persons = subjects.people(study.subjects, study.seed)
    code = _code_fingerprint()
    units = {"dataset", "template", *(f"sub-{p.label}" for p in persons)}
    computed = 0
    whole = _fingerprint(study, code)
    if not folder.is_done("dataset", whole):
        folder.make("dataset", whole, lambda f: _write_top(f, study, persons))
    folder.forget_others(units)
    if not folder.is_done("template", code):
        folder.make("template", code, lambda f: write_template(f, load_head()))
    for person in persons:
        unit = f"sub-{person.label}"
        # The number of subjects changes nothing for each of them.
        fingerprint = _fingerprint({**asdict(study), "subjects": person.label}, code)
        if folder.is_done(unit, fingerprint):
            notify(f"{unit}: there already")
            continue
        folder.make(unit, fingerprint, lambda f, p=person: _write_person(f, study, p))  # type: ignore[misc]
        notify(f"{unit}: written ({person.sex}, {person.age:g} years, {person.group})")
        computed += 1
    return computed


def _fingerprint(study: Study | dict[str, object], code: str) -> str:
    content = study if isinstance(study, dict) else asdict(study)
    return hashlib.sha256((json.dumps(content, sort_keys=True) + code).encode()).hexdigest()


def _code_fingerprint() -> str:
    """Hash of the simulation's own source: a changed phantom is made again."""
    digest = hashlib.sha256(__version__.encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.stem not in {"score", "metrics", "__main__"}:
            digest.update(path.read_bytes())
    return digest.hexdigest()


_README = """\
Simulated head with known susceptibility

Every image here is computed: gradient-echo magnitude and phase (or real and imaginary part) and a T1-weighted image of
persons that do not exist, made from the MNI152 template with analytic deep grey nuclei, veins, skull, sinuses and air.
What the images should give (susceptibility, R2*, fields, labels) is in derivatives/phantom.
"""

_TRUTH_README = """\
Truth of the simulated study

Chimap is in ppm relative to water and zero outside the brain; R2starmap in 1/s; desc-total_fieldmap and
desc-local_fieldmap in Hz (the local field is that of the brain alone; the total field is after the scanner's shim).
seg-nuclei_dseg and seg-tissue_dseg are labels, each with its table. tpl-phantom is the head before it was deformed:
a small atlas (T1w, labels with their tables, brain mask).
"""

_COSMOS_README = """\
desc-cosmos_Chimap is no truth: it is COSMOS of several orientations, misplaced and with noise, as in living heads.
desc-vsharp_fieldmap (Hz) is the local field of the scan's own orientation with what V-SHARP leaves of the background.
Both are valid in desc-cosmos_mask.
"""


def _write_top(folder: Folder, study: Study, persons: tuple[subjects.Person, ...]) -> None:
    folder.json(
        "dataset_description.json",
        {
            "Name": "Simulated head with known susceptibility",
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "raw",
            "License": "CC0",
            "Authors": ["The QSM BIDS App developers"],
            "GeneratedBy": [{"Name": "QSM BIDS App phantom", "Version": __version__}],
        },
    )
    folder.text("README", _README)
    _write_participants(folder, persons)
    _write_sidecars(folder, study)
    folder.json(
        TRUTH / "dataset_description.json",
        {
            "Name": "Truth of the simulated study",
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "QSM BIDS App phantom", "Version": __version__, "Parameters": asdict(study)}],
        },
    )
    has_cosmos = study.living is not None and study.living.orientations is not None
    folder.text(TRUTH / "README", _TRUTH_README + (_COSMOS_README if has_cosmos else ""))
    folder.text(TRUTH / ".bidsignore", "logs/\n")
    write_labels(folder, TRUTH / "seg-nuclei_dseg.tsv", nucleus_labels())
    write_labels(folder, TRUTH / "seg-tissue_dseg.tsv", sampling.TISSUE_LABELS)


def _write_participants(folder: Folder, persons: tuple[subjects.Person, ...]) -> None:
    lines = ["participant_id\tage\tsex\tgroup"]
    lines += [f"sub-{p.label}\t{p.age:g}\t{p.sex}\t{p.group}" for p in persons]
    folder.text("participants.tsv", "\n".join(lines) + "\n")
    folder.json(
        "participants.json",
        {
            "age": {"Description": "Age at the first session", "Units": "year"},
            "sex": {"Description": "Sex", "Levels": {"F": "female", "M": "male"}},
            "group": {"Description": "Group", "Levels": {"control": "control", "patient": "planted iron effect"}},
        },
    )


def _write_sidecars(folder: Folder, study: Study) -> None:
    """Write the metadata that all images of a suffix share."""
    times = study.scan.echo_times
    common: dict[str, object] = {
        "MagneticFieldStrength": study.scan.field_strength,
        "Manufacturer": "Simulated",
        "RepetitionTime": study.scan.repetition_time,
        "FlipAngle": FLIP_ANGLE,
    }
    if len(times) > 1:
        common["ReadoutPolarity"] = "bipolar" if study.scan.bipolar else "monopolar"
    if study.suffix == "T2starw":
        common["EchoTime"] = times[0]
    folder.json(f"{study.suffix}.json", common)
    if study.sources is not None:
        angle = {"FlipAngle": 90, "RefocusingFlipAngle": study.sources.refocusing_angle}
        strength = {"MagneticFieldStrength": study.scan.field_strength, "Manufacturer": "Simulated"}
        folder.json("MESE.json", strength | angle | {"RepetitionTime": 3.0})
    if study.t1w:
        folder.json("T1w.json", {"MagneticFieldStrength": study.scan.field_strength, "Manufacturer": "Simulated"})


def _write_person(folder: Folder, study: Study, person: subjects.Person) -> None:
    living = study.living or Living()
    head = subjects.shape_head(person, load_head(study.in_vivo), study.texture, living.texture_ppm)
    for session in range(study.sessions):
        age = person.age + session
        tissue = subjects.tissue_table(
            person,
            age=age,
            field_strength=study.scan.field_strength,
            age_effect=study.age_effect,
            group_effect=study.group_effect,
            in_vivo=study.in_vivo,
        )
        body = make_body(person, head, tissue, age=age, session=session, tilt=study.tilt)
        model = study.sources
        body = replace(body, anisotropy=model.anisotropy) if model else body
        names = {"sub": person.label} | ({"ses": str(session + 1)} if study.sessions > 1 else {})
        scanned = as_living(body, person, living, study.scan)
        scan = simulate(scanned, study.scan, person.random(6, session), model)
        _write_scan(folder, study, names, scan)
        _write_truth(folder, study, names, scan)
        if living.orientations is not None:
            reference = cosmos_reference(scanned, scan, living, person.random(11, session))
            write_reference(folder, names, reference, scan, study.scan.field_strength)
        if model is not None:
            _write_spin_echoes(folder, study, model, names, body, person.random(8, session))
        if not study.t1w:
            continue
        random = person.random(7, session)
        image, affine = structural(body, study.t1w_orientation, study.t1w_voxel_size, random, study.t1w_oblique)
        folder.image(_raw(names, "T1w"), image, affine, "int16")


def _write_spin_echoes(
    folder: Folder, study: Study, model: SourceModel, names: dict[str, str], body: Body, random: np.random.Generator
) -> None:
    echoes, affine = spin_echo_scan(body, study.scan, model, random)
    for number, (time, echo) in enumerate(zip(model.echo_times, echoes, strict=True), start=1):
        path = _raw({**names, "echo": str(number)}, "MESE")
        folder.image(path, np.rint(echo * MAGNITUDE_SCALE), affine, "int16", {"EchoTime": time})


def _raw(names: dict[str, str], suffix: str) -> Path:
    folder = Path(f"sub-{names['sub']}") / (f"ses-{names['ses']}" if "ses" in names else "")
    return folder / "anat" / spell(names, suffix, ".nii.gz")


def _write_scan(folder: Folder, study: Study, names: dict[str, str], scan: Scan) -> None:
    for number, (time, signal) in enumerate(zip(study.scan.echo_times, scan.signal, strict=True), start=1):
        multi = study.suffix == "MEGRE"
        entities = names | ({"echo": str(number)} if multi else {})
        for part, data, units in _parts(signal, study.real_imag):
            sidecar: dict[str, object] = {"EchoTime": time} if multi else {}
            if units:
                sidecar["Units"] = units
            folder.image(_raw({**entities, "part": part}, study.suffix), data, scan.affine, "int16", sidecar or None)


def _parts(signal: npt.NDArray[np.complex64], real_imag: bool) -> Iterator[tuple[str, npt.NDArray[np.floating], str]]:
    """Give the images as a scanner stores them: integers, phase as 4096 codes from -4096 to 4094."""
    if real_imag:
        yield "real", np.rint(signal.real * MAGNITUDE_SCALE), "arbitrary"
        yield "imag", np.rint(signal.imag * MAGNITUDE_SCALE), "arbitrary"
        return
    yield "mag", np.rint(np.abs(signal) * MAGNITUDE_SCALE), ""
    codes = np.mod(np.rint((np.angle(signal) + np.pi) * (4096 / (2 * np.pi))), 4096)
    yield "phase", 2 * codes - 4096, "arbitrary"


def _write_truth(folder: Folder, study: Study, names: dict[str, str], scan: Scan) -> None:
    truth, affine = scan.truth, scan.affine
    tesla = study.scan.field_strength
    magnitude = np.abs(scan.signal[0]) * MAGNITUDE_SCALE
    images = {
        "chimap": truth.chi,
        "r2star": truth.r2star,
        "s0": truth.density * MAGNITUDE_SCALE,
        "total_field": ppm_to_hz(truth.total_field, tesla),
        "local_field": ppm_to_hz(truth.local_field, tesla),
        "total_field_magnitude": magnitude,
        "local_field_magnitude": magnitude,
        "mask_brain": truth.mask,
    }
    if truth.sources is not None:
        sources = truth.sources
        images |= {"chi_paramagnetic": sources.paramagnetic, "chi_diamagnetic": sources.diamagnetic}
        images |= {"r2": sources.r2, "r2prime": sources.r2prime}
    root = folder.root / TRUTH
    for key, data in images.items():
        product = PRODUCTS[key]
        sidecar: dict[str, object] = {"Description": product.description}
        sidecar |= {"Units": product.unit} if product.unit else {"Type": "Brain"}
        if not key.startswith("mask"):
            sidecar["SkullStripped"] = not key.startswith(("s0", "total", "local"))
        folder.image(product_path(product, names, root, root), data, affine, product.dtype, sidecar)
    anat = product_path(PRODUCTS["chimap"], names, root, root).parent
    for kind, labels in (("nuclei", truth.nuclei), ("tissue", truth.tissue)):
        path = anat / spell({**names, "seg": kind}, "dseg", ".nii.gz")
        folder.image(path, labels, affine, "uint8", {"Manual": False})
