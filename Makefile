# `make demo`, `make test` and `make docs` need nothing but python3 and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= mastery.parquet

# What an install brings, measured in a new environment; docs/install.md says the same of the first (a test compares them).
DEMO_BRINGS := 18 packages, about 620 MB on disk
DEV_BRINGS := 75 packages, about 1.8 GB on disk, a third of it PySpark
DOCS_BRINGS := 49 packages, about 740 MB on disk

.PHONY: demo test check docs bench clean

demo: $(VENV)/.demo
	$(BIN)/adaptrace demo -o $(OUT)

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto --dist loadfile

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.docs
	@echo "Building the documentation into docs/_build/html; every warning is an error."
	$(BIN)/python -m sphinx -b html -W --keep-going -q docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

bench: $(VENV)/.dev
	cd benchmarks && ../$(BIN)/asv machine --yes && ASV_SKIP_SLOW=1 ../$(BIN)/asv run --python=same --show-stderr

clean:
	rm -rf $(VENV) docs/_build docs/reference/generated build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@echo "Making a Python environment in $(VENV)."
	$(PYTHON) -m venv $(VENV)

# Install, saying only what is fetched and what it came to; errors are shown whole.
define install
	@echo "Installing $(1) into $(VENV): $(2). This takes one to three minutes, once."
	@{ $(BIN)/python -m pip install --disable-pip-version-check $(3); echo $$? > $(VENV)/.status; } \
		| grep -E "^ *((Downloading|Using cached) .*\.(whl|tar\.gz) |Installing collected|Successfully installed)" | cut -c1-110; exit $$(cat $(VENV)/.status)
	@echo "$(VENV) holds $$($(BIN)/python -m pip list --format=freeze --disable-pip-version-check --exclude pip --exclude setuptools | wc -l \
		| tr -d ' ') packages, $$(du -sm $(VENV) | cut -f1) MB."
endef

$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	$(call install,adaptrace,$(DEMO_BRINGS),--editable .)
	@echo "The first run compiles for some seconds: docs/explanation/first-run.md says why."
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	@echo "Bringing pip up to date."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(call install,adaptrace and all that its tests need,$(DEV_BRINGS),--editable . --group dev)
	@touch $@ $(VENV)/.demo

$(VENV)/.docs: pyproject.toml | $(VENV)/bin/python
	@echo "Bringing pip up to date."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(call install,adaptrace and Sphinx,$(DOCS_BRINGS),--editable . --group docs)
	@touch $@ $(VENV)/.demo
