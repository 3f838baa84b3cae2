"""``python .ci/compile_kernels.py``: compile every kernel ahead of time, for binary wheels and container images.

The kernels are compiled in a copy of the package and land in the folder ``_compiled``, which the package looks into
(``bids_app/qsm/kernels/cache.py``). They serve this version of Python and numba on this platform. The processor is
set by numba's environment variables before numba starts: its code generator is made with the first kernel.
"""

import argparse
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numba
from numba.core.caching import IndexDataCacheFile

ROOT = Path(__file__).resolve().parents[1]
#: Commands that reach every kernel of the library and of the simulated head.
WARM_UPS = (
    ("bids_app.qsm.warmup",),
    (
        "bids_app.phantom",
        "STUDY",
        *["--subjects", "1", "--voxel-size", "8", "--t1w-voxel-size", "8", "--sources", "--in-vivo"],
    ),
)


def compile_in(tree: Path, cpu: str) -> None:
    """Run the warm-ups on the package in ``tree``, for a processor that LLVM knows by this name."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_CACHE")}
    environment |= {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": "", "PYTHONPATH": str(tree), "PYTHONSAFEPATH": "1"}
    for words in WARM_UPS:
        study = tempfile.mkdtemp(dir=tree)
        line = [sys.executable, "-m", *(study if word == "STUDY" else word for word in words)]
        subprocess.run(line, cwd=tree, env=environment, check=True)


def collect(package: Path, cpus: Sequence[str], out: Path) -> int:
    """Copy what ``package`` holds for these processors and this Python to ``out``; return the number of kernels.

    ``host`` stands for the processor at hand with all its features.
    """
    count = 0
    suffix = f".py{sys.version_info[0]}{sys.version_info[1]}.nbi"
    for path in sorted(package.rglob(f"__pycache__/*{suffix}")):
        with path.open("rb") as file:
            if pickle.load(file) != numba.__version__:
                continue
            stamp, entries = pickle.loads(file.read())
        # A key holds the signature, the target (platform, processor, features) and digests of the bytecode.
        kept = {key: name for key, name in entries.items() if ("host" if key[1][2] else key[1][1]) in cpus}
        if not kept:
            continue
        folder = out / path.parent.parent.relative_to(package)
        folder.mkdir(parents=True, exist_ok=True)
        for name in kept.values():
            shutil.copyfile(path.with_name(name), folder / name)
        IndexDataCacheFile(str(folder), path.name.removesuffix(".nbi"), stamp)._save_index(kept)
        count += len(kept)
    return count


def main(argv: Sequence[str] | None = None) -> None:
    """Compile and say how many kernels there are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--package", type=Path, default=ROOT / "bids_app", help="the package (default: this checkout's)"
    )
    parser.add_argument("--out", type=Path, help="folder of the kernels (default: _compiled in the package)")
    parser.add_argument("cpus", nargs="*", metavar="CPU", help="LLVM's names (default: what most machines can run)")
    args = parser.parse_args(argv)
    sys.path.insert(0, str(args.package.parent))
    from bids_app.qsm.process import portable_cpu

    cpus = args.cpus or [portable_cpu()]
    out = args.out or args.package / "_compiled"
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder, "bids_app")
        shutil.copytree(args.package, package, ignore=shutil.ignore_patterns("_compiled", "__pycache__"))
        for cpu in cpus:
            compile_in(Path(folder), cpu)
        count = collect(package, cpus, out)
    print(f"{count} kernels for {' and '.join(cpus)} in {out}")


if __name__ == "__main__":
    main()
