"""The calculator of the page on resources: memory by the app's own estimates, time and disk by measured rows."""

import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np

#: Field of view of the table (mm): a head, from ear to ear, nose to back, and vertex to neck.
_FIELD_OF_VIEW = (210, 240, 180)
_RESOLUTIONS = (2.0, 1.5, 1.0, 0.8, 0.6)
_ECHOES = (4, 8)
#: Measured by ``benchmarks.chain``: seconds of the command, and seconds for a million voxels of the brain (2 cores).
_START_S, _SECONDS_PER_MILLION, _TGV_SECONDS_PER_MILLION = 4.2, 11.2, 35.0
_BRAIN_ML = 1890
#: Measured at 1.5 mm with 4 echoes: MB for a million voxels of the image.
_RESULT_MB, _WORK_MB = 19.0, 21.0


def memory_gb(millimetres: float, echoes: int) -> float:
    """Return the largest estimate of the steps of the preset ``default``, by which ``--mem`` plans."""
    from bids_app.model.records import Echo, GreRun
    from bids_app.model.settings import Settings
    from bids_app.steps import PARTICIPANT

    settings = Settings()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.nii"
        header = nib.Nifti1Header()
        header.set_data_shape([round(length / millimetres) for length in _FIELD_OF_VIEW])
        header.set_data_dtype(np.int16)
        header.set_sform(np.diag([millimetres] * 3 + [1]), 1)
        header["magic"] = b"n+1"
        header["vox_offset"] = 352
        path.write_bytes(header.binaryblock + b"\0" * 4)
        images = tuple(Echo(number, 0.004 * number, path, path) for number in range(1, echoes + 1))
        run = GreRun("01", None, (("sub", "01"),), "MEGRE", "anat", images, 3.0)
        steps = [step for step in PARTICIPANT if step.makes(run, settings)]
        return max(step.memory(run, settings) for step in steps) / 1e9


def rounded(value: float) -> str:
    """Return a number with two digits that count."""
    digits = 1 - int(np.floor(np.log10(abs(value)))) if value else 0
    text = f"{round(value, digits):,.{max(digits, 0)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def resource_table() -> str:
    """Return the table of the calculator in Markdown."""
    memory = [f"memory, {f'1 to {n}' if n == 4 else n} echoes" for n in _ECHOES]
    head = ["voxel size", "time", "time, `tgv`", *memory, "maps and report", "working files"]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for millimetres in _RESOLUTIONS:
        image = np.prod(_FIELD_OF_VIEW) / millimetres**3 / 1e6
        brain = _BRAIN_ML * 1e3 / millimetres**3 / 1e6
        cells = [
            f"{millimetres:g} mm",
            f"{rounded(_START_S + _SECONDS_PER_MILLION * brain)} s",
            f"{rounded(_START_S + _TGV_SECONDS_PER_MILLION * brain)} s",
            *(f"{rounded(memory_gb(millimetres, echoes))} GB" for echoes in _ECHOES),
            f"{rounded(_RESULT_MB * image)} MB",
            f"{rounded(_WORK_MB * image)} MB",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
