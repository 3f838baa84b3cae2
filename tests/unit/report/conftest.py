"""A subject with all kinds of products on a small oblique grid, as the steps would have left it."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bids_app.derivatives.files import write_image, write_table
from bids_app.derivatives.names import product_path
from bids_app.derivatives.products import PRODUCTS

SHAPE = (24, 30, 20)
AFFINE = np.array([[0, 2.0, 0, -30], [-2.5, 0, 0, 40], [0, 0.5, 3.0, -20], [0, 0, 0, 1]])


@dataclass
class Source:
    """What the dataset knows of a run."""

    basename: str = "sub-01"
    echoes: tuple = ()
    field_strength: float = 3.0
    suffix: str = "MEGRE"
    t1w_choice: str = "sub-01_T1w.nii.gz: the only one"
    remarks: tuple = ()
    entities: tuple = (("sub", "01"),)
    echo_times: tuple = (0.005, 0.01)
    coils: int = 1


@dataclass
class Result:
    failures: list = field(default_factory=list)


@dataclass
class Settings:
    values: dict = field(default_factory=lambda: {"inversion": {"method": "rts", "rts": {"delta": 0.15}}})

    def to_mapping(self):
        return self.values


def volumes():
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    mask = x**2 + y**2 + z**2 < 0.7
    rng = np.random.default_rng(1)
    noise = rng.normal(size=SHAPE).astype(np.float32)
    chi = np.where(mask, 0.02 * noise + 0.1 * (x**2 + y**2 < 0.05), 0).astype(np.float32)
    labels = np.where(mask & (x > 0.3), 1, 0) + np.where(mask & (x < -0.3), 2, 0)
    return {
        "magnitude": np.where(mask, 200, 2) + noise,
        "mask_brain": mask,
        "mask_reliable": mask & (noise > -1.5),
        "mask_qsm": mask,
        "quality": np.where(mask, 0.9, 0.1),
        "total_field": 30 * x,
        "corrected_field": (30 * x - 0.5 * z) * mask / np.float32(3 * 42.577478),
        "local_field": 3 * noise * mask,
        "residual": np.abs(noise) * 0.1,
        "field_sd": np.abs(noise),
        "chimap": chi,
        "chimap_singlepass": chi * 0.9,
        "trend": 0.01 * z * mask,
        "mask_boundary_sources": mask & (z > 0.75),
        "r2star": 20.0 + noise,
        "t2star": 0.05 + 0 * noise,
        "swi": 100 + noise,
        "minip": 90 + noise,
        "t1w_on_gre": np.where(mask, 100, 5) + noise,
        "dseg_gre@atlas": labels,
    }


def record(out, step, keys, number, basename="sub-01", methods=(), parameters=None, metrics=None, warnings=()):
    """Write a step's record that names products."""
    paths = {}
    for key in keys:
        path = product_path(PRODUCTS[key], {"sub": "01"}, out, out / "work")
        paths[key] = str(path.relative_to(out))
    folder = out / "logs/records/sub-01"
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "step": step,
        "title": step,
        "basename": basename,
        "status": "done",
        "fingerprint": step,
        "paths": paths,
        "outputs": {},
        "files": [],
        "parameters": parameters or {},
        "metrics": metrics or {},
        "methods": list(methods),
        "warnings": list(warnings),
        "started": f"2026-01-01T00:00:{number:02d}+00:00",
        "duration_s": 1.5,
        "peak_memory_bytes": 400_000_000,
        "threads": 2,
        "code_version": "0.1.0+0",
    }
    (folder / f"{basename}_step-{step}.json").write_text(json.dumps(content))


FIELD = ["magnitude", "quality", "total_field", "residual", "field_sd"]
ROWS = [
    {
        "index": 1,
        "name": "caudate",
        "hemisphere": "L",
        "volume_mm3": 900,
        "chi_median": 0.05,
        "chi_p05": 0.01,
        "chi_p95": 0.1,
    },
    {
        "index": 2,
        "name": "caudate",
        "hemisphere": "R",
        "volume_mm3": 800,
        "chi_median": 0.04,
        "chi_p05": 0.0,
        "chi_p95": 0.09,
    },
    {
        "index": 3,
        "name": "empty <b>",
        "hemisphere": "R",
        "volume_mm3": 0,
        "chi_median": None,
        "chi_p05": None,
        "chi_p95": None,
    },
]


def write_subject(out: Path):
    for key, data in volumes().items():
        product = PRODUCTS[key]
        path = product_path(product, {"sub": "01"}, out, out / "work")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, data, AFFINE, product.dtype)
    write_table(product_path(PRODUCTS["regions@atlas"], {"sub": "01"}, out, out / "work"), ROWS)
    field_parameters = {
        "field": {
            "offsets": "auto",
            "unwrap": "romeo",
            "fit": "linear",
            "mcpc3ds": {"sigma": 7.0},
            "romeo": {"template_echo": 1, "magnitude_weight": True},
            "linear": {"intercept": "auto"},
        }
    }
    metrics = {"phase": ["phase is in radians"], "residue_share": 0.01}
    record(out, "phase", [], 0, methods=("mcpc3ds",), parameters=field_parameters, metrics=metrics)
    record(out, "field", FIELD, 0, methods=("romeo", "fit_linear"), parameters=field_parameters)
    record(out, "mask", ["mask_brain", "mask_reliable"], 1)
    similar = {"overlap_dice": 0.74, "mutual_information": 1.019, "mutual_information_shifted": 1.02}
    record(
        out,
        "registration",
        ["t1w_on_gre"],
        2,
        methods=("n4", "rigid"),
        metrics=similar,
        warnings=("the registration looks wrong",),
    )
    background_parameters = {
        "background": {
            "method": "vsharp",
            "vsharp": {"radius_max": 12.0, "radius_min": 1.0, "radius_step": 1.0, "threshold": 0.05},
        }
    }
    inversion_parameters = {
        "inversion": {"method": "rts", "per_echo": False, "rts": {"delta": 0.15, "mu": 1e5, "rho": 10.0}}
    }
    record(
        out,
        "background",
        ["mask_boundary_sources", "corrected_field"],
        3,
        methods=("vsharp",),
        parameters=background_parameters,
    )
    record(out, "inversion", ["mask_qsm"], 3, methods=("rts",), parameters=inversion_parameters)
    record(out, "null_space_trend", ["trend", "local_field"], 3)
    record(out, "reference", ["chimap", "chimap_singlepass"], 4)
    record(out, "relaxometry", ["r2star", "t2star"], 5, methods=("arlo",))
    record(out, "swi", ["swi", "minip"], 6, methods=("clearswi",))
    record(out, "labels-atlas", ["dseg_gre@atlas"], 7)
    record(out, "regions-atlas", ["regions@atlas"], 8, warnings=("a <script>alert(1)</script> warning",))


def context_in(folder):
    """Return where a call happens."""
    out = folder / "out"
    return SimpleNamespace(output_dir=out, bids_dir=folder / "bids", work_dir=out / "work", force=False, threads=2)


def subject_in(context):
    """Write a subject and return it; its echoes are the combined magnitude and the field."""
    write_subject(context.output_dir)
    magnitude = product_path(PRODUCTS["magnitude"], {"sub": "01"}, context.output_dir, context.work_dir)
    phase = product_path(PRODUCTS["total_field"], {"sub": "01"}, context.output_dir, context.work_dir)
    echoes = tuple(
        SimpleNamespace(
            number=n,
            echo_time=0.005 * n,
            magnitude=magnitude,
            phase=phase,
            real=None,
            imag=None,
            metadata={"Manufacturer": "Simulated", "RepetitionTime": 0.03},
        )
        for n in (1, 2)
    )
    return SimpleNamespace(label="01", runs=(Source(echoes=echoes),))


@pytest.fixture
def context(tmp_path):
    return context_in(tmp_path)


@pytest.fixture
def subject(context):
    return subject_in(context)


@pytest.fixture
def settings():
    return Settings()
