# Every target sets up on its own: a fresh clone needs Python 3.11 or newer, and nothing else.
#   make demo [DATA=shapes|digits]   train the tiny model, evaluate it, look where it looks (runs/demo/index.html)
#   make lab                         JupyterLab on the first notebook
#   make test                        everything: unit tests, parity, notebooks
#   make test-notebooks [NOTEBOOKS=…]  run the notebooks, or these, and compare with their stored outputs
#   make test-fast                   what takes a few seconds each, for daily work
#   make test-random [SEED=…]        the tests in another order; pytest prints the seed
#   make test-late-frames            the browser tests, on pages whose animation frames come 150 ms late
#   make mutants [SEED=…]            break the package on purpose, a little at a time: do its tests notice? (10 minutes)
#   make faults [SEED=…]             kill runs, fill disks, flip bits, stop processes: nothing may be lost silently (minutes)
#   make fuzz [SEED=…]               inputs that are spoilt at random: json, pictures, weights, the operator (half an hour)
#   make bench                       time the operator and a whole detector against others: table, JSON, plot (minutes)
#   make gpu                         on a machine with an NVIDIA GPU: its tests and benchmarks, into one JSON file
#   make docs                        the site, from disk and without network: notebooks, explorer, API
#   make notebooks [NOTEBOOKS=…]     run the notebooks again, or these, and store their outputs

PYTHON ?= python3
DATA ?= shapes
OUT ?= $(if $(filter shapes,$(DATA)),runs/demo,runs/demo-$(DATA))
VENV := .venv
BIN := $(VENV)/bin
NOTEBOOKS := $(sort $(wildcard notebooks/*.ipynb))
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable

# transformers is only an oracle in tests, built from configs; nothing is ever fetched from its hub.
export HF_HUB_OFFLINE := 1
# Stored outputs are those of somebody who has not solved anything yet.
test-notebooks notebooks: export DEFDETR_PROGRESS :=

.PHONY: demo lab test test-notebooks test-fast test-random test-late-frames mutants faults fuzz bench gpu docs notebooks clean

demo: $(VENV)/.demo
	$(BIN)/defdetr demo --data $(DATA) --out $(OUT)

lab: $(VENV)/.lab
	$(BIN)/defdetr lab

# A process for each core, four at most: each loads PyTorch. It computes with one thread, as more would wait for each other,
# which tests/conftest.py sees to, and for notebooks the line below. The tests of a file stay together, for what they share.
PARALLEL := --numprocesses auto --maxprocesses 4 --dist loadfile

test: $(VENV)/.test
	$(BIN)/python -m pytest $(PARALLEL) --durations=15 tests
	$(MAKE) --no-print-directory test-notebooks

# Two kernels that start at once may be given the same ports: the plugin lets them start in turn.
test-notebooks: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PARALLEL) -p tests.course.notebook_kernels --nbval --durations=15 $(NOTEBOOKS)

test-fast: $(VENV)/.test
	$(BIN)/python -m pytest -m "not slow" tests

# Another order each time; pytest prints its seed, and make test-random SEED=… repeats it.
test-random: $(VENV)/.test
	$(BIN)/python -m pytest -p randomly $(if $(SEED),--randomly-seed=$(SEED)) tests

# A slow machine, made certain: what a test reads too early is not there yet.
test-late-frames: $(VENV)/.test
	DEFDETR_LATE_FRAMES=150 $(BIN)/python -m pytest $(PARALLEL) --durations=5 $(addprefix tests/browser/test_,explorer.py lessons.py site.py)

# Goes on where it was interrupted: the results are in runs/mutants.
mutants: $(VENV)/.test
	$(BIN)/python -m tests.mutants $(if $(SEED),--seed $(SEED))
	$(BIN)/python -m tests.mutants.solutions

faults: $(VENV)/.test
	$(BIN)/python -m tests.faults $(if $(SEED),--seed $(SEED))

# Goes on where it was interrupted: what is done is in runs/fuzz.
fuzz: $(VENV)/.test
	$(BIN)/python -m tests.fuzz $(if $(SEED),--seed $(SEED))

bench: $(VENV)/.test
	$(BIN)/python -m benchmarks

gpu: $(VENV)/.test
	$(BIN)/python -m benchmarks.gpu

docs: $(VENV)/.docs
	rm -rf docs/_build
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "open docs/_build/html/index.html"

# What differs from run to run or from machine to machine is not stored: times, how a cell's text was cut, Python's version.
STORED_ALIKE := --ExecutePreprocessor.record_timing=False \
	--NotebookExporter.preprocessors=nbconvert.preprocessors.CoalesceStreamsPreprocessor \
	--ClearMetadataPreprocessor.enabled=True --ClearMetadataPreprocessor.clear_cell_metadata=False \
	--ClearMetadataPreprocessor.preserve_nb_metadata_mask="{'kernelspec', ('language_info', 'name')}"
notebooks: $(VENV)/.lab
	$(BIN)/jupyter nbconvert --to notebook --execute --inplace $(STORED_ALIKE) $(NOTEBOOKS)

clean:
	rm -rf $(VENV) build runs data docs/_build docs/notebooks *.egg-info

# One environment; each stamp adds the packages that its target needs.
$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}; run make PYTHON=/path/to/python3.11"'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) '.[digits]'
	touch $@

$(VENV)/.lab: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) '.[notebooks]'
	touch $@

$(VENV)/.docs: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) '.[docs]'
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) '.[test]'
	touch $@
