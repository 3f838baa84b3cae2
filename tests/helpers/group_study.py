"""What the participant level leaves behind, without images: tables of regions and the engine's records.

The values are the phantom's own true means with measurement noise, so that the effects are known.
"""

import json

import numpy as np

from bids_app.derivatives.digests import digest_of_file
from bids_app.derivatives.files import write_json, write_table
from bids_app.phantom import sampling, subjects
from bids_app.phantom.shapes import NUCLEI


def write_table_study(root, count=12, age_effect=1.0, group_effect=0.02, sessions=1, noise=0.002, seed=1):
    """Write ``root/bids`` and ``root/out``; return both."""
    bids, out = root / "bids", root / "out"
    persons = subjects.people(count, seed)
    bids.mkdir(parents=True)
    (bids / "dataset_description.json").write_text(json.dumps({"Name": "tables", "BIDSVersion": "1.10.0"}))
    lines = [f"sub-{p.label}\t{p.age:g}\t{p.sex}\t{p.group}" for p in persons]
    (bids / "participants.tsv").write_text("\n".join(["participant_id\tage\tsex\tgroup", *lines]) + "\n")
    (bids / "participants.json").write_text(json.dumps({"age": {"Description": "Age", "Units": "year"}}))
    rng = np.random.default_rng(seed)
    for person in persons:
        for number in range(sessions):
            names = f"sub-{person.label}" + (f"_ses-{number + 1}" if sessions > 1 else "")
            place = f"sub-{person.label}" + (f"/ses-{number + 1}" if sessions > 1 else "")
            raw = bids / place / "anat"
            raw.mkdir(parents=True)
            (raw / f"{names}_echo-1_part-phase_MEGRE.nii.gz").touch()
            table = subjects.tissue_table(
                person, age=person.age + number, field_strength=3.0, age_effect=age_effect, group_effect=group_effect
            )
            rows = []
            for index in range(1, 2 * len(NUCLEI) + 1):
                chi = float(table[sampling.FIRST_NUCLEUS + index - 1, sampling.CHI]) + noise * rng.normal()
                diamagnetic = -0.012 + 0.1 * noise * (index % 3)
                r2star = float(table[sampling.FIRST_NUCLEUS + index - 1, sampling.R2STAR])
                rows.append(
                    {
                        "index": index,
                        "name": NUCLEI[(index - 1) // 2],
                        "hemisphere": "RL"[(index - 1) % 2],
                        "volume_mm3": 1000.0 + index,
                        "region_voxels": 100,
                        "voxels": 100,
                        "valid_fraction": 1.0,
                        "erosion_voxels": 0,
                        "chi_mean": chi,
                        "r2star_mean": r2star,
                        "chi_paramagnetic_mean": chi - diamagnetic,
                        "chi_diamagnetic_mean": diamagnetic,
                    }
                )
            write_run(out, names, place, rows)
        if sessions > 1:
            text = "session_id\tage\n" + "".join(f"ses-{n + 1}\t{person.age + n:g}\n" for n in range(sessions))
            (bids / f"sub-{person.label}" / f"sub-{person.label}_sessions.tsv").write_text(text)
    return bids, out


def write_run(out, names, place, rows):
    """Write a run's table, an empty map and their records."""
    anat = out / place / "anat"
    products = {
        "chi": ("chimap", anat / f"{names}_Chimap.nii.gz"),
        "regions-given": ("regions@nuclei", anat / f"{names}_seg-nuclei_desc-chi_stats.tsv"),
    }
    anat.mkdir(parents=True, exist_ok=True)
    products["chi"][1].write_bytes(b"map")
    write_table(products["regions-given"][1], rows)
    inputs = []
    for step, (key, path) in products.items():
        write_step(out, place, step, names, {key: path}, inputs)
        inputs = [path]


def write_step(out, place, step, names, products, inputs=(), **more):
    """Write the record of a step with the digests of the files that it read and made, as the engine does."""
    content = {
        "step": step,
        "basename": names,
        "outputs": {key: {path.name: digest_of_file(path)} for key, path in products.items()},
        "paths": {key: path.relative_to(out).as_posix() for key, path in products.items()},
        "files": [state_of(path, out) for path in (*inputs, *products.values())],
        "code_version": "0.2.0+1",
        "code": "1",
        **more,
    }
    write_json(out / "logs" / "records" / place / f"{names}_step-{step}.json", content)


def state_of(path, out):
    """Return the state of a file as records hold it."""
    state = path.stat()
    return {
        "path": path.relative_to(out).as_posix(),
        "hash": digest_of_file(path),
        "size": state.st_size,
        "mtime_ns": state.st_mtime_ns,
    }
