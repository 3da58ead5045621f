# make demo    set up what is missing and run the main job on a synthetic study (STUDY=folder: on your own)
# make test    set up what is missing and pass the tests
# make check   style, types, the one-way arrows, the manifest, the documentation
# make bench   measure speed; make soak: hours of reading in minutes; make kill: is a box, or a training, ever lost?
# make docs    build the documentation; make screenshots: take its pictures anew

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STUDY  ?=
OUT    ?= demo-output
WORKERS ?= 2
SCREEN := sh scripts/with-screen.sh

.PHONY: demo test check bench soak kill docs screenshots system demo-bundles clean

demo: system $(VENV)/.app
	@sh scripts/demo.sh "$(BIN)" "$(OUT)" "$(STUDY)"

test: system $(VENV)/.test
	$(SCREEN) $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/npe2 validate napari_breast_ai
	$(BIN)/mkdocs build --strict --quiet --site-dir build/site

bench: system $(VENV)/.bench
	$(BIN)/python benchmarks/bench_explain.py --write
	$(BIN)/python benchmarks/bench_inference.py --write
	$(BIN)/python benchmarks/bench_study.py --write
	$(BIN)/python benchmarks/bench_kinetics.py --write
	$(SCREEN) $(BIN)/python benchmarks/bench_kinetics_dock.py --write
	$(BIN)/python benchmarks/bench_motion.py --write
	$(SCREEN) $(BIN)/python benchmarks/bench_annotate.py --write
	$(SCREEN) $(BIN)/python benchmarks/bench_live.py --write
	$(SCREEN) $(BIN)/python benchmarks/bench_scroll.py --write
	$(BIN)/python benchmarks/bench_train.py --write
	$(BIN)/python benchmarks/bench_radiomics.py --write
	$(BIN)/python benchmarks/bench_pharmaco.py --write
	$(BIN)/python benchmarks/bench_cohorts.py --write
	$(BIN)/python benchmarks/bench_range.py --write

soak: system $(VENV)/.test
	$(SCREEN) $(BIN)/python benchmarks/soak.py

kill: $(VENV)/.test
	$(BIN)/python benchmarks/kill.py
	NBAI_SEQUENCES=3000 $(BIN)/python -m pytest -q tests/annotations/test_sequences.py
	$(BIN)/python benchmarks/kill_train.py

docs: $(VENV)/.dev
	$(BIN)/mkdocs build --strict --site-dir build/site

screenshots: system $(VENV)/.test
	$(SCREEN) $(BIN)/python scripts/screenshots.py

# The shipped demonstration model, trained from scratch on phantoms (about half an hour on two cores). With
# ARGS=--keep-backbone only what stands on its backbone is made anew.
demo-bundles: $(VENV)/.test
	$(BIN)/python -m napari_breast_ai.training.demo --out src/napari_breast_ai/models/bundles $(ARGS)

# Libraries that a window needs, Xvfb where there is no screen, and Python's venv module: Debian and Ubuntu only.
system:
	@PYTHON="$(PYTHON)" sh scripts/system-packages.sh

$(VENV)/bin/python:
	@PYTHON="$(PYTHON)" sh scripts/system-packages.sh
	$(PYTHON) -m venv $(VENV)

$(VENV)/.app: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[app]"
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[app,test]"
	@touch $@ $(VENV)/.app

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@ $(VENV)/.app $(VENV)/.test

# With the engines and the compiler that the benchmarks measure.
$(VENV)/.bench: pyproject.toml constraints.txt $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,openvino,onnx,numba]"
	@touch $@

clean:
	rm -rf build dist site demo-output .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
