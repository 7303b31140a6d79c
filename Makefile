# One line a target; the work is in scripts/, which say more. `ARGS` is handed on: make test ARGS="-p net".
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup build run demo test test-kvm conformance lifecycles fuzz abuse lint coverage coverage-html coverage-total bench man openapi smoke smoke-list smoke-one install-hooks

ARGS ?=

help: ## List the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18

setup: ## Install what building, running, testing and checking need (Debian packages)
	@scripts/setup $(or $(ARGS),run test lint)

build: ## Build banger, bangerd and the static banger-vsock-agent into build/bin
	@scripts/build

run: build ## Build, then `banger vm run`; ARGS="--rm -- true" are its arguments
	@build/bin/banger vm run $(ARGS)

demo: build ## Build, then run one command in a real VM that is deleted afterwards
	@scripts/demo

test: ## Run all tests, those in real guests too; ARGS choose: ARGS="-p engine stop"
	@scripts/test $(ARGS)

test-kvm: ## Run tests of real VMMs with guests that execute on KVM, in an outer VM if the host runs none; ARGS="short|vmm|engine|banger"
	@scripts/test-kvm $(ARGS)

conformance: ## Run the same cases over the simulated VMM, QEMU and Firecracker; print who does what
	@scripts/setup test && cargo test --quiet --locked -p vmm --test conformance -- --nocapture

lifecycles: ## Random lifecycles of simulated VMs; ARGS="20000 7": how many, and the seed
	@scripts/lifecycles $(ARGS)

fuzz: ## Hostile input for each fuzz target, ARGS seconds each; then the decoders' properties at length
	@scripts/fuzz $(ARGS)

abuse: ## Hostile guests, registries and repositories, over each verb, at random; ARGS="600 7": seconds, and the seed
	@scripts/abuse $(ARGS)

lint: ## rustfmt, clippy, shellcheck, cargo-deny, check-docs: any warning fails
	@scripts/lint

coverage: ## Run all tests with coverage; the report lies in build/coverage
	@scripts/coverage $(ARGS)

coverage-html: ## Run all tests with coverage and print where the report is
	@scripts/coverage --html $(ARGS)

coverage-total: ## Run all tests with coverage and print the share of lines, one number
	@scripts/coverage --total $(ARGS)

bench: ## Measure against floors of the same run and write docs/benchmarks.md
	@scripts/bench $(ARGS)

man: build ## Write the man pages into build/man, from the same source as the help
	@build/bin/banger internal man-pages build/man

openapi: ## Write docs/openapi.json, the description of the host API, from its types
	@scripts/openapi

smoke: build ## Do what users do, once, on real guests; ARGS=--fast leaves out what boots more than once
	@scripts/setup test $(if $(findstring --fast,$(ARGS)),,kernel) && cargo run --quiet --locked -p smoke -- run $(ARGS)

smoke-list: ## List the scenarios of `make smoke`
	@cargo run --quiet --locked -p smoke -- list

smoke-one: build ## Run the scenario named by SCENARIO
	@scripts/setup test $(if $(filter golden,$(SCENARIO)),kernel) && cargo run --quiet --locked -p smoke -- run $(SCENARIO)

install-hooks: ## Have git run lint, test and build before each commit
	@scripts/install-hooks
