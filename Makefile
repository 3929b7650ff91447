# All commands need Python 3.11 or newer and nothing else: they make an environment of their own.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# A process per core, with one thread each; the tests of a file stay in one process and share fixtures.
# Files with few tests, which are slow, would come last if they were reordered, and one core would wait.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

.PHONY: quickstart test test-fast fuzz api screenshots clean

# What is meant to be used from Python; `make api` makes build/api/index.html from its docstrings.
API := arc_trm arc_trm.callbacks arc_trm.tracking arc_trm.tasks arc_trm.config arc_trm.puzzles \
	arc_trm.data.readers arc_trm.models arc_trm.checkpoint \
	arc_trm.training arc_trm.inference arc_trm.evaluation.predictions arc_trm.evaluation.voting \
	arc_trm.evaluation.source arc_trm.viz arc_trm.viz.report submission

# pdoc does not see the functions that a package loads when they are needed: they are loaded first.
LOADED := from arc_trm import *; from submission import *; from pdoc.__main__ import cli; cli()

quickstart: $(VENV)/installed
	@echo "training takes some minutes; see README.md"
	run=$$($(BIN)/arc-trm train) && $(BIN)/arc-trm predict "$$run" --attempts 2 && \
		$(BIN)/arc-trm score "$$run" && $(BIN)/arc-trm show "$$run" && $(BIN)/arc-trm report "$$run"

test: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST) --durations=5

# Tests that need neither much time, nor the network, nor a browser.
test-fast: $(VENV)/installed-dev
	$(PYTEST) -m 'not slow and not network and not browser'

# Ten thousand new mutations for each reader.
fuzz: $(VENV)/installed-dev
	FUZZ_EXAMPLES=10000 $(PYTEST) -m fuzz --hypothesis-profile explore

api: $(VENV)/installed-dev
	$(BIN)/python -c '$(LOADED)' --docformat google --output-directory build/api $(API)

# The pictures of the report in docs/images, of made-up predictions; needs Chromium.
screenshots: $(VENV)/installed-dev
	PYTHONPATH=tests/helpers $(BIN)/python tests/viz/screenshots.py docs/images

# pip would say that no version of torch fits.
OLD = "this needs Python 3.11 or newer, but $(PYTHON) is not: name another, as in make PYTHON=python3.12"

# torch is named first and pinned: a bare `torch` would fetch gigabytes of CUDA packages.
$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo $(OLD) >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
