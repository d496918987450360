# afterbell: `make` lists what there is. Everything it needs beyond Go, gcc and
# make is fetched at a pinned version into .tools and third_party.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BUF_VERSION       := 1.75.0
PROTOFILES_VERSION := 6.0.1
GOLANGCI_VERSION  := v2.15.0
GRPCURL_VERSION   := $(shell sed -n 's,^.*fullstorydev/grpcurl \(v[^ ]*\).*,\1,p' tools/go.mod)
# Readers of others, which tests open answers with.
ARROW_JS_VERSION  := 21.2.0
HYPARQUET_VERSION := 1.33.0
DUCKDB_JS_VERSION := 1.5.6-r.1
# What the console is built from, by its lock file.
CONSOLE_VERSION   := $(shell cksum web/package-lock.json | cut -d' ' -f1)

ROOT    := $(CURDIR)
BIN     := $(ROOT)/bin
TOOLS   := $(ROOT)/.tools
BUF     := $(TOOLS)/buf-$(BUF_VERSION)/node_modules/.bin/buf
LINT    := $(TOOLS)/bin-$(GOLANGCI_VERSION)/golangci-lint
GRPCURL := $(TOOLS)/bin-$(GRPCURL_VERSION)/grpcurl
READERS := $(TOOLS)/readers-$(ARROW_JS_VERSION)-$(HYPARQUET_VERSION)-$(DUCKDB_JS_VERSION)
PROMTOOL := $(or $(shell command -v promtool),$(TOOLS)/promtool)
CONSOLE := $(TOOLS)/console-$(CONSOLE_VERSION)
GOOGLE  := third_party/googleapis/google/api/.version-$(PROTOFILES_VERSION)
MODULES := gen clients/go examples services/internal services/tusharesim services/ingestworker services/orchestrator services/cli services/e2e
GO      := go
# The release of Go with the newest fixes, as go.work names it. Where it cannot be
# fetched, the installed one builds, and `make vuln` tells what that one lacks.
TOOLCHAIN := $(shell sed -n 's/^toolchain //p' go.work)
export GOTOOLCHAIN := $(shell GOTOOLCHAIN=$(TOOLCHAIN) go version >/dev/null 2>&1 && echo $(TOOLCHAIN) || echo local)
# The directory of recorded market data. Tests that need it skip if it does not exist.
export AFTERBELL_REALDATA ?= $(abspath $(ROOT)/../shared/realdata)

# What the tests of whole programs use besides the programs.
TEST_TOOLS := AFTERBELL_DRILL_BIN=$(BIN)/drill AFTERBELL_READERS=$(READERS) AFTERBELL_GRPCURL=$(GRPCURL) AFTERBELL_PROMTOOL=$(PROMTOOL)

# Builds with a clock that can be set off; drill-build makes what it needs.
SET_CLOCK := -toolexec $(BIN)/drill/clock/toolexec.sh

# For programs that nobody debugs: half the time of the linker.
STRIPPED := -ldflags '-s -w'

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build the programs into bin/
	@mkdir -p $(BIN)
	@echo "Building into bin/ (some minutes the first time: it compiles two databases)."
	@$(GO) build -o $(BIN)/ ./services/orchestrator/cmd/orchestrator ./services/ingestworker/cmd/ingest-worker ./services/tusharesim/cmd/tushare-sim
	@CGO_ENABLED=0 $(GO) build $(CLI_FLAGS) -o $(BIN)/ ./services/cli/cmd/afterbell

# Without gRPC's pages about calls in progress, which a command does not serve and
# every start would pay for.
CLI_FLAGS := -tags grpcnotrace

# Every platform that the command is built for, by operating system and processor.
CLI_PLATFORMS := linux-amd64 linux-arm64 darwin-amd64 darwin-arm64 windows-amd64 windows-arm64

.PHONY: cli-all
cli-all: ## build the command afterbell for Linux, macOS and Windows into bin/cli
	@mkdir -p $(BIN)/cli
	@for p in $(CLI_PLATFORMS); do \
		os=$${p%-*}; arch=$${p#*-}; ext=; [ $$os != windows ] || ext=.exe; \
		CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch $(GO) build $(CLI_FLAGS) -trimpath -ldflags '-s -w' -o $(BIN)/cli/afterbell-$$p$$ext ./services/cli/cmd/afterbell; \
		echo "bin/cli/afterbell-$$p$$ext"; \
	done

.PHONY: run
run: build ## start everything, fill both pools, serve (RUN_FLAGS=--help)
	@$(GO) build -o $(BIN)/ ./services/e2e/cmd/afterbell-up
	@exec $(BIN)/afterbell-up --bin $(BIN) $(RUN_FLAGS)

# What comes from elsewhere is fetched while the programs are built. Then what is no test
# has the lowest priority, so that it uses only the time in which the tests wait.
.PHONY: test
test: ## everything that must pass
	@$(MAKE) --no-print-directory -j2 build fetched
	@$(MAKE) --no-print-directory -j2 test-go checks
	@$(MAKE) --no-print-directory realdata-note

# One after the other, because apt-get does not share its files.
.PHONY: fetched
fetched:
	@for what in iproute2 $(PROMTOOL) chromium $(READERS)/.done web/node_modules $(BUF) $(GOOGLE); do $(MAKE) -s $$what; done

.PHONY: checks
checks:
	@echo "The checks run beside the tests. They print when they end."
	@log=$$(mktemp); trap 'rm '$$log EXIT; failed=; for what in gen-check console-check lint vuln; do nice -n 19 $(MAKE) --no-print-directory $$what || failed="$$failed $$what"; done >$$log 2>&1; \
	cat $$log; [ -z "$$failed" ] || { echo "failed:$$failed"; exit 1; }

# Packages whose tests take minutes begin first, so that two cores end at about the
# same time.
SLOW := services/orchestrator/internal/scheduler services/ingestworker/internal/ingest services/ingestworker/internal/targets services/orchestrator/internal/dispatch

# The race detector is on for every package. go vet checks everything in lint, so that go
# test need not do a part of it again.
# The tests that start whole programs share the machine with no other tests. They wait a
# lot, so three packages run at a time, the longest first. They depend on the programs and
# on documents, of which go test knows nothing: -ldflags makes it forget their results when
# one of these changes.
# A program with the race detector sleeps for a second before it exits, and each package
# is one. The sleep serves only goroutines that outlive the tests.
# SQLite's C is compiled with -O1, which takes a third of the time of -O2; the programs
# have -O2.
RACE := CGO_CFLAGS='-O1 -g0' $(GO) test -race -vet=off -timeout 20m
.PHONY: test-go
test-go: export GORACE := atexit_sleep_ms=20
test-go: iproute2 $(GRPCURL) $(READERS)/.done $(PROMTOOL) drill-build web/node_modules chromium ## the Go tests, with the race detector
	$(RACE) $(addprefix ./,$(SLOW)) $(addsuffix /...,$(addprefix ./,$(filter-out services/e2e,$(MODULES))))
	@echo "Testing whole programs"; \
	tree=$$({ git ls-files -z | xargs -0 cksum; cksum $(BIN)/{,drill/}{orchestrator,ingest-worker} $(BIN)/{tushare-sim,afterbell}; } 2>/dev/null | cksum | cut -d' ' -f1 || true); \
	AFTERBELL_BIN=$(BIN) $(TEST_TOOLS) $(RACE) -p 3 -ldflags "-X main.tree=$$tree" ./services/e2e ./services/e2e/console ./services/e2e/...

# The tests of the console drive the distribution's Chromium. They are skipped where it
# cannot be had, except in CI.
.PHONY: chromium
chromium:
	@command -v "$${AFTERBELL_CHROMIUM:-chromium}" >/dev/null || { apt-get install -y --no-install-recommends chromium fonts-noto-cjk >/dev/null 2>&1; } || \
		echo "!!!! SKIPPED: the tests of the console, because chromium is not there and cannot be installed !!!!"

# The test of two hosts makes network namespaces with the command ip.
.PHONY: iproute2
iproute2:
	@command -v ip >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && apt-get install -y -qq iproute2; } || true
	@[ "$$(id -u)" = 0 ] && command -v ip >/dev/null || echo "!!!! SKIPPED: the test of two hosts, because it needs root and the command ip !!!!"

.PHONY: realdata-note
realdata-note:
	@if [ ! -d "$(AFTERBELL_REALDATA)" ]; then \
		echo "!!!! SKIPPED: the tests on recorded market data, because the directory AFTERBELL_REALDATA=$(AFTERBELL_REALDATA) does not exist. To run them: make test AFTERBELL_REALDATA=DIR !!!!"; \
	fi

.PHONY: gen
gen: $(BUF) $(GOOGLE) ## generate Go, gateway and OpenAPI code from proto/
	GOWORK=off $(BUF) generate

.PHONY: gen-check
gen-check: $(BUF) $(GOOGLE) ## prove that the contracts are clean and gen/ is current
	$(BUF) lint
	@if git cat-file -e main:proto/afterbell/market/v1/market.proto 2>/dev/null; then \
		tmp=$$(mktemp -d); trap 'rm -rf '$$tmp EXIT; \
		git archive main proto buf.yaml | tar -x -C $$tmp; cp -r third_party $$tmp/; \
		$(BUF) build -o $$tmp/now.binpb; (cd $$tmp && $(BUF) build -o main.binpb); \
		$(BUF) breaking $$tmp/now.binpb --against $$tmp/main.binpb --exclude-imports; \
		echo "no contract of main is broken"; \
	else echo "no contracts on main to compare with"; fi
	@tmp=$$(mktemp -d); trap 'rm -rf '$$tmp EXIT; \
	GOWORK=off $(BUF) generate -o $$tmp; \
	(cd $$tmp/gen && find . -type f | sort) | while read -r f; do \
		cmp -s "$$tmp/gen/$$f" "gen/$$f" || { echo "gen/$$f is not current: run make gen and commit"; exit 1; }; \
	done; \
	for f in $$(cd gen && find . -name '*.pb*.go' -o -name '*.swagger.json'); do \
		[ -e "$$tmp/gen/$$f" ] || { echo "gen/$$f is generated from nothing: remove it"; exit 1; }; \
	done; echo "gen/ is current"

.PHONY: console
console: web/node_modules ## bundle the admin console from web/
	$(CONSOLE)/node_modules/.bin/tsc --project web
	cd tools && GOWORK=off $(GO) run ./console --web ../web --out ../services/orchestrator/internal/console/dist

.PHONY: pictures
pictures: build chromium ## take the README's pictures of the console from a run
	@$(GO) run ./services/e2e/cmd/afterbell-pictures --bin $(BIN) --out dev-docs/pictures

.PHONY: console-measure
console-measure: build chromium ## measure the console with three years of coverage and ten years of runs
	@$(GO) run ./services/e2e/cmd/afterbell-pictures --bin $(BIN) --measure

.PHONY: console-check
console-check: web/node_modules ## prove that the console's types hold and its bundle is current
	$(CONSOLE)/node_modules/.bin/tsc --project web
	@cd tools && GOWORK=off $(GO) run ./console --check --web ../web --out ../services/orchestrator/internal/console/dist

# The reports come from vuln.go.dev, or, where that cannot be reached, from the module
# golang.org/x/vulndb, whose files govulncheck reads as they are. Without either nothing
# can be said, and that is said loudly.
.PHONY: vuln
vuln: ## known vulnerabilities in what the programs call
	@mkdir -p $(BIN) && (cd tools && GOWORK=off $(GO) build -o $(BIN)/govulncheck golang.org/x/vuln/cmd/govulncheck)
	@if curl -sSf -m 20 -o /dev/null https://vuln.go.dev/index/db.json 2>/dev/null; then db=https://vuln.go.dev; \
	elif reports=$$(GOWORK=off $(GO) mod download -json golang.org/x/vulndb@latest | sed -n 's/^\t"Dir": "\(.*\)",$$/\1/p') && [ -d "$$reports/data/osv" ]; then \
		echo "Known vulnerabilities as of $${reports##*@}"; db=file://$$reports/data/osv; \
	else echo "!!!! SKIPPED: govulncheck, because neither https://vuln.go.dev nor the module golang.org/x/vulndb can be reached !!!!"; exit 0; fi; \
	echo "== govulncheck -db $$db"; $(BIN)/govulncheck -C services/e2e -db $$db github.com/afterbell/afterbell/...

# Each target is fuzzed for FUZZTIME. What it finds becomes a seed in testdata/fuzz of its
# package, which every test then runs.
FUZZTIME ?= 1m
.PHONY: fuzz
fuzz: ## fuzz what comes from outside (FUZZTIME=1m for each target)
	@grep -rl --include='*_test.go' '^func Fuzz' services | while read -r file; do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9]*\).*/\1/p' $$file); do \
			echo "== $$(dirname $$file) $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 5s ./$$(dirname $$file) || exit 1; \
		done; \
	done

.PHONY: vet
vet:
	$(GO) vet $(addsuffix /...,$(addprefix ./,$(MODULES)))

.PHONY: lint
lint: vet $(LINT) ## vet, format and dependency rules
	@unformatted=$$(git ls-files '*.go' | grep -v '\.pb\.' | xargs gofmt -l); [ -z "$$unformatted" ] || { echo "not gofmt-ed: $$unformatted"; exit 1; }
	$(LINT) run $(addsuffix /...,$(addprefix ./,$(filter-out gen,$(MODULES))))

.PHONY: bench
bench: build ## measure the pair against floors (BENCH_FLAGS=--help)
	@$(GO) build -o $(BIN)/ ./services/ingestworker/cmd/ingest-bench
	@$(GO) build -tags duckdb_arrow -o $(BIN)/ ./services/e2e/cmd/afterbell-bench
	@$(BIN)/afterbell-bench --bin $(BIN) $(BENCH_FLAGS)

.PHONY: bench-go
bench-go: ## the Go benchmarks of decoder, limiter, planner, both pools, ledger and simulator
	$(GO) test -run '^$$' -bench . -benchmem $(addsuffix /...,$(addprefix ./,$(filter-out gen,$(MODULES)))) | grep -v 'no test files\|^PASS\|^ok'

# The drills' programs have places to crash and a clock that can be set off; both come
# with this build only.
.PHONY: drill
drill: drill-build ## inject faults, compare row by row (DRILL_FLAGS=--help)
	@$(BIN)/drill/afterbell-drill --bin $(BIN)/drill $(DRILL_FLAGS)

.PHONY: drill-build
drill-build:
	@mkdir -p $(BIN)/drill
	@$(GO) build $(STRIPPED) -o $(BIN)/drill/ ./services/e2e/cmd/afterbell-drill
	@$(BIN)/drill/afterbell-drill --clock $(BIN)/drill/clock
	@$(GO) build $(STRIPPED) -tags drill $(SET_CLOCK) -o $(BIN)/drill/ ./services/orchestrator/cmd/orchestrator ./services/ingestworker/cmd/ingest-worker

# What is due depends on the hour, and a test may rest on the hour or the day on which it was written.
# The clock of the tests and of all programs is set as in the drills; the tests of the
# console are left out, because a browser keeps its own, and those of the command, which
# compare it with the real time.
HOURS := 08:59 15:59 16:59 17:59 18:59 19:29 21:59 23:58
DAYS := 0
BY_THE_CLOCK := services/ingestworker/internal/ingest services/orchestrator/internal/app services/ingestworker/internal/app services/e2e services/e2e/cmd/afterbell-up

.PHONY: test-hours
test-hours: drill-build $(GRPCURL) $(READERS)/.done $(PROMTOOL) ## the tests of whole services at the hours when something falls due (HOURS="18:59 ..."; DAYS=9 for nine days later)
	@mkdir -p $(BIN)/hours
	@$(GO) build $(STRIPPED) $(SET_CLOCK) -o $(BIN)/hours/ ./services/orchestrator/cmd/orchestrator ./services/ingestworker/cmd/ingest-worker ./services/tusharesim/cmd/tushare-sim
	@CGO_ENABLED=0 $(GO) build $(CLI_FLAGS) $(SET_CLOCK) -o $(BIN)/hours/ ./services/cli/cmd/afterbell
	@for dir in $(BY_THE_CLOCK); do $(GO) test -c $(SET_CLOCK) -o $(BIN)/hours/$$dir.test ./$$dir; done
	@for at in $(HOURS); do \
		ahead=$$(( ($$(date -d "$$(TZ=Asia/Shanghai date +%F) $$at:00 +0800" +%s) - $$(date +%s) + $(DAYS) * 86400) * 1000000000 )); \
		for i in {0..7}; do printf "\\x$$(printf %02x $$(( ahead >> 8*i & 255 )))"; done >$(BIN)/hours/clock; \
		for dir in $(BY_THE_CLOCK); do \
			echo "From $$at in Shanghai on, $(DAYS) days ahead: $$dir"; \
			(cd $$dir && AFTERBELL_DRILL_CLOCK=$(BIN)/hours/clock AFTERBELL_BIN=$(BIN)/hours $(TEST_TOOLS) $(BIN)/hours/$$dir.test -test.timeout 20m); \
		done; \
	done

.PHONY: tidy
tidy: ## tidy every module
	@for m in $(MODULES) tools; do (cd $$m && GOWORK=off $(GO) mod tidy); done; $(GO) work sync

.PHONY: tools
tools: $(BUF) $(LINT) $(GRPCURL) $(PROMTOOL) $(GOOGLE) $(READERS)/.done $(CONSOLE)/.done ## fetch the pinned tools

$(BUF):
	@mkdir -p $(TOOLS)
	npm install --no-audit --no-fund --silent --prefix $(TOOLS)/buf-$(BUF_VERSION) @bufbuild/buf@$(BUF_VERSION)

# google/api/*.proto come from a package at a pinned version; nothing is fetched
# from the schema registry.
$(GOOGLE):
	@mkdir -p $(TOOLS) $(@D)
	npm install --no-audit --no-fund --silent --ignore-scripts --prefix $(TOOLS)/protos-$(PROTOFILES_VERSION) google-proto-files@$(PROTOFILES_VERSION)
	cp $(TOOLS)/protos-$(PROTOFILES_VERSION)/node_modules/google-proto-files/google/api/{annotations,http}.proto $(@D)/
	@touch $@

$(LINT):
	GOBIN=$(@D) GOFLAGS= $(GO) install $(STRIPPED) github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

$(READERS)/.done:
	@mkdir -p $(@D)
	npm install --no-audit --no-fund --silent --prefix $(@D) apache-arrow@$(ARROW_JS_VERSION) hyparquet@$(HYPARQUET_VERSION) @duckdb/node-api@$(DUCKDB_JS_VERSION)
	@touch $@

$(CONSOLE)/.done:
	@mkdir -p $(@D)
	cp web/package.json web/package-lock.json $(@D)/
	cd $(@D) && npm ci --no-audit --no-fund --silent --ignore-scripts
	@touch $@

# Where the compiler and the bundler look.
.PHONY: web/node_modules
web/node_modules: $(CONSOLE)/.done
	@[ "$$(readlink $@)" = $(CONSOLE)/node_modules ] || ln -sfn $(CONSOLE)/node_modules $@

# From tools/go.mod, whose releases of gRPC and of its modules are those of the services,
# so that their compiled packages are used.
$(GRPCURL):
	cd tools && GOWORK=off $(GO) build -ldflags '-s -w -X main.version=$(GRPCURL_VERSION)' -o $@ github.com/fullstorydev/grpcurl/cmd/grpcurl

# Debian's, from its package: it is taken out without installing the service.
$(TOOLS)/promtool:
	@rm -rf $@.tmp && mkdir -p $@.tmp
	cd $@.tmp && { apt-get download -qq prometheus 2>/dev/null || { apt-get update -qq && apt-get download -qq prometheus; }; } && dpkg-deb -x prometheus_*.deb .
	mv $@.tmp/usr/bin/promtool $@
	@rm -rf $@.tmp

.PHONY: clean
clean: ## remove what was built; data and tools stay
	rm -rf $(BIN)
