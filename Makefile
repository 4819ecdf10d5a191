# Two commands do everything: `make chaos` runs the experiments, `make test` proves the harness.

GO       ?= go
PROFILE  ?= quick
RUNTIME  ?=
ARGS     ?=
RUNS     ?= 20
N        ?= 200
SEED     ?= 0
# silent-drop needs its full minutes: `make chaos PROFILE=standard` runs it too.
EXPERIMENTS ?= control edge-latency dropped-connections redis-outage slow-processor dead-fault $(if $(filter standard,$(PROFILE)),silent-drop)
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  := -s -w -X main.version=$(VERSION)

.PHONY: help setup build chaos test check bench soak torture clean

help: ## say what each target does
	@awk -F ':.*## ' '/^[a-z]+:.*##/ {printf "%-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install what is missing, or say exactly what is
	@tools/setup.sh

build: ## bin/chaos and bin/paysys
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/chaos ./cmd/chaos
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/paysys ./targets/payments/cmd/paysys

chaos: setup build ## run the experiments; the report is reports/index.html
	bin/chaos run --profile $(PROFILE) $(if $(RUNTIME),--runtime $(RUNTIME)) $(ARGS) $(EXPERIMENTS)

# Packages whose tests measure time or drive containers: one after another, with the machine to themselves.
ALONE := ./internal/proxy ./internal/edge ./internal/fault/toxic ./internal/load/vegeta ./internal/target/docker ./internal/target/process \
	./internal/catalog ./internal/cli ./targets/payments/node ./cmd/chaos

# The summary names every test that was not run, and why: a machine without Docker runs all but those in containers.
GOTESTSUM := bin/gotestsum --format pkgname --format-hide-empty-pkg

test: setup ## all tests: unit, conformance, integration in containers and processes, browser
	$(GO) build -C tools -o ../bin/gotestsum gotest.tools/gotestsum
	$(GOTESTSUM) --jsonfile bin/test.json -- -timeout 30m $(filter-out $(ALONE:./%=chaos/%),$(shell $(GO) list ./...))
	$(GOTESTSUM) --jsonfile bin/test-alone.json -- -timeout 60m -p 1 $(ALONE)
	$(GO) test -C tools -timeout 30m ./...

check: setup ## gofmt, vet, staticcheck, builds for Linux and macOS, the structure's rules, race tests
	@test -z "$$(gofmt -l .)" || { echo "not gofmt'd:"; gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) vet -C tools ./...
	$(GO) build -C tools -o ../bin/staticcheck honnef.co/go/tools/cmd/staticcheck
	bin/staticcheck ./...
	@for os in linux darwin; do for arch in amd64 arm64; do \
		echo "build for $$os/$$arch"; CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch $(GO) build ./... || exit 1; \
	done; done
	@for arch in amd64 arm64; do \
		echo "vet for darwin/$$arch"; CGO_ENABLED=0 GOOS=darwin GOARCH=$$arch $(GO) vet ./... || exit 1; \
	done
	$(GO) test ./internal/tidy
	$(GO) test -race -short -timeout 30m -p 1 ./...

bench: ## the benchmarks behind docs/performance.md
	$(GO) test -run '^$$' -bench . -benchtime 1s ./internal/... ./targets/...

soak: setup build ## RUNS × make chaos; prints the table of docs/reliability.md
	$(GO) build -C tools -o ../bin/soak ./soak
	bin/soak -runs $(RUNS) -profile $(PROFILE) $(if $(RUNTIME),-runtime $(RUNTIME)) $(EXPERIMENTS)

torture: setup build ## kill N runs at random moments and look for what is left; prints the table of docs/reliability.md
	$(GO) build -C tools -o ../bin/torture ./torture
	bin/torture -runs $(N) -seed $(SEED) $(if $(RUNTIME),-runtime $(RUNTIME)) $(ARGS)

clean: ## remove bin/ and the reports of earlier runs
	rm -rf bin
	find reports -mindepth 1 -maxdepth 1 ! -name sample ! -name README.md -exec rm -rf {} +
