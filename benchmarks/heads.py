"""Gradient-echo scans for the benchmarks: simulated in memory, or read from a BIDS dataset."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from bids_app import qsm
from bids_app.phantom import metrics, simulate, subjects
from bids_app.phantom.acquisition import Acquisition
from bids_app.phantom.study import nucleus_labels
from bids_app.phantom.template import load_head
from bids_app.qsm.grid import Grid
from bids_app.qsm.phase.scaling import to_radians


@dataclass(frozen=True)
class GreScan:
    """Phase (rad) and magnitude ``[echo, x, y, z]`` of one scan, and the truth where it is known (chi in ppm)."""

    name: str
    phase: Any
    magnitude: Any
    times: tuple[float, ...]
    grid: Grid
    field_strength: float
    manufacturer: str = ""
    affine: Any = None
    chi: Any = None
    mask: Any = None
    labels: Any = None
    names: Mapping[int, str] = field(default_factory=dict)

    def echoes(self, chosen):
        """Return the same scan with these echoes alone (their places from 0)."""
        chosen = list(chosen)
        times = tuple(self.times[n] for n in chosen)
        return replace(self, phase=self.phase[chosen], magnitude=self.magnitude[chosen], times=times)


@dataclass(frozen=True)
class Before:
    """What comes before the stages that are compared: total field and masks."""

    scan: GreScan
    field: Any
    masks: Any


def simulated(*, person=0, seed=1, session=0, in_vivo=False, texture=1.0, shim_ppm=0.0, **scan):
    """Simulate a scan; another ``session`` is the same head in another position with other noise and shim.

    ``texture`` scales the variation within a tissue. ``shim_ppm`` is the standard deviation of first- and second-order
    fields that are added; ``scan`` are parameters of :class:`bids_app.phantom.acquisition.Acquisition`.
    """
    acquisition = Acquisition(**scan)
    someone = subjects.people(person + 1, seed)[person]
    head = subjects.shape_head(someone, load_head(in_vivo), texture)
    tissue = subjects.tissue_table(someone, age=someone.age, field_strength=acquisition.field_strength, in_vivo=in_vivo)
    body = simulate.make_body(someone, head, tissue, age=someone.age, session=session, tilt=(0.0, 0.0, 0.0))
    done = simulate.simulate(body, acquisition, someone.random(6, session))
    grid = Grid.from_affine(done.truth.mask.shape, done.affine)
    signal = done.signal
    if shim_ppm:
        rng = np.random.default_rng([seed, person, session])
        hertz = shim_field(done.truth.mask, grid, rng, shim_ppm) * _hertz(acquisition)
        signal = np.stack(
            [s * np.exp(2j * np.pi * t * hertz) for s, t in zip(signal, acquisition.echo_times, strict=True)]
        )
    truth = done.truth
    return GreScan(
        f"phantom {person + 1}{', in vivo' if in_vivo else ''}",
        np.angle(signal).astype(np.float32),
        np.abs(signal).astype(np.float32),
        acquisition.echo_times,
        grid,
        acquisition.field_strength,
        affine=done.affine,
        chi=truth.chi,
        mask=truth.mask,
        labels=truth.nuclei.astype(int),
        names=nucleus_labels(),
    )


def _hertz(acquisition):
    return np.float32(42.577478 * acquisition.field_strength)


def shim_field(mask, grid, rng, size_ppm):
    """Return a random harmonic field of first and second order with this standard deviation in the mask (ppm)."""
    # In mm on all axes: on axes of other scales the second order is not harmonic, and no shim makes it.
    axes = (
        0.01 * v * (np.arange(n, dtype=np.float32) - n / 2) for n, v in zip(mask.shape, grid.voxel_size, strict=True)
    )
    x, y, z = np.meshgrid(*axes, indexing="ij")
    terms = (x, y, z, x * y, y * z, x * z, x**2 - y**2, 2 * z**2 - x**2 - y**2)
    field = sum(np.float32(rng.standard_normal()) * term for term in terms)
    return (field * np.float32(size_ppm / field[mask].std())).astype(np.float32)


def read_scan(bids, subject):
    """Read a participant's multi-echo scan of a BIDS dataset, with the truth of the phantom or of qsm-forward."""
    bids = Path(bids)
    phases = sorted(bids.glob(f"{subject}/**/*part-phase_MEGRE.nii*"))
    if not phases:
        raise SystemExit(f"{bids}/{subject} has no *part-phase_MEGRE.nii. Give a participant with magnitude and phase.")
    common = {}
    for path in bids.glob("*MEGRE.json"):
        common |= json.loads(path.read_text(encoding="utf-8"))
    sidecars = [common | _sidecar(path) for path in phases]
    image = nib.load(phases[0])
    grid = Grid.from_affine(image.shape[:3], image.affine)
    if "B0_dir" in sidecars[0]:
        grid = Grid(grid.shape, grid.voxel_size, tuple(sidecars[0]["B0_dir"]))
    maker = sidecars[0].get("Manufacturer", "")
    stored = np.stack([np.asanyarray(nib.load(path).dataobj) for path in phases])
    magnitudes = [path.with_name(path.name.replace("part-phase", "part-mag")) for path in phases]
    return GreScan(
        subject.removeprefix("sub-"),
        to_radians(stored, manufacturer=maker).phase,
        np.stack([_values(path) for path in magnitudes]),
        tuple(sidecar["EchoTime"] for sidecar in sidecars),
        grid,
        float(sidecars[0]["MagneticFieldStrength"]),
        maker,
        image.affine,
        **_truth(bids, subject),
    )


def _sidecar(path):
    sidecar = path.with_name(path.name.split(".nii")[0] + ".json")
    return json.loads(sidecar.read_text(encoding="utf-8")) if sidecar.exists() else {}


def _values(path):
    return np.asarray(nib.load(path).dataobj, np.float32)


def _truth(bids, subject):
    """Return susceptibility, mask and labels of a simulated participant by the names of :class:`GreScan`."""
    maps = sorted(bids.glob(f"derivatives/*/{subject}/**/anat/*_Chimap.nii*"))
    if not maps:
        return {}
    anat = maps[0].parent
    labels = _values(sorted([*anat.glob("*seg-nuclei_dseg.nii*"), *anat.glob(f"{subject}_dseg.nii*")])[0]).astype(int)
    has_nuclei = any(anat.glob("*seg-nuclei_dseg.nii*"))
    names = nucleus_labels() if has_nuclei or labels.max() <= max(nucleus_labels()) else {}
    return {
        "chi": _values(maps[0]),
        "mask": _values(sorted(anat.glob("*mask.nii*"))[0]) > 0,
        "labels": labels,
        "names": names or {int(n): f"label {n}" for n in np.unique(labels) if n},
    }


def before(scan, options=None):
    """Return total field and masks of a scan by a preset's options (``default``)."""
    options = options or qsm.preset("default")
    corrected = qsm.correct_phase(
        scan.phase,
        scan.magnitude,
        scan.times,
        scan.grid,
        acquisition=qsm.Acquisition(scan.manufacturer),
        options=options.field,
        parameters=options.parameters,
    )
    field_map = qsm.fit_total_field(
        corrected.phase, scan.magnitude, scan.times, scan.grid, corrected.support, options=options.field
    )
    masks = qsm.make_masks(
        field_map.sd,
        scan.grid,
        quality=field_map.quality,
        magnitude=field_map.magnitude,
        residual=field_map.residual,
        options=options.mask,
    )
    return Before(scan, field_map, masks)


def invert(start, background, inversion=qsm.InversionChoices(), parameters=None, masks=None):
    """Return map (ppm), where it is valid, and local field (ppm) from the total field on."""
    scan, parameters = start.scan, parameters or {}
    local = qsm.local_field(
        start.field.ppm(scan.field_strength),
        (masks or start.masks).passes,
        scan.grid,
        sd=start.field.sd,
        residual=start.field.residual,
        single_echo=len(scan.times) == 1,
        options=background,
        parameters=parameters,
    )
    maps = qsm.susceptibility(
        local, scan.grid, magnitude=start.field.magnitude, options=inversion, parameters=parameters
    )
    if background.null_space_trend == "remove":
        maps = qsm.remove_null_space_trend(maps, start.field.magnitude, scan.grid).susceptibility
    return maps.chi, maps.mask, maps.local_field


def regional(chi, valid, scan):
    """Return found and true means (ppm) of regions of ten voxels or more, both relative to the mean of the mask."""
    inside = valid & scan.mask
    kept = metrics.regions(chi, scan.chi, inside, scan.labels, scan.names)
    return {r.name: (r.estimate, r.true) for r in kept if r.voxels >= 10}
