# What a newcomer needs: `make serve`, `make test`. Everything else hangs on these.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PORT   ?= 8080
DIR    ?= data
JOBS   ?= 2
C_DIR  := fastvol/_cffi
C_TEST := build/ctest

.PHONY: serve test check format bench clean

$(VENV)/.base: pyproject.toml $(wildcard $(C_DIR)/*.[ch]) $(C_DIR)/build.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --upgrade pip
	$(BIN)/pip install -q -e .
	touch $@

$(VENV)/.test: $(VENV)/.base
	$(BIN)/pip install -q -e '.[test]'
	touch $@

$(VENV)/.check: $(VENV)/.test
	$(BIN)/pip install -q -e '.[check]'
	touch $@

# A single node without a master: stores and serves objects from $(DIR).
serve: $(VENV)/.base
	mkdir -p $(DIR)
	$(BIN)/fastvol serve -port=$(PORT) $(DIR)

test: $(VENV)/.test
	$(BIN)/pytest -n $(JOBS) --dist loadfile tests

check: $(VENV)/.check c-check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PATH=$(abspath $(BIN)):$$PATH $(BIN)/lint-imports
	PYTHON=$(BIN)/python protos/check.sh

format: $(VENV)/.check
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The C core without Python: warnings are errors, and its tests run under both sanitizers.
C_FLAGS := -std=c11 -D_GNU_SOURCE -g -O1 -UNDEBUG -Wall -Wextra -Werror -pthread
.PHONY: c-check
c-check:
	mkdir -p build
	gcc $(C_FLAGS) -O2 -fsyntax-only $(filter-out $(C_DIR)/_core.c,$(wildcard $(C_DIR)/*.c))
	gcc $(C_FLAGS) -fsanitize=address,undefined -fno-sanitize-recover=all -I$(C_DIR) \
	    $(filter-out $(C_DIR)/_core.c,$(wildcard $(C_DIR)/*.c)) $(wildcard tests/c/*.c) -o $(C_TEST)
	ASAN_OPTIONS=detect_leaks=1 ./$(C_TEST)

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
