# make demo: the tool on real images; make test: everything CI runs. Both set up what they need on a fresh machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TORCH := torch==2.13.0

.PHONY: demo test slow lint format clean

demo: $(VENV)/.installed
	$(BIN)/truejoule demo

test: $(VENV)/.tested
	$(BIN)/python -m pytest -n auto

slow: $(VENV)/.tested
	$(BIN)/python -m pytest -n auto -m slow

format: $(VENV)/.tested
	$(BIN)/ruff check --fix src tests benchmarks examples
	$(BIN)/ruff format src tests benchmarks examples

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# torch first and pinned: any other request for torch drags in gigabytes of CUDA.
$(VENV)/.torch: $(VENV)/bin/python constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check $(TORCH)
	touch $@

$(VENV)/.installed: $(VENV)/.torch pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

# Frameworks whose networks we read are installed without what they depend on: some of it would replace torch.
$(VENV)/.tested: $(VENV)/.installed requirements-test.txt requirements-interop.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -r requirements-test.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt -r requirements-interop.txt
	touch $@

clean:
	rm -rf $(VENV) truejoule-runs .pytest_cache .ruff_cache
