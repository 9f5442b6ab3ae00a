# The words a reader needs: make run | test | lab | book | clean. PROFILE= and DATASET= are the only dials.
export PROFILE DATASET
PYTHON ?= python3
BIN := .venv/bin
LOCK := requirements/$(if $(shell command -v nvidia-smi),gpu,cpu).lock
TORCH := $(shell sed -n 's/^torch==//p' requirements/cpu.lock)
# What the executed notebooks depend on besides their own cells; jupyter-cache looks at the cells alone.
INPUTS = $(shell find src data profiles $(LOCK) $(DATASET) -type f ! -name '*.pyc' ! -path '*.egg-info*' 2>/dev/null | sort | xargs -d '\n' cat | sha256sum | cut -c1-16)-$(PROFILE)

.PHONY: run test unit browser lab book catalogues notebooks-zh setup lock clean check

run: book
	@echo "The book: file://$(CURDIR)/_build/html/index.html"

setup: .venv/.installed

# Without a GPU the lock goes in with --no-deps: the CUDA packages that LMDeploy and torch name are left out on purpose.
# PyPI's Linux wheel of torch is a CUDA build, so a CPU wheel is asked for by its local version first.
.venv/.installed: $(LOCK) pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version)'
	$(PYTHON) -m venv .venv
ifeq ($(LOCK),requirements/cpu.lock)
	$(BIN)/pip install -q --no-deps torch==$(TORCH)+cpu || $(BIN)/pip install -q --no-deps torch==$(TORCH) --index-url https://download.pytorch.org/whl/cpu
endif
	$(BIN)/pip install -q --no-deps -r $(LOCK)
	$(BIN)/pip install -q --no-deps -e .
	$(BIN)/python -c 'import matplotlib.font_manager'  # builds its font cache now, not in a page
	touch $@

book: setup
	@test "$$(cat _build/.inputs 2>/dev/null)" = "$(INPUTS)" || rm -rf _build
	$(BIN)/jupyter-book build . -W --keep-going -n
	$(BIN)/python book/extensions/chinese_site.py
	@echo "$(INPUTS)" > _build/.inputs

test: setup unit
	$(BIN)/python -m pytest --nbmake --nbmake-kernel=python3 notebooks/

unit: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile tests

# Needs Chromium, from the distribution's packages.
browser: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/browser

# After a change of English prose: the sentences to translate are then the empty ones in book/locale.
catalogues: setup
	$(BIN)/python book/extensions/catalogues.py

# The notebooks with Chinese prose and the same code, for JupyterLab.
notebooks-zh: setup
	$(BIN)/python book/extensions/chinese_notebooks.py

check: setup
	$(BIN)/ruff check src tests data notebooks benchmarks book
	$(BIN)/ruff format --check src tests data notebooks benchmarks book

lab: setup
	$(BIN)/jupyter lab --ip=127.0.0.1 notebooks/01_environment.ipynb

clean:
	rm -rf outputs _build

# Needs uv. The GPU lock has the same versions but for torch, see requirements/gpu.constraints.txt.
UV := uv pip compile pyproject.toml --extra test --python-version 3.11 --python-platform x86_64-manylinux_2_28 -q
lock:
	$(UV) --override requirements/cpu.overrides.txt -o requirements/cpu.lock
	$(UV) --extra gpu --constraint requirements/gpu.constraints.txt -o requirements/gpu.lock
