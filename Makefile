# Each target has a help line; make alone prints them.
.DEFAULT_GOAL := help
.PHONY: help run build client engine env quick test test-client check fuzz bench image dist release clean

VERSION = $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
PACKAGES ?= ./...
# More flags of go test, such as -run.
TESTFLAGS ?=
FUZZTIME ?= 20s

# The libvips to build with: npm is the pinned one that scripts/engine fetches, for Linux with glibc; system is the
# one that pkg-config finds.
VIPS ?= $(if $(filter Linux-x86_64-GNU/Linux Linux-aarch64-GNU/Linux,$(shell uname -sm | tr ' ' -)-$(shell uname -o)),npm,system)
export VIPS

# One setting for build and tests, so that they share what they compile.
export GOFLAGS := $(strip $(shell go env GOFLAGS 2>/dev/null) -trimpath)
# Without -g, which Go would add: SQLite, half of the first build, compiles in three quarters of the time.
export CGO_CFLAGS ?= -O2
ifeq ($(VIPS),npm)
ENGINE = engine
export PKG_CONFIG_PATH := $(CURDIR)/.tools/engine/$(shell go env GOARCH 2>/dev/null)/pkgconfig
endif
# Go's build cache does not see that another PKG_CONFIG_PATH finds another libvips; it sees this.
ifdef PKG_CONFIG_PATH
LIBRARIES := $(shell { echo '$(PKG_CONFIG_PATH)'; cat engine/*/package-lock.json scripts/engine; } | cksum | cut -d' ' -f1)
export CGO_CPPFLAGS += -DCALOTYPE_LIBRARIES_$(LIBRARIES)
endif

# The demo page, which the program embeds. Plain go build leaves it out and the page says so.
WEB = internal/pages/dist/index.html
WEB_SOURCES := $(shell find web -type f -not -path 'web/node_modules/*' -not -path 'web/dist/*')

GOTEST = CALOTYPE_BIN='$(CURDIR)/bin/calotype' scripts/with-postgres \
	.tools/bin/gotestsum --format pkgname -- -count=1 -timeout=60m

help: ## Print this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

run: ## Install what is missing, build and start the server: make run ARGS='-listen :8080'
	@scripts/setup run
	@$(MAKE) --no-print-directory build
	@exec bin/calotype serve $(ARGS)

# The binary is replaced in one step: another make may be running it.
build: $(WEB) $(ENGINE) ## Build bin/calotype
	@mkdir -p bin
	go build -ldflags '-X main.version=$(VERSION)' -o bin/new.$$$$ ./cmd/calotype && \
		mv -f bin/new.$$$$ bin/calotype

client: $(WEB) ## Build bin/calotype-client, without libvips and C: make client GOOS=darwin GOARCH=arm64
	@mkdir -p bin
	CGO_ENABLED=0 go build -ldflags '-X main.version=$(VERSION)' -o bin/new.$$$$ ./cmd/calotype && \
		mv -f bin/new.$$$$ bin/calotype-client

engine:
	@scripts/engine

env: $(ENGINE) ## Print what go build needs to find the libvips that make uses: eval "$(make env)"
	@echo "export VIPS='$(VIPS)' GOFLAGS='$(GOFLAGS)' CGO_CFLAGS='$(CGO_CFLAGS)' PKG_CONFIG_PATH='$(PKG_CONFIG_PATH)' CGO_CPPFLAGS='$(CGO_CPPFLAGS)'"

$(WEB): $(WEB_SOURCES)
	scripts/build-web

# Without a corpus and -count=1: what did not change is not run again. The files of the tests and of the linker are
# in memory where the system allows it, which takes a fifth less time.
quick: $(ENGINE) ## Run the quick unit tests, on SQLite: no kill -9, S3, browser, PostgreSQL or corpus
	@env -u CI -u CALOTYPE_CORPUS TMPDIR="$$(scripts/tmpdir)" go test -short $(TESTFLAGS) ./internal/... ./cmd/...

# All packages include the render workers on the system's libvips, which stays a choice, except the estimates of
# memory and damaged HEICs.
test: ## Install what is missing and run all tests, with a real PostgreSQL, S3 gateway and browser
	@scripts/setup test
	@$(MAKE) --no-print-directory build
	@[ $(VIPS) = system ] || scripts/heif || \
		{ [ "$(CI)" != true ] && echo "HEIC is tested with the libheif of the system"; }
ifeq ($(PACKAGES) $(VIPS),./... npm)
	@echo "the render workers on the system's libvips:"
	@env -u PKG_CONFIG_PATH -u CGO_CPPFLAGS VIPS=system $(GOTEST) $(TESTFLAGS) \
		-skip 'TestEstimatesHold|TestWhatIsTakenIsMade|TestDamagedHEIC' ./internal/render/...
endif
	@$(GOTEST) $(TESTFLAGS) $(PACKAGES)

# Not in make test: the build compiles all modules a second time, without cgo, which takes two minutes of CPU.
test-client: build client ## Test the client build, and the packages that know the database, without cgo
	@CGO_ENABLED=0 scripts/with-postgres go test -count=1 $(TESTFLAGS) ./internal/sqldb ./internal/backup
	@CALOTYPE_BIN='$(CURDIR)/bin/calotype' CALOTYPE_CLIENT_BIN='$(CURDIR)/bin/calotype-client' \
		go test -count=1 -timeout=60m $(TESTFLAGS) -run '^TestClient(Archives)?$$' ./e2e ./deploy

check: $(ENGINE) ## What a change must pass: gofmt, vet, staticcheck, govulncheck, tests with -race
	@scripts/setup test
	@echo gofmt; files=$$(find . -name '*.go' -not -path '*/node_modules/*' -exec gofmt -l {} +) && \
		if [ -n "$$files" ]; then echo "these files want gofmt -w:" $$files; exit 1; fi
	go vet $(PACKAGES)
	.tools/bin/staticcheck $(PACKAGES)
	@if curl -fs -m 20 -o /dev/null "$${GOVULNDB:-https://vuln.go.dev}/index/modules.json"; \
		then echo govulncheck; .tools/bin/govulncheck $(PACKAGES); \
		else echo "govulncheck is skipped: its database cannot be reached"; fi
	@$(MAKE) --no-print-directory build
	@$(GOTEST) -race $(TESTFLAGS) $(PACKAGES)

fuzz: $(ENGINE) ## Fuzz each parser for FUZZTIME (20s)
	@scripts/setup run
	@grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' cmd internal | sort | \
		sed 's|/[^/]*:func | |' | while read -r package name; do \
			echo "fuzzing $$name in $$package"; \
			go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "./$$package" || exit 1; \
		done

# The server that is measured differs from bin/calotype by profiles, which begin on a signal only.
bench: $(ENGINE) ## Measure speed and memory beside nginx, tusd, sharp and vipsthumbnail: make bench ARGS=-quick
	@scripts/setup bench
	@mkdir -p bin
	go build -tags profile -o bin/bench-calotype ./cmd/calotype
	cd bench/peers/tusd && go build -o ../../../bin/bench-tusd .
	go build -o bin/bench-pipeline ./bench/pipeline
	go build -o bin/bench ./bench
	@scripts/with-postgres bin/bench $(ARGS)

dist: $(WEB) ## Build archives, packages and client builds into dist/: make dist ARCH=amd64, arm64 or client for some
	@scripts/dist $(ARCH)

release: ## Check a release, test everything and build its archives: make release VERSION=0.1.0
	@scripts/release '$(VERSION)'

image: ## Build the container image calotype; see deploy/README.md
	scripts/dist $$(go env GOARCH)
	docker build --build-arg VERSION='$(VERSION:v%=%)' --build-arg TARGETARCH=$$(go env GOARCH) \
		-t calotype:'$(VERSION)' -t calotype:local .

clean: ## Remove what was built; .tools and data stay
	rm -rf bin dist web/dist internal/pages/dist/index.html internal/pages/dist/assets
