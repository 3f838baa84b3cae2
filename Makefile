# `make demo` and `make test`; `make help` lists the rest.
VENV   ?= .venv
BIN    := $(VENV)/bin
PYTHON ?= $(firstword $(foreach p,python3.12 python3.11 python3.13 python3,$(shell $(p) -c 'import sys; assert (3,11) <= sys.version_info < (3,14); import venv, ensurepip' 2>/dev/null && command -v $(p))))
STAMP  := $(VENV)/.installed-$(shell cat requirements.lock requirements-dev.lock pyproject.toml | cksum | cut -d' ' -f1)

.PHONY: docs news coverage bench-setup bench-speed bench-accuracy bench-orientations bench-alternation bench-separation bench-presets bench-masks bench-scaling bench-chain bench-steps bench-anatomy bench-scheduler bench-group bench-quick help setup demo test unit lint lock clean warm boutiques image-check

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

setup: $(STAMP)  ## make the virtual environment with the locked dependencies

$(STAMP): requirements.lock requirements-dev.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 (with venv) is needed; point to it: make PYTHON=/path/to/python3.12"; exit 1; }
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/.installed-*
	@touch $@

warm: setup  ## compile the numerical kernels into numba's cache (once)
	@$(BIN)/python -m bids_app.qsm.warmup

# Tests run in so many processes, a file's in one of them: many wait, for a scheduler or a single thread.
TEST_PROCESSES ?= 2

demo: warm  ## simulate a small study with known susceptibility in demo/, run `participant` on it, compare with the truth
	@$(BIN)/qsm-bids-app demo demo

bench-setup: setup  ## install what the speed benchmark compares with
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "scikit-image>=0.24"

bench-speed: warm  ## time every method beside its peers; writes benchmarks/README.md
	$(BIN)/python -m benchmarks.speed

bench-accuracy: warm  ## error of every method on the phantom; writes benchmarks/README.md (hours)
	$(BIN)/python -m benchmarks.accuracy

bench-orientations: warm  ## inversions against COSMOS in fields that no isotropic map makes; writes benchmarks/README.md
	$(BIN)/python -m benchmarks.orientations

bench-alternation: warm  ## fields with Nyquist-frequency alternation, kept and removed; writes benchmarks/README.md
	$(BIN)/python -m benchmarks.alternation

bench-separation: warm  ## source separation where white matter follows other laws than assumed; writes benchmarks/README.md
	$(BIN)/python -m benchmarks.separation

bench-presets: warm  ## presets for special data beside the default; writes benchmarks/README.md
	$(BIN)/python -m benchmarks.presets

bench-masks: warm  ## masks by recipe on simulated and real heads; writes benchmarks/README.md and docs/masks.md
	$(BIN)/python -m benchmarks.masks

bench-scaling: warm  ## time and memory against voxels and echoes; writes benchmarks/README.md
	$(BIN)/python -m benchmarks.scaling

bench-chain: warm  ## the whole command on a 1 mm brain with 4 echoes; writes benchmarks/README.md
	$(BIN)/python -m benchmarks.chain

bench-steps: warm  ## where the time of the whole command goes, step by step; writes benchmarks/README.md
	$(BIN)/python -m benchmarks.steps

bench-anatomy: warm  ## segmentation and regions with T1w images of several kinds; writes benchmarks/README.md (an hour)
	$(BIN)/python -m benchmarks.anatomy

bench-scheduler: warm  ## plan and run 10,000 no-op participants, arrays beside a plain one on Slurm (an hour)
	$(BIN)/python -m benchmarks.scheduler

bench-group: warm  ## tables, statistics and page of 1,000 participants, and the model in every voxel of 500 maps
	$(BIN)/python -m benchmarks.group_scale

bench-quick: warm  ## this version beside an earlier one in three minutes, without judging (AGAINST=COMMIT)
	$(BIN)/python -m benchmarks.quick $(if $(AGAINST),--against $(AGAINST))

test: warm  ## lint, types and all tests that this machine allows
	@$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest --quiet --doctest-modules bids_app/qsm
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

unit: setup  ## fast tests only
	$(BIN)/python -m pytest tests/unit tests/test_architecture.py -m "not slow"

coverage: warm  ## lines and branches that the fast tests reach
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest tests/unit tests/test_architecture.py -m "not slow"
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

lint: setup  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tests.helpers.docstrings
	$(BIN)/codespell bids_app tests benchmarks heuristics examples docs changes .github *.md
	$(BIN)/yamllint --strict .
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@if command -v actionlint > /dev/null; then actionlint; else echo "actionlint is not installed: workflows are checked by their schema alone"; fi
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/idea.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.citation-file-format CITATION.cff

docs: warm  ## build the documentation into docs/_build/html, offline; a warning or a failing tutorial is an error
	$(BIN)/python -m sphinx -b html -W --keep-going -q docs docs/_build/html

news: setup  ## move the news fragments of changes/ into CHANGELOG.md
	$(BIN)/python .ci/collect_news.py --move

boutiques: setup  ## write boutiques.json and boutiques-bids.json from the argument parser
	$(BIN)/python -m bids_app.cli.descriptor > boutiques.json.part && mv boutiques.json.part boutiques.json
	$(BIN)/python -m bids_app.cli.descriptor --bids > boutiques.json.part && mv boutiques.json.part boutiques-bids.json

image-check: setup  ## build the container image, run and lint it, print a table (BASE_IMAGE=..., CA_BUNDLE=...)
	$(BIN)/python .ci/image_check.py

lock: setup  ## resolve the dependencies again and write the lock files (no index or download address in them)
	$(BIN)/pip-compile --quiet --strip-extras --no-header --no-annotate --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options --resolver=backtracking --allow-unsafe --upgrade -o requirements.lock pyproject.toml
	$(BIN)/pip-compile --quiet --strip-extras --no-header --no-annotate --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options --resolver=backtracking --allow-unsafe --extra test --extra build --extra cluster --extra docs -c requirements.lock -o requirements-dev.lock pyproject.toml

clean:  ## remove what the tests left
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
