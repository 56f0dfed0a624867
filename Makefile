# Two commands do everything: `make book` and `make test`. Both make their own environment in .venv.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
STUDY ?= all
PROFILE ?= demo
CORES ?= 2
MANIFEST ?= data_manifest.csv
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
READY := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# the python3 kernel calls plain `python`: the environment's must come first
export PATH := $(BIN):$(PATH)
export OMP_NUM_THREADS := 1
export PYTHONHASHSEED := 0

.PHONY: book publish gate test bench lab check clean help lint

help:
	@echo "make book [STUDY=song2021,sts] [PROFILE=demo|paper] [CORES=2]   run the notebooks and build the site"
	@echo "make publish [STUDY=...]                                     the same from the start, figures as PDF, and search for identifiers"
	@echo "make gate                                                    search the site for identifiers"
	@echo "make test                                                    run the tests"
	@echo "make bench                                                   time the methods against other libraries"
	@echo "make lab                                                     open JupyterLab"
	@echo "make check MANIFEST=my_manifest.csv [STUDY=mine]             check own data"
	@echo "make lint                                                    ruff, mypy, import contracts, limits"
	@echo "make clean                                                   remove everything generated"

# pyradiomics has no wheels for current Pythons and builds against the numpy, setuptools, versioneer and
# Cython it finds installed: they go in first, then pyradiomics (tools/pyradiomics_build says what Python 3.12
# needs), then the rest. torch is pinned: where the index offers a CPU build of that version, pip takes it.
$(READY): pyproject.toml constraints.txt radsupport/radiomics/texture.c radsupport/stats/penalised.c
	@echo "Setting up $(VENV) (a few minutes, once) ..."
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; found " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install -c constraints.txt pip setuptools wheel versioneer cython numpy torch 2> >(grep -v "neither a file nor a directory" >&2)
	@PYTHONPATH=tools/pyradiomics_build $(PIP) install -c constraints.txt --no-build-isolation pyradiomics 2> >(grep -v "neither a file nor a directory" >&2)
	@$(PIP) install -c constraints.txt --no-build-isolation -e ".[dev]" 2> >(grep -v "neither a file nor a directory" >&2)
	@touch $@

book: $(READY)
	@snakemake --snakefile Snakefile --cores $(CORES) --keep-going --quiet rules progress --rerun-incomplete --nolock $(AGAIN) \
	    --config study=$(STUDY) profile=$(PROFILE)
	@echo "The site is at book/_build/html/index.html"

# fonts are cut to each figure's letters, which takes longer than drawing it: PDFs are made for print only
publish: export RADSUPPORT_PRINT := 1
publish: AGAIN := --forceall
publish: book
	@$(MAKE) --no-print-directory gate

gate: $(READY)
	@radsupport gate book/_build/html

test: $(READY)
	@python -m pytest -n $(CORES) --dist loadfile

lint: $(READY)
	@ruff check . && ruff format --check . && mypy && lint-imports --no-logo && python tools/house.py

# rebuilds of pyradiomics to be measured beside it; what they need is in the environment, and nothing else needs them
.peers: $(READY)
	-@$(PIP) install --target $@ --no-deps fastrad==1.0.0 flash-radiomics==1.0.0 h5py==3.16.0

bench: $(READY) .peers
	@python benchmarks/run.py

lab: $(READY)
	@jupyter lab --notebook-dir=. --LabApp.default_url=/lab/tree/notebooks/01_cohort.ipynb

check: $(READY)
	@radsupport check $(MANIFEST) $(if $(filter-out all,$(STUDY)),--study $(STUDY))

clean:
	rm -rf results data book/_build book/studies book/_static/made book/_toc.yml .snakemake
