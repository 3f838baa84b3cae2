"""Driving the terminal app in tests: a script of keys, and small data to look at."""

import asyncio
import json
import sys

import nibabel as nib
import numpy as np
from textual.widgets import DataTable, DirectoryTree, Footer

from bids_app.derivatives.quality import metrics_of
from bids_app.tui.app import QsmApp

SHAPE = (16, 16, 16)
TIMES = (0.005, 0.010)


def drive(script, *given, command=None, size=(80, 24)):
    """Run ``script(app, pilot)`` in an app of the size of a small terminal."""

    async def main():
        app = QsmApp(*given, command=command)
        async with app.run_test(size=size) as pilot:
            await settle(pilot)
            await script(app, pilot)
            await settle(pilot)

    asyncio.run(main())


async def settle(pilot):
    """Wait until no background task runs and everything is shown."""
    for _ in range(2):  # what has ended may start something else
        await pilot.pause()
        while pilot.app.is_running and not pilot.app.screen.query("*"):
            await pilot.pause(0.02)
        # A tree of folders has a task that waits for work until the app ends.
        while tasks := [w for w in pilot.app.workers if not w.is_finished and not isinstance(w.node, DirectoryTree)]:
            await pilot.app.workers.wait_for_complete(tasks)
    await pilot.pause()


async def press(pilot, *keys):
    await pilot.press(*keys)
    await settle(pilot)


async def type_into(app, pilot, selector, value):
    """Put a long text into a field at once, and press Enter there."""
    field = app.screen.query_one(selector)
    field.value = value
    field.focus()
    await press(pilot, "enter")


def text(app, selector):
    """Return the text of a part of the screen."""
    return str(app.screen.query_one(selector).render())


def table(app):
    """Return the rows of the table on the screen."""
    widget = app.screen.query_one(DataTable)
    return [widget.get_row_at(row) for row in range(widget.row_count)]


def fits(app):
    """Return whether all keys of the footer are seen, and everything else lies inside the screen."""
    footer = app.screen.query_one(Footer)
    inside = all(w.region in app.screen.region for w in app.screen.query("#body > *") if w.display)
    return inside and footer.max_scroll_x == 0


def write_bids(root, subjects=("01", "02"), echo_times=TIMES):
    """Write a dataset whose images are a smooth phase and its magnitude."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset_description.json").write_text(json.dumps({"Name": "test", "BIDSVersion": "1.10.0"}))
    (root / "MEGRE.json").write_text(json.dumps({"MagneticFieldStrength": 3}))
    for label in subjects:
        folder = root / f"sub-{label}" / "anat"
        folder.mkdir(parents=True, exist_ok=True)
        for echo, time in enumerate(echo_times, start=1):
            signal = np.exp(-20 * TIMES[0] * echo + 1j * 60 * (x + y * y - z) * TIMES[0] * echo * 2 * np.pi)
            parts = {"mag": 1000 * np.abs(signal) * (x * x + y * y + z * z < 0.8), "phase": np.angle(signal)}
            for part, data in parts.items():
                stem = folder / f"sub-{label}_echo-{echo}_part-{part}_MEGRE"
                nib.save(nib.Nifti1Image(data.astype(np.float32), np.diag([3, 3, 3, 1.0])), f"{stem}.nii.gz")
                sidecar = {"EchoTime": time} if time else {}
                stem.with_suffix(".json").write_text(
                    json.dumps(sidecar | ({"Units": "rad"} if part == "phase" else {}))
                )
    return root


def write_results(output_dir, bids_dir):
    """Write what the results of two participants look like: metrics, one of them out of its range, and pages."""
    output_dir.mkdir(parents=True)
    description = {
        "Name": "maps",
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "qsm-bids-app"}],
        "DatasetLinks": {"raw": bids_dir.as_uri()},
    }
    (output_dir / "dataset_description.json").write_text(json.dumps(description))
    drift = metrics_of(2)["field_drift"]
    for label, value in (("01", 1.0), ("02", 50.0)):
        folder = output_dir / f"sub-{label}" / "anat"
        folder.mkdir(parents=True)
        content = {"numbers": {"field_drift": drift.describe(value, {"drift_max": 5.0})}}
        (folder / f"sub-{label}_qc.json").write_text(json.dumps(content))
        (output_dir / f"sub-{label}.html").write_text("<p>report</p>")
    return output_dir


def write_command(path, body):
    """Write a program that stands for the app; ``say`` writes an event, ``words`` are its arguments."""
    path.write_text(
        "import json, sys, time\n"
        "words = sys.argv[1:]\n"
        "events = words[words.index('--events') + 1]\n"
        "def say(**event):\n"
        "    with open(events, 'a') as file:\n"
        "        file.write(json.dumps(event) + '\\n')\n" + body
    )
    return [sys.executable, str(path)]
