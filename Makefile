# make demo   set up, export a real model, ask it something
# make test   set up, run the whole test suite
# make check  what CI runs besides: lint, types, the wheel from outside the checkout
# make test-arm64  the wheel and its kernels on emulated ARM processors
# make wheel  dist/edge-*.whl with kernels for every target: what devices install

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MODEL := .cache/SmolLM2-135M-Instruct.Q4_1.gguf
MINILM := .cache/minilm_l6
# What tests of ONNX models need; benchmarks/fetch_model.py knows them by these names.
ONNX := $(addprefix .cache/,efficientnet_lite0.pth ppocr silero_vad.onnx magika wakeword pictures)
export OMP_NUM_THREADS := 1

.PHONY: demo test test-arm64 check wheel libraries setup clean

setup: $(VENV)/ready

$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

$(MODEL): | setup
	$(BIN)/python benchmarks/fetch_model.py $(MODEL)

$(MINILM): | setup
	$(BIN)/python benchmarks/fetch_model.py $@ minilm

$(ONNX): | setup
	$(BIN)/python benchmarks/fetch_model.py $@ $(basename $(notdir $@))

.cache/smollm2.edge: $(MODEL) edge/format/spec.py
	$(BIN)/edge export $(MODEL) -o $@ --quant keep

demo: .cache/smollm2.edge
	$(BIN)/edge show .cache/smollm2.edge
	$(BIN)/edge run .cache/smollm2.edge "What is the capital of France, and what is it known for?" -n 96 --temp 0

test: setup
	@$(MAKE) --no-print-directory -k $(MODEL) $(MINILM) $(ONNX) || echo "a model cannot be had: tests that need it are skipped"
	$(BIN)/python -m pytest -q -n auto --dist loadfile

libraries: setup
	$(BIN)/edge compile --target all -o runtime/libraries/lib

wheel: libraries
	rm -rf dist
	$(BIN)/python -m build --wheel --no-isolation --outdir dist . >/dev/null
	ls -l dist

test-arm64: wheel .cache/smollm2.edge
	PATH="$(CURDIR)/$(BIN):$$PATH" tests/arm64/run.sh dist/edge-*.whl .cache/smollm2.edge

check: libraries
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .
	rm -rf build && $(BIN)/python -m pip install --quiet --no-deps --target build/types .
	cd build/types && ../../$(BIN)/python -m mypy --config-file ../../pyproject.toml -p edge
	$(BIN)/python -m build --wheel --no-isolation --outdir build/wheel . >/dev/null
	sh .ci/wheel $(BIN)/python build/wheel

clean:
	rm -rf $(VENV) .cache build dist runtime/libraries/lib
