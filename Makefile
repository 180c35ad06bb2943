# `make` without a target says what there is. Every target that needs the set-up does it first.

.POSIX:
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow conformance lint pictures bench bench-pinned bench-unpinned clean install-helpers uninstall-helpers

SHELL := /bin/sh
PYTHON ?= python3
export PYTHON
BIN := .venv/bin
ARGS ?=

help: ## say what the targets are
	@echo 'usage: make TARGET [ARGS=...]'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 20

setup: ## install what is missing: system packages (apt), .venv, this package
	@.ci/setup

demo: setup ## the tour: make an image, serve it, mount it, read it back, halt
	@docs/demo.sh

test: setup ## run the tests (ARGS="-k disklabel" picks some)
	$(BIN)/python -m pytest $(ARGS)

test-slow: setup ## run the tests that take long
	$(BIN)/python -m pytest -m slow $(ARGS)

conformance: setup ## run NetBSD's test cases and print what became of each (docs/conformance.md)
	$(BIN)/python -m tests.conformance $(ARGS)

lint: setup ## ruff, mypy --strict, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

pictures: setup ## draw the pictures of docs/layout.md again
	$(BIN)/python images/pictures.py docs/pictures

bench: setup ## measure speed against a bare echo server, pinned to one CPU and unpinned
	$(BIN)/python -m tests.bench $(ARGS)

bench-pinned: setup ## only the rows with client and server on one CPU
	$(BIN)/python -m tests.bench --pinned $(ARGS)

bench-unpinned: setup ## only the rows without pinning
	$(BIN)/python -m tests.bench --unpinned $(ARGS)

# Where mount(8) and systemd look, and where the commands are that they run.
PREFIX ?= /usr/local
SBINDIR ?= /usr/sbin
BINDIR ?= $(CURDIR)/$(BIN)
HELPERS = DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' SBINDIR='$(SBINDIR)' BINDIR='$(BINDIR)' \
	RUMPFS='$(CURDIR)/$(BIN)/rumpfs' mount_helpers/install

install-helpers: setup ## let mount(8), systemd, man and the shells find rumpfs (DESTDIR, PREFIX, SBINDIR, BINDIR)
	@$(HELPERS) put

uninstall-helpers: ## remove what install-helpers installed
	@$(HELPERS) remove

clean: ## remove what the other targets made, .venv included
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
