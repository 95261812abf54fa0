# `make demo` and `make test` set up all they need on a machine with Python 3.11+, git, make and bash.
SHELL := /bin/bash
.DEFAULT_GOAL := help
GROUPS := slides deep encode stats report dev
COMPILE := .venv/bin/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: .venv/ready ## virtual environment from the lock file, and a Nextflow engine
.venv/ready: requirements.lock setup/uv.lock setup/venv.sh setup/nextflow_engine.py
	@bash setup/venv.sh

demo: setup ## simulated cohort from slides to report (results-demo/multiqc_report.html)
	@bash setup/demo.sh

test: setup ## unit tests, and the pipeline on the real engine
	@bash setup/tests.sh "not slow"

test-slow: setup ## the tests that take minutes
	@bash setup/tests.sh slow

nf-test: setup ## the module suites (needs nf-test on PATH)
	@bash setup/nf-test.sh

lint: setup ## ruff over all Python
	@.venv/bin/ruff check bin tests benchmarks setup

images: ## build the container images (but for GPUs: containers/build.sh deep-cuda encode-cuda)
	@bash containers/build.sh

release: ## build all images, push them to REGISTRY, write their digests to conf/containers.config
	@bash containers/release.sh

lock: .venv/ready ## compile the lock files from pyproject.toml
	$(COMPILE) pyproject.toml $(GROUPS:%=--group %) -o requirements.lock
	bash containers/lock.sh

parameters: setup ## write docs/parameters.md from nextflow_schema.json
	@.venv/bin/python setup/parameters_doc.py

.PHONY: help setup demo test test-slow nf-test lint images release lock parameters
