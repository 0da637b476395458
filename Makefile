# `make demo` and `make test` do all their own set-up, in .venv inside the clone.
# Where packages come from is pip's own business (pip.conf, PIP_* variables).

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
UNFINISHED := $(VENV)/.unfinished

# An environment does not survive a move or a copy: its scripts and the editable install keep the
# old folder, and tests would quietly run the other clone's code. The stamp holds the folder.
ifneq ($(wildcard $(STAMP)),)
ifneq ($(shell cat $(STAMP)),$(CURDIR))
$(STAMP): stale-environment
endif
endif

# The quantizers that ours is compared with. Their environment lies on top of the toolkit's, so that
# all of them run the same ONNX Runtime, Model Optimizer and numpy, and only NNCF is added.
PEERS := .venv-peers
PEERS_STAMP := $(PEERS)/.installed
SITE := import sysconfig; print(sysconfig.get_path("purelib"))
BELOW := import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))

.PHONY: help demo test lint format peers clean stale-environment

help:
	@echo 'make demo    synthetic faces to an accuracy-drop report, on a CPU'
	@echo 'make test    the test suite'
	@echo 'make lint    ruff (format and rules) and mypy --strict'
	@echo 'make format  let ruff rewrite the files'
	@echo 'make peers   the quantizers that benchmarks/quantizers.py compares with, in $(PEERS)'
	@echo 'make clean   remove the environment, caches and the demo; build/ keeps what you trained'

demo: $(STAMP)
	$(BIN)/edge-arm demo

test: $(STAMP)
	$(BIN)/python -m pytest

# mypy does not see through the mapping of folders to import names, so it reads an installed copy.
# build/lib goes first: setuptools would install modules from it that the tree no longer has.
# Then the paths in mypy's answer are turned back into the tree's.
TREE_PATHS = s,^build/typed/(edge_arm/(runtime|export|calibration)/),\1,; s,^edge_arm/(runtime|export|calibration)/,\1/,; s,^build/typed/,,
lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	rm -rf build/typed build/lib edge_arm.egg-info
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --target build/typed .
	MYPYPATH=build/typed $(BIN)/mypy -p edge_arm | sed -E '$(TREE_PATHS)'
	rm -rf build/typed build/lib build/bdist.* edge_arm.egg-info

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

peers: $(PEERS_STAMP)

$(PEERS_STAMP): $(STAMP) benchmarks/peers/requirements.txt
	rm -rf $(PEERS)
	$(BIN)/python -m venv $(PEERS)
	$(BIN)/python -c '$(BELOW)' > "$$($(PEERS)/bin/python -c '$(SITE)')/toolkit.pth"
	$(PEERS)/bin/python -m pip install --disable-pip-version-check -c constraints.txt \
	  -r benchmarks/peers/requirements.txt
	@touch $@

# The marker tells the next run that this one was interrupted: pip takes half-unpacked packages for
# installed ones, so it then starts from nothing.
$(STAMP): pyproject.toml constraints.txt
	@command -v '$(PYTHON)' >/dev/null || { \
	  echo "make: got no program '$(PYTHON)', expected Python 3.10 or newer;" \
	       "install it or name another one: make $(or $(MAKECMDGOALS),test) PYTHON=/path/to/python3" >&2; exit 2; }
	@'$(PYTHON)' -c 'import sys; v = sys.version_info; sys.exit(v[:2] < (3, 10))' || { \
	  echo "make: got $$('$(PYTHON)' --version 2>&1), expected Python 3.10 or newer;" \
	       "install it or name another one: make $(or $(MAKECMDGOALS),test) PYTHON=/path/to/python3" >&2; exit 2; }
	@if [ -e $(UNFINISHED) ]; then echo 'make: the last set-up was interrupted, starting again'; rm -rf $(VENV); fi
	@echo 'make: setting up $(VENV) (about a minute, more where packages must be downloaded)'
	@mkdir -p $(VENV) && touch $(UNFINISHED)
	'$(PYTHON)' -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[workstation,dev]'
	@rm -f $(UNFINISHED) && echo '$(CURDIR)' > $@

stale-environment:
	@echo 'make: $(VENV) was made for another folder, starting again'
	rm -rf $(VENV)

clean:
	rm -rf $(VENV) $(PEERS) build/demo build/typed build/lib dist edge_arm.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
