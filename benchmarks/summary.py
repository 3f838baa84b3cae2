"""The short tables of the documentation, made of the full ones: ``python -m benchmarks.summary``.

Every benchmark calls this when it has written its table; nothing here measures.
"""

from pathlib import Path

from benchmarks.tables import between, read_rows, table

FULL = Path(__file__).with_name("README.md")
PAGE = Path(__file__).parents[1] / "docs" / "validation.md"
VOLUME = "256x256x160"
LONG_TGV = "tgv, 1000 iterations on one grid"
#: Name in the short table, job and method of the app, and the peers': (column, job, method).
PEERS = (
    ("ROMEO, one echo", "unwrap", "romeo"),
    ("V-SHARP, 12 to 1 mm", "background", "vsharp"),
    ("PDF", "background", "pdf"),
    ("RTS", "inversion", "rts"),
    ("TV", "inversion", "tv"),
    ("TGV, 1,000 iterations", "inversion", LONG_TGV),
    ("the default inversion (bayes)", "inversion", "bayes"),
)
#: The scan whose rows the short accuracy table has: voxel, view and SNR, and the methods in order.
SCAN = {"voxel": "2x2x2 mm", "view": "oblique", "SNR": "80"}
BACKGROUNDS = {"lbv", "none"}
#: That of the short table of fields that no isotropic susceptibility makes.
DISTURBANCE = "medium"
METHODS = ("bayes", "tgv", "hdqsm", "medi", "tv", "rts", "tkd")
#: What the presets do comes first.
MAPS = ("bayes, as in presets", *METHODS)


def speed(rows):
    """The app beside what else does the same job, 256x256x160."""
    by_job = {(r["job"], r["method"]): r for r in rows if r["volume"] == VOLUME}
    made = []
    for label, job, method in PEERS:
        row = by_job.get((job, method))
        if row is None:
            continue
        plain = by_job.get(("numpy/scipy", method.split(",")[0]), {})
        other = by_job.get(("unwrap", "scikit-image"), {}) if method == "romeo" else {}
        seconds, peers = row["s"], [r.get("s", "") for r in (plain, other)]
        times = [f"{float(p) / float(seconds):.0f}x" for p in peers if p]
        made.append(
            (label, seconds, *peers, times[0] if times else "", row["of bandwidth"], row["peak GB"], row["run"])
        )
    head = ("256x256x160 voxels", "s", "numpy/scipy, s", "scikit-image, s", "faster", "of bandwidth", "peak GB", "run")
    return head, made


def accuracy(rows):
    """The default and some others on one scan."""
    # Background methods other than the first stand before the default inversion alone: these are in the full table.
    shown = [r for r in rows if r["background"] in BACKGROUNDS and all(r[key] == value for key, value in SCAN.items())]
    keys = ("background", "inversion", "NRMSE %", "detrended %", "XSIM", "slope")
    chosen = {name: [r for r in shown if r["inversion"] == name] for name in MAPS}
    # A method that has several backgrounds is shown with all of them only where it is the default.
    made = [tuple(r[key] for key in keys) for name in MAPS for r in chosen[name][: None if name == METHODS[0] else 1]]
    return (f"background ({SCAN['voxel']}, {SCAN['view']}, SNR {SCAN['SNR']})", *keys[1:]), made


def orientations(rows):
    """The default and some others in fields that no isotropic susceptibility makes."""
    keys = ("inversion", "NRMSE %", "detrended %", "XSIM", "slope")
    by_inversion = {(r["disturbance"], r["inversion"]): tuple(r[key] for key in keys) for r in rows}
    return keys, [by_inversion[DISTURBANCE, name] for name in METHODS if (DISTURBANCE, name) in by_inversion]


def chain(rows):
    """The whole command."""
    return tuple(rows[0]) if rows else (), [tuple(r.values()) for r in rows]


SHORT = {"speed": speed, "accuracy": accuracy, "orientations": orientations, "chain": chain}


def write(readme=PAGE, full=FULL):
    """Write every short table whose markers are in ``readme``."""
    for name, shorten in SHORT.items():
        if f"<!-- {name}: begin -->" not in readme.read_text(encoding="utf-8"):
            continue
        head, rows = shorten(read_rows(full, name))
        before, _, after = between(readme, name)
        text = f"\n{table(head, rows)}\n\n" if rows else ""
        readme.write_text(f"{before}{text}{after}", encoding="utf-8")


if __name__ == "__main__":
    write()
