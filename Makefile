# Everything works on a bare Debian 12, as root or as a user with sudo. `make help` lists the targets.
.DEFAULT_GOAL := help
.PHONY: help build image image-check release demo test install-check simulate mutants fuzz torture soak bench bench-micro \
  instructions lint generate format clean
SHELL := /bin/bash

# What git knows, and what is new and not ignored.
sources = git ls-files --cached --others --exclude-standard --deduplicate --

help: ## List the targets
	@sed -En 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r name text; do \
	  printf '  make %-12s %s\n' "$$name" "$$text"; done

build: ## Build the program: build/bin/quay-rotator
	@tests/prepare.sh program
	@echo "Built build/bin/quay-rotator"

image: ## Build the container image, without a daemon: build/image (PLATFORMS="amd64 arm64")
	@image/build.sh $(PLATFORMS)

image-check: ## Before a release: the Containerfile on a bare Debian, and arm64 under qemu (ONLY=one of them)
	@$(if $(filter arm64,$(ONLY)),,image/containerfile-check.sh)
	@$(if $(filter containerfile,$(ONLY)),,image/arm64-check.sh)

release: ## Make the files of a release: build/release (VERSION=1.2.3, RELEASE_KEY= gpg's key or SIGN=0)
	@release/release.sh "$(VERSION)" $(PLATFORMS)

# Only one that is given here: a KUBECONFIG in the environment may be of a cluster that others work with.
kubeconfig = $(if $(filter command,$(origin KUBECONFIG)),$(KUBECONFIG))

demo: ## Watch a robot's token rotate in a real cluster (KEEP=1 leaves it up, KUBECONFIG=file takes your own)
	@tests/prepare.sh $(if $(kubeconfig),guest,demo)
	@GO=$$(tests/go.sh) build/bin/demo $(if $(filter-out 0 no,$(KEEP)),--keep) $(if $(kubeconfig),--kubeconfig='$(kubeconfig)')

test: ## Run every test, up to a real API server, registry and node
	@tests/prepare.sh test
	@image/build.sh
	@echo "==> Testing the Go programs"
	@export GO=$$(tests/go.sh) UNCACHED=$$(date +%s) && $$GO test -C tests ./... && \
	  CGO_ENABLED=0 $$GO test -C tests/bundle -trimpath .
	@echo "==> Testing the program"
	@GO=$$(tests/go.sh) ctest --test-dir build --parallel 4 --output-on-failure --no-tests=error

install-check: ## Install, upgrade, roll back and uninstall the chart on real API servers, with helm 3 and 4
	@tests/prepare.sh install-check
	@export GO=$$(tests/go.sh) QUAY_ROTATOR_HELM3=1 QUAY_ROTATOR_OLDEST_KUBERNETES=1 && \
	  $$GO test -C tests -count=1 ./chart && \
	  echo "install-check: passed with helm $$($(CURDIR)/build/helm/helm version --template '{{.Version}}')" \
	  "and $$($(CURDIR)/build/helm3/helm version --template '{{.Version}}')," \
	  "on Kubernetes$$(sed -n 's/^\tk8s.io\/kubernetes v/ /p' tests/control-plane/{,oldest/}go.mod | tr '\n' ' ')"

simulate: ## Simulate SEEDS=1000000 schedules under faults and check every promise
	@tests/prepare.sh simulate
	@build/bin/simulate --seeds $(or $(SEEDS),1000000) --first $(or $(FIRST),1) --fresh 0 --jobs $(or $(JOBS),2)

mutants: ## Plant deliberate bugs and show which promise breaks, and how soon (SCHEDULES=1000)
	@tests/prepare.sh mutants
	@set -o pipefail; QUAY_ROTATOR_SEEDS=$(or $(SCHEDULES),1000) ctest --test-dir build -L mutants \
	  --parallel 2 --verbose --no-tests=error | sed -En 's/^[0-9]+: //p'

torture: ## Kill, cut off and freeze everything, RUNS times each (SEED=, ONLY= a disaster's name)
	@tests/prepare.sh test
	@GO=$$(tests/go.sh) QUAY_ROTATOR_BIN=$(CURDIR)/build/bin QUAY_ROTATOR_SOURCE=$(CURDIR) \
	  build/bin/torture --runs=$(RUNS) --seed=$(SEED) --only='$(ONLY)'

soak: ## HOURS=1 (or MINUTES=) on a real API server and DAYS=24 simulated ones: does anything grow?
	@tests/prepare.sh test
	@build/bin/soak-simulated --days=$(or $(DAYS),24)
	@GO=$$(tests/go.sh) QUAY_ROTATOR_BIN=$(CURDIR)/build/bin QUAY_ROTATOR_SOURCE=$(CURDIR) \
	  build/bin/soak-real --minutes=$(or $(MINUTES),$(shell echo $$((60 * $(or $(HOURS),1)))))

bench: ## Measure next to reference work (QUICK=1, ONLY= sections, SIZES=10,1000, STRICT=1)
	@tests/prepare.sh bench
	@GO=$$(tests/go.sh) QUAY_ROTATOR_BIN=$(CURDIR)/build/bin QUAY_ROTATOR_SOURCE=$(CURDIR) \
	  build/bin/bench --quick=$(or $(QUICK),0) --strict=$(or $(STRICT),0) --only='$(ONLY)' \
	  --sizes='$(SIZES)'
	@$(if $(ONLY)$(filter-out 0 no,$(QUICK)),,build/bin/micro --benchmark_counters_tabular=true)

bench-micro: ## Time and allocations of single operations (FILTER=Queue for some of them)
	@tests/prepare.sh micro
	@build/bin/micro --benchmark_filter='$(or $(FILTER),.)' --benchmark_counters_tabular=true

instructions: ## Count instructions of a rotation, a start and of idleness (UPDATE=1 rewrites the baseline, WHERE=1)
	@tests/prepare.sh instructions
	@tests/bench/instructions/run.sh build $(if $(UPDATE),--update,$(if $(WHERE),--where))

fuzz: ## Feed damaged input to every parser, TIME=60 seconds each (TARGET=url for one of them)
	@tests/fuzz/run.sh $(or $(TIME),60) $(TARGET)

lint: ## Check format and style of C++, Go and shell code
	@tests/lint.sh

generate: ## Write what is made from crds/ and the chart: parts of it, deploy/, bundle/
	@GO=$$(tests/go.sh) && export GO && \
	  $$GO run -C tests ./chart/generate .. "$$(tests/control-plane/build.sh helm)/helm"

format: ## Format C++ and Go code in place
	@tests/packages.sh lint
	@$(sources) '*.h' '*.cpp' | xargs -r clang-format -i
	@GO=$$(tests/go.sh) && $(sources) '*.go' | xargs -r "$$(dirname "$$GO")/gofmt" -w

clean: ## Remove build/ (not the control plane and the Go kept in ~/.cache/quay-rotator)
	rm -rf build
