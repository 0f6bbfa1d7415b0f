# Every target builds the environment that it needs in .venv: `make demo` what a user needs,
# `make test` what a developer needs, on top of it. Outside this folder change pip's own cache and
# the cache of built simulations and syntheses: $SPARNN_CACHE, else $XDG_CACHE_HOME/sparnn, else
# ~/.cache/sparnn. Needs: Python 3.11 or newer, make, a C++ compiler, perl.

PYTHON  ?= python3
MINUTES ?= 60
BOARD   ?= ulx3s
MODEL   ?= examples/digits/lstm.onnx
SAMPLES ?= $(dir $(MODEL))calibrate.npz
JOBS    ?= 2
ARGS    ?=

VENV  := .venv
BIN   := $(VENV)/bin
# What is installed: all that tests and syntheses need; what compiling and simulating needs; mkdocs;
# LiteX and a C compiler for RISC-V.
STAMP := $(VENV)/.sparnn-installed
LIGHT := $(VENV)/.sparnn-user
PAGES := $(VENV)/.sparnn-docs
CHIPS := $(VENV)/.sparnn-soc
TYPED := build/typecheck

# A broken, moved or outdated environment is rebuilt: its interpreter must start, be of the version
# of $(PYTHON), and have been installed for this folder.
VERSION := 'import sys; print(sys.version_info[:2])'
ifneq ($(wildcard $(VENV)),)
HAVE := $(shell { $(BIN)/python -c $(VERSION); cat $(STAMP) || cat $(LIGHT) || pwd; } 2>/dev/null)
WANT := $(shell { $(PYTHON) -c $(VERSION); pwd; } 2>/dev/null)
ifneq ($(HAVE),$(WANT))
STALE := stale-venv
endif
endif

# An environment for developers serves users as well.
USER := $(LIGHT)
ifneq ($(wildcard $(STAMP)),)
ifeq ($(STALE),)
USER := $(STAMP)
endif
endif

NO_PYTHON  := sparnn: error: $(PYTHON) is not on PATH: install Python 3.11 or newer, or name one \
	with make PYTHON=/path/to/python3.
OLD_PYTHON := sparnn: error: $(PYTHON) is older than Python 3.11: install a newer one, or name one \
	with make PYTHON=/path/to/python3.
NO_VENV    := sparnn: error: $(PYTHON) cannot create virtual environments: install its venv module \
	(Debian, Ubuntu: apt install python3-venv).
NO_CXX     := sparnn: error: no C++ compiler on PATH: install g++ or clang++ (Debian, Ubuntu: \
	apt install g++), or name one in CXX.
NO_PERL    := sparnn: error: perl is not on PATH: install it (Debian, Ubuntu: apt install perl).

.DEFAULT_GOAL := help
.PHONY: help demo soc test lint format typecheck pytest deep coverage docs tables bench bench-examples
.PHONY: zoo cocotb faults formal coverage-rtl bench-fpga liberty fuzz regress bitstream user venv check-machine stale-venv clean

help:
	@echo 'make demo        train-to-Verilog on the handwritten digits, simulated and compared'
	@echo 'make soc         the same on a RISC-V processor with the machine beside it, simulated'
	@echo 'make test        ruff, mypy on the installed package, all tests'
	@echo 'make lint        ruff and mypy only; make format lets ruff rewrite'
	@echo 'make pytest      the tests only; ARGS="tests/gen -k cli" narrows them'
	@echo 'make deep        the tests that take longest, which make pytest leaves out'
	@echo 'make coverage    the tests, and which branches they take: build/coverage/index.html'
	@echo 'make cocotb      every bench in cocotb, in all shapes (long): JUnit XML in build/cocotb'
	@echo 'make faults      hundreds of faults on the machine behind its bus, and what became of each'
	@echo 'make formal      the proofs of the buses'
	@echo 'make coverage-rtl  which lines, branches and bits of the Verilog runs reach (long)'
	@echo 'make docs        the documents as a site: build/site/index.html'
	@echo 'make tables      the tables of README and docs from docs/results/*.json'
	@echo 'make bench       figures of the simulator and of a large layer (long)'
	@echo 'make bench-examples  the networks of examples/, into docs/results'
	@echo 'make zoo         all trained networks of examples/, into docs/results (long)'
	@echo 'make bench-fpga  area and clock on FPGA families (long); ARGS=--write: into docs/results'
	@echo 'make liberty     fetch the standard cells that logic areas refer to (needs apt)'
	@echo 'make fuzz        a thousand corrupt and hostile files; ARGS=--write: into docs/results'
	@echo 'make regress     random machines and networks for MINUTES=$(MINUTES) minutes'
	@echo 'make bitstream   BOARD=$(BOARD) MODEL=$(MODEL): what the board loads, in build/$(BOARD)'
	@echo 'make user        .venv for compiling and simulating; make venv: for everything'
	@echo 'make clean       remove build products; the environment stays'
	@echo 'Built simulations are kept in $$SPARNN_CACHE, else in ~/.cache/sparnn.'

demo: $(USER)
	$(BIN)/python -m sparnn.gen.bench.demo $(ARGS)

# The processor, memories and buses are LiteX's, the program is examples/soc/main.c.
soc: $(CHIPS)
	$(BIN)/python examples/soc/run.py $(ARGS)

test: lint pytest

# loadgroup: tests that share an expensive build carry @pytest.mark.xdist_group and stay together.
pytest: $(STAMP)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup $(ARGS)

deep: $(STAMP)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup -m deep $(ARGS)

coverage: $(STAMP)
	@mkdir -p build
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup --cov --cov-report=term:skip-covered \
	  --cov-report=html:build/coverage $(ARGS)

# The long ones are no tests of `make test`: their files are named here.
cocotb: $(STAMP)
	SPARNN_JUNIT=build/cocotb $(BIN)/python -m pytest -n $(JOBS) -m "deep or not deep" --junit-xml build/cocotb/pytest.xml \
	  tests/system/test_cocotb.py tests/system/benches/bus_crossings.py \
	  tests/driver/simulated.py $(ARGS)

faults: $(STAMP)
	$(BIN)/python tests/system/benches/faults.py --junit build/cocotb/faults.xml $(ARGS)

formal: $(STAMP)
	$(BIN)/python -m pytest --junit-xml build/cocotb/formal.xml tests/hdl/bus/test_proofs.py $(ARGS)

# Verilator counts slow a build and a run down; quick builds suit short runs.
coverage-rtl: $(STAMP)
	SPARNN_BUILD=quick $(BIN)/python -m sparnn.gen.bench.coverage_rtl $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(MAKE) --no-print-directory typecheck

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# mypy does not follow the import hook of an editable installation, and what users get is the
# wheel: check that. Files that were deleted must not survive, so both folders start empty.
typecheck: $(STAMP)
	@rm -rf $(TYPED) build/lib
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
	  --no-build-isolation --target $(TYPED) .
	MYPYPATH=$(TYPED) $(BIN)/mypy -p sparnn

docs: $(PAGES)
	$(BIN)/python -m mkdocs build --strict --site-dir build/site $(ARGS)
	$(BIN)/python -m sparnn.gen.bench.register_pages build/site/registers

tables: $(USER)
	$(BIN)/python -m sparnn.gen.bench.tables $(ARGS)

bench-examples: $(USER)
	$(BIN)/python -m sparnn.gen.bench.examples $(ARGS)
	@$(MAKE) --no-print-directory tables ARGS=

zoo: $(USER)
	$(BIN)/python -m sparnn.gen.bench.zoo $(ARGS)
	@$(MAKE) --no-print-directory tables ARGS=

bench: $(STAMP)
	$(BIN)/python -m sparnn.gen.bench.readme $(ARGS)

liberty: $(STAMP)
	$(BIN)/python -m sparnn.gen.synth.liberty

bench-fpga: $(STAMP)
	$(BIN)/python -m sparnn.gen.bench.fpga $(ARGS)

# MODEL: an ONNX file, with SAMPLES to calibrate on.
bitstream: $(STAMP)
	$(BIN)/sparnn compile '$(MODEL)' --calibrate '$(SAMPLES)' --config '$(BOARD)' \
	  -o 'build/$(BOARD)/network'
	$(BIN)/sparnn bitstream 'build/$(BOARD)/network' --board '$(BOARD)' \
	  -o 'build/$(BOARD)/bitstream' $(ARGS)

fuzz: $(STAMP)
	$(BIN)/python -m sparnn.gen.bench.fuzz $(ARGS)

regress: $(STAMP)
	$(BIN)/sparnn regress --minutes $(MINUTES) $(ARGS)

user: $(USER)

venv: $(STAMP)

define create
	@test -z '$(STALE)' && $(BIN)/python -c 'import pip' 2>/dev/null || \
	  $(PYTHON) -m venv --clear $(VENV)
endef

# $(call install,WHAT,AMOUNT): pip tells which package it is at.
define install
	@echo 'Installing into $(VENV): $(2).'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=23.1' 'setuptools>=77'
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --disable-pip-version-check \
	  --editable '$(1)'
	@pwd > $@
endef

$(LIGHT): pyproject.toml setup.py $(STALE) | check-machine
	$(create)
	$(call install,.,about 350 MB)

$(STAMP): pyproject.toml setup.py $(STALE) | check-machine
	$(create)
	$(call install,.[dev],about 1.6 GB)

$(PAGES): $(USER)
	$(call install,.[docs],about 100 MB)

$(CHIPS): $(USER)
	$(call install,.[soc],about 500 MB)

stale-venv:

check-machine:
	@command -v $(PYTHON) >/dev/null || { echo '$(NO_PYTHON)' >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo '$(OLD_PYTHON)' >&2; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo '$(NO_VENV)' >&2; exit 2; }
	@command -v $${CXX:-c++} >/dev/null || command -v g++ >/dev/null || \
	  command -v clang++ >/dev/null || { echo '$(NO_CXX)' >&2; exit 2; }
	@command -v perl >/dev/null || { echo '$(NO_PERL)' >&2; exit 2; }

clean:
	rm -rf build dist sim_build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -path ./$(VENV) -prune -o -path ./.git -prune -o -name __pycache__ -type d \
	  -exec rm -rf {} +
