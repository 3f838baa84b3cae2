#!/usr/bin/env bash
# The install steps that Dockerfile and Singularity.def share. Each is one word:
#   system          what the running image needs from Debian
#   build           what only the build needs
#   app SRC PREFIX  the app with its locked dependencies in a virtual environment, without what nobody runs
#   isolate PREFIX  start the commands without the caller's Python variables, which Apptainer lets in
#   kernels SRC PREFIX  compile the numerical kernels into the package, for new processors and for any x86-64
#   check PREFIX    fail the build now, not the user's run later
set -euo pipefail

packages() {
    apt-get update
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@"
    rm -rf /var/lib/apt/lists/* /var/cache/apt/archives /var/log/apt /var/log/dpkg.log /var/cache/debconf
}

system() {
    # libgomp1: antspyx and FastSurfer; bc, time, file, gawk: FastSurfer's shell script.
    packages bash libgomp1 python3 bc time file gawk
}

build() {
    packages python3-venv
}

app() {
    local source=$1 prefix=$2
    python3 -m venv "$prefix"
    "$prefix/bin/pip" install --no-cache-dir --disable-pip-version-check --requirement "$source/requirements.lock"
    # The build tool stays out of the image: it has an environment of its own.
    python3 -m venv /tmp/wheel-env
    grep -E '^(hatchling|editables|packaging|pathspec|pluggy|trove-classifiers)==' "$source/requirements-dev.lock" >/tmp/wheel.lock
    /tmp/wheel-env/bin/pip install --no-cache-dir --disable-pip-version-check --requirement /tmp/wheel.lock
    /tmp/wheel-env/bin/pip wheel --no-deps --no-build-isolation --disable-pip-version-check --wheel-dir /tmp/wheel "$source"
    "$prefix/bin/pip" install --no-cache-dir --no-deps --disable-pip-version-check /tmp/wheel/*.whl
    # Packages' own test suites take a sixth of the room; numpy and numba import parts of theirs.
    find "$prefix" -type d -name tests -not -path '*/numpy/*' -not -path '*/numba/*' -prune -exec rm -rf {} +
    find "$prefix" -type d \( -name tests -o -name testing_data \) -path '*/numba/tests' -prune -exec rm -rf {} +
    "$prefix/bin/python" -m pip uninstall --yes --quiet pip setuptools wheel 2>/dev/null || true
    rm -rf /tmp/wheel /tmp/wheel-env /tmp/wheel.lock /root/.cache
}

isolate() {
    local prefix=$1 name
    mkdir -p "$prefix/libexec"
    for name in qsm-bids-app qsm; do
        mv "$prefix/bin/$name" "$prefix/libexec/$name"
        cat >"$prefix/bin/$name" <<WRAPPER
#!/bin/sh
unset PYTHONPATH PYTHONHOME PYTHONSTARTUP
PYTHONNOUSERSITE=1 exec "$prefix/bin/python" "$prefix/libexec/$name" "\$@"
WRAPPER
        chmod 755 "$prefix/bin/$name"
    done
}

kernels() {
    local source=$1 prefix=$2 package cpus
    # The app takes the kernels that the machine at hand can run (bids_app/qsm/process.py).
    case $(uname -m) in
    x86_64)
        cpus=generic
        if grep -qw avx2 /proc/cpuinfo; then
            cpus="x86-64-v3 generic"
        else
            echo "this machine has no AVX2: kernels for new processors will be compiled at run time" >&2
        fi
        ;;
    *) cpus=generic ;;
    esac
    package=$(cd / && "$prefix/bin/python" -c "import bids_app; print(*bids_app.__path__)")
    # shellcheck disable=SC2086
    "$prefix/bin/python" "$source/.ci/compile_kernels.py" --package "$package" $cpus
}

check() {
    local prefix=$1
    "$prefix/bin/qsm-bids-app" --version
    "$prefix/bin/dcm2niix" -v | head -n 1 || true
    "$prefix/bin/python" -c "import ants, bids, heudiconv.cli.run, nilearn, statsmodels, templateflow"
    if [ -x /fastsurfer/run_fastsurfer.sh ]; then
        test -n "$(find /fastsurfer/checkpoints -name '*.pkl' -print -quit)"
        /venv/bin/python3 -c "import torch; print('FastSurfer with torch', torch.__version__)"
        FASTSURFER_HOME=/fastsurfer bash /fastsurfer/run_fastsurfer.sh --py "/venv/bin/python3 -s" --version
    fi
}

"$@"
