# im-clues. `make help` lists the targets. Only `make` itself has to be there: the rest is installed as needed.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.SUFFIXES:
.NOTPARALLEL:

VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
LOCKED := $(PIP) install --require-hashes --no-deps
# Where the interpreter comes from: `make PYTHON=python3.12 venv` for another than the newest that fits.
PYTHON ?= $(shell sh scripts/find-python.sh)
# Root's machines are containers, an ordinary user's are virtual.
KIND := $(shell test "$$(id -u)" = 0 && echo nspawn || echo qemu)

.PHONY: help venv dev system demo demo-down test test-openstack quick check format bench docs screenshots lock clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-14s %s\n", $$1, $$2}'

$(VENV)/.made:
	@test -n "$(PYTHON)" || exit 2
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.run: $(VENV)/.made requirements/run.txt requirements/server.txt requirements/clouds.txt \
		requirements/build.txt pyproject.toml
	$(LOCKED) -r requirements/run.txt -r requirements/server.txt -r requirements/clouds.txt \
		-r requirements/build.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.txt
	$(LOCKED) -r requirements/dev.txt
	@touch $@

venv: $(VENV)/.run  ## the commands im, clues and cluesd in .venv/bin
	@echo "ready: $(BIN)/im --help"

dev: $(VENV)/.dev  ## the same, with all that tests and checks need

system: $(VENV)/.run  ## the Debian packages that machines on this computer need
	@packages=$$($(BIN)/python -m im_client.providers.local.packages $(KIND)) && sh scripts/install-packages.sh $$packages

demo: system  ## an elastic Slurm cluster on this computer: workers come with the jobs, and go (root)
	@$(BIN)/python scripts/demo.py

demo-down: $(VENV)/.run  ## take everything away that the demo made
	@$(BIN)/python scripts/demo.py down

test: dev  ## every test that this machine can run, and why it cannot run the others
	@$(BIN)/python scripts/run_tests.py --install

test-openstack: dev  ## the tests that need OpenStack's services, which come as Debian packages (minutes)
	@packages=$$($(BIN)/python -m tests.rigs.openstack packages) && sh scripts/install-packages.sh $$packages
	@env -u CI $(BIN)/python scripts/run_tests.py --only=openstack

quick: dev  ## the tests that need nothing: a minute or two
	@$(BIN)/python scripts/run_tests.py --quick

check: dev  ## formatting, lint, types, layers, YAML, Ansible
	@sh scripts/check.sh $(BIN)

format: dev  ## let ruff write the formatting
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: dev  ## the figures of benchmarks/, as JSON in benchmarks/out/
	@$(BIN)/python scripts/run_benchmarks.py

docs: dev  ## write the parts of docs/ that are generated from the code
	@for script in scripts/gen_*.py; do echo "$$script" && $(BIN)/python $$script || exit 1; done

screenshots: dev  ## take the pictures of the dashboard in docs/images/ (needs chromium)
	@$(BIN)/python scripts/screenshots.py

lock:  ## compile requirements/*.in into exact versions with hashes
	@test -n "$(PYTHON)" || exit 2
	@sh scripts/lock.sh $(PYTHON)

clean:  ## remove what the targets made, but no infrastructure
	rm -rf $(VENV) build *.egg-info benchmarks/out .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .ansible
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
