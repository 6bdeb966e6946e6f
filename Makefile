# `make run`: everything from a fresh machine to a real model, compiled, run and compared with PyTorch.
# `make test`: builds and runs all tests. `make build`: only builds. Each installs what is missing first.
BUILD ?= build
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
.PHONY: build run test clean setup bench-layers bench-peers
.DEFAULT_GOAL := build

setup:
	@./scripts/setup.sh

build: setup
	@./scripts/build.sh "$(BUILD)" "$(JOBS)"

run: build
	@./examples/silero/run.sh

test: build
	@cd "$(BUILD)" && ctest --output-on-failure -j $(JOBS)

# Single layers against the machine's own roof; see bench/README.md.
bench-layers: build
	@.venv/bin/python bench/layers.py --build "$(BUILD)"

bench-peers: build
	@./bench/setup.sh
	@.venv/bin/python bench/peers.py --build "$(BUILD)" $(MODELS)

clean:
	rm -rf "$(BUILD)"
