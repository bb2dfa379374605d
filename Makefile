# Each target does all of its own set-up: python3 and make are enough on a fresh machine.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
FLICKR8K ?= ../shared/data/flickr8k
WIKIPEDIA ?= ../shared/data/wikipedia
VECTORS_ZH ?= ../shared/vectors/zh_char_200d.txt.gz
CACHE    ?= .bench
WEIGHTS  ?= ../shared/weights/mobilenet_v2_imagenet.pth

.PHONY: demo test lint format docs bench clean

# One stamp a set of extras; pip is asked again only when setup.cfg has changed since.
$(VENV)/.installed-%: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip
	$(BIN)/python -m pip install -q -e ".[$*]"
	touch $@

demo: $(VENV)/.installed-test
	$(BIN)/mmfeat demo --out demo --force

test: $(VENV)/.installed-test
	rm -f .coverage .coverage.*
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(or $(strip $(PYTEST_ARGS)),--cov --cov-report=term)

lint: $(VENV)/.installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed-docs
	$(BIN)/python -m sphinx -E -W --keep-going -b html docs docs/_build/html

bench: $(VENV)/.installed-test
	$(BIN)/python benchmarks/quality/compare.py flickr8k --language en --root $(FLICKR8K) --weights $(WEIGHTS) --cache $(CACHE)
	$(BIN)/python benchmarks/quality/compare.py flickr8k --language zh --root $(FLICKR8K) --weights $(WEIGHTS) --cache $(CACHE) \
	    --vectors $(VECTORS_ZH)
	$(BIN)/python benchmarks/quality/compare.py wikipedia --root $(WIKIPEDIA) --cache $(CACHE)
	$(BIN)/python benchmarks/quality/compare.py scenes --cache $(CACHE)
	$(BIN)/python benchmarks/update_readme.py

clean:
	rm -rf $(VENV) build dist demo docs/_build docs/auto_examples docs/generated .mypy_cache .ruff_cache .pytest_cache
