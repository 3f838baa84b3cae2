"""``python -m bids_app.cli.brainlife config.json``: what brainlife.io starts (see ``app/main``).

Makes the command line from ``config.json``, where need be with a BIDS dataset put together from loose files, runs it,
and leaves ``output/`` and ``product.json`` with the warnings and a plot of the regional values.
"""

import json
import math
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bids_app import __version__
from bids_app.cli.command import main as run_command
from bids_app.derivatives.records import load_records, records_root
from bids_app.derivatives.text import decoded, shown
from bids_app.derivatives.tsv import table_rows
from bids_app.errors import InputRefusedError, QsmAppError, UsageError
from bids_app.model.json_values import JsonObject

#: Keys of config.json that go to the command line as they are.
_PASSED = ("preset", "segmentation", "atlas", "qsm_reference", "omp_nthreads", "nprocs", "mem", "mask")
_SUBJECT = "brainlife"


def dataset_from_files(config: JsonObject, root: Path) -> Path:
    """Put the files that ``config`` names together to a BIDS dataset of one participant and return its folder.

    Raises
    ------
    UsageError
        If there is no phase, or the numbers of files and echo times differ.
    InputRefusedError
        If a file is missing.
    """
    phases, magnitudes = _files(config, "phase"), _files(config, "mag")
    if not phases:
        raise UsageError('config.json names neither "bids" nor "phase": give a BIDS folder or phase images')
    if magnitudes and len(magnitudes) != len(phases):
        raise UsageError(
            f"config.json names {len(phases)} phase and {len(magnitudes)} magnitude images; give both alike"
        )
    metadata = _echo_metadata(config, phases)
    anat = root / f"sub-{_SUBJECT}" / "anat"
    anat.mkdir(parents=True, exist_ok=True)
    (root / "dataset_description.json").write_text(json.dumps({"Name": "brainlife input", "BIDSVersion": "1.10.0"}))
    (root / "README").write_text("Put together from the inputs of a brainlife task; the images are links to them.\n")
    several = len(phases) > 1
    for part, files in (("phase", phases), ("mag", magnitudes)):
        for number, (path, fields) in enumerate(zip(files, metadata, strict=False), start=1):
            echo = f"_echo-{number}" if several else ""
            stem = f"sub-{_SUBJECT}{echo}_part-{part}_{'MEGRE' if several else 'T2starw'}"
            _link(path, anat / f"{stem}{_extension(path)}")
            units = {"Units": fields.get("Units", "arbitrary")} if part == "phase" else {}
            known = {key: value for key, value in fields.items() if key != "Units"}
            (anat / f"{stem}.json").write_text(json.dumps(known | units, indent=2))
    for path in _files(config, "t1"):
        _link(path, anat / f"sub-{_SUBJECT}_T1w{_extension(path)}")
        (anat / f"sub-{_SUBJECT}_T1w.json").write_text("{}")
    return root


def _files(config: JsonObject, key: str) -> list[Path]:
    paths = [Path(item) for item in _texts(config, key)]
    missing = [f"config.json: {key}: {path} does not exist" for path in paths if not path.is_file()]
    if missing:
        raise InputRefusedError(missing)
    return paths


def _texts(config: JsonObject, key: str) -> list[str]:
    """Return the texts of a key of the config: one, or a list; whole numbers count as texts.

    Raises
    ------
    UsageError
        If there is anything else.
    """
    value = config.get(key) or []
    items = value if isinstance(value, list) else [value]
    texts = [str(item) for item in items if isinstance(item, str | int) and not isinstance(item, bool)]
    if len(texts) != len(items):
        raise UsageError(f"config.json: {key} is {shown(str(value))}; give a text or a list of texts")
    return texts


def _extension(path: Path) -> str:
    return ".nii.gz" if path.name.endswith(".nii.gz") else path.suffix


def _link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    target.symlink_to(source.absolute())


def _echo_metadata(config: JsonObject, phases: Sequence[Path]) -> list[JsonObject]:
    """Return the sidecar fields of each echo: from the sidecars of the images, brainlife's meta, and the config."""
    entries = config.get("_inputs")
    listed = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    inputs = [entry for entry in listed if entry.get("id") == "phase"]
    times = _numbers("echo_times", config["echo_times"]) if config.get("echo_times") else []
    if times and len(times) != len(phases):
        raise UsageError(f"config.json names {len(phases)} phase images and {len(times)} echo_times")
    echoes_fields = []
    for number, path in enumerate(phases):
        fields: JsonObject = {}
        sidecar = path.with_name(path.name.removesuffix(_extension(path)) + ".json")
        if sidecar.is_file():
            fields |= _json_object(sidecar, lambda text: InputRefusedError([text]))
        if number < len(inputs) and isinstance(meta := inputs[number].get("meta"), dict):
            fields |= meta
        if times:
            fields["EchoTime"] = times[number]
        if "field_strength" in config:
            (fields["MagneticFieldStrength"],) = _numbers("field_strength", config["field_strength"], 1)
        echoes_fields.append(fields)
    return echoes_fields


def _json_object(path: Path, refused: Callable[[str], QsmAppError]) -> JsonObject:
    """Return what a JSON file holds; ``refused`` makes the error where that is no object of names and values."""
    try:
        content = json.loads(decoded(path.read_bytes())[0])
    except (OSError, ValueError, RecursionError) as error:
        raise refused(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise refused(f"{path} holds no JSON object of names and values")
    return content


def _numbers(key: str, value: object, count: int = 0) -> list[float]:
    """Return the numbers of a list, or of a text such as ``0.004, 0.008``; exactly ``count`` of them where given.

    Raises
    ------
    UsageError
        If there is anything else.
    """
    words = value.strip(" []").replace(",", " ").split() if isinstance(value, str) else value
    listed: list[object] = list(words) if isinstance(words, list) else [words]
    try:
        numbers = [float(word) for word in listed if isinstance(word, str | int | float) and not isinstance(word, bool)]
    except ValueError:
        numbers = []
    numbers = numbers if len(numbers) == len(listed) else []
    if not numbers or (count and len(numbers) != count) or not all(map(math.isfinite, numbers)):
        raise UsageError(f"config.json: {key} is {value!r}; give {'one number' if count == 1 else 'numbers'}")
    return numbers


def command_line(config: JsonObject, bids: Path, output: Path) -> list[str]:
    """Return the arguments of ``qsm-bids-app`` for a config."""
    arguments = [str(bids), str(output), "participant"]
    if labels := _texts(config, "participant_label"):
        arguments += ["--participant-label", *labels]
    for key in _PASSED:
        if isinstance(config.get(key), dict | list):
            raise UsageError(f"config.json: {key} is {shown(str(config[key]))}; give one value")
        if config.get(key) not in (None, ""):
            arguments.append(f"--{key.replace('_', '-')}={config[key]}")
    parameters = config.get("set") or {}
    if not isinstance(parameters, dict):
        raise UsageError(f"config.json: set is {shown(str(parameters))}; give names and values")
    for name, value in parameters.items():
        arguments += ["--set", f"{name}={json.dumps(value)}"]
    return arguments


def region_plots(output: Path) -> list[JsonObject]:
    """Return a bar plot in plotly's terms for every table of regional susceptibility."""
    plots = []
    for table in sorted(output.rglob("*_desc-chi_stats.tsv")):
        rows = [row for row in table_rows(table) if row.get("chi_mean") not in (None, "", "n/a")]
        if not rows:
            continue
        sides = [row["hemisphere"] if row.get("hemisphere") not in (None, "", "n/a") else "" for row in rows]
        bars = {
            "type": "bar",
            "x": [f"{row['name']} {side}".strip() for row, side in zip(rows, sides, strict=True)],
            "y": [float(row["chi_mean"]) for row in rows],
            "error_y": {"type": "data", "array": [_deviation(row) for row in rows], "visible": True},
        }
        title = table.name.removesuffix("_desc-chi_stats.tsv")
        layout = {"title": f"Susceptibility of {title}", "yaxis": {"title": "chi (ppm)"}, "margin": {"b": 140}}
        plots.append({"type": "plotly", "name": f"Regional susceptibility {title}", "data": [bars], "layout": layout})
    return plots


def _deviation(row: Mapping[str, str]) -> float | None:
    """Return the standard deviation of a region; None for a region of one voxel."""
    text = row.get("chi_std", "n/a")
    return None if text in ("", "n/a") else float(text)


def product(output: Path, code: int, message: str) -> JsonObject:
    """Return the content of ``product.json``."""
    notes = [{"type": "error" if code else "success", "msg": message}]
    records = load_records(records_root(output)) if output.is_dir() else ()
    notes += [
        {"type": "warning", "msg": f"{record.basename}: {text}"} for record in records for text in record.warnings
    ]
    return {
        "brainlife": [*notes, *region_plots(output)],
        "meta": {"qsm_bids_app_version": __version__, "exit_code": code},
        "tags": ["qsm"],
    }


def main(arguments: Sequence[str]) -> int:
    """Run a brainlife task in the current folder and return the exit code."""
    output = Path("output")
    try:
        if len(arguments) != 1:
            raise UsageError("python -m bids_app.cli.brainlife takes one argument: the path of config.json")
        config = _json_object(Path(arguments[0]), UsageError)
        shutil.rmtree("bids_input", ignore_errors=True)
        folder = _texts(config, "bids")
        if len(folder) > 1:
            raise UsageError(f"config.json: bids names {len(folder)} folders; give one")
        bids = Path(folder[0]) if folder else dataset_from_files(config, Path("bids_input"))
        code = run_command(command_line(config, bids, output))
        message = "maps are in output/" if code == 0 else f"qsm-bids-app ended with exit code {code}; see the log"
    except QsmAppError as error:
        print(f"qsm-bids-app: {error}", file=sys.stderr)
        code, message = error.exit_code, str(error)
    Path("product.json").write_text(json.dumps(product(output, code, message), indent=2) + "\n", encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
