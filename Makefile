# Newcomers need `make demo` and `make test`; `make help` lists the rest.

ARCH    := $(if $(filter aarch64,$(shell uname -m)),arm64,x64)
NODE    := node_modules/node-linux-$(ARCH)/bin/node
TRIPLE  := $(shell rustc -vV | sed -n 's/^host: //p')
RELEASE := native/target/$(TRIPLE)/release
# Everything that mounts runs in its own mount and pid namespace, so that nothing outlives it.
ISOLATED := unshare --mount --propagation private --pid --fork --kill-child --mount-proc

PROTO  := $(wildcard proto/*.proto)
SRC    := $(shell find src -name '*.ts' -not -path '*/generated/*')
# Milliseconds after which a hanging test file fails.
TIMEOUT := 120000
FUZZ_SECONDS := 60
# Debian packages to build the test clients with.
DEBIAN := gcc libc6-dev iproute2 clang libbpf-dev libelf-dev zlib1g-dev libzstd-dev

# What the page of `kubectl bpffs graph` runs in the browser.
GRAPH := src/kubectl/graph/generated/page.json

NATIVE := $(shell find native/src native/examples -name '*.rs') native/Cargo.toml native/Cargo.lock native/build.rs

say = @printf '\033[1m==> %s\033[0m\n' "$(1)"

.PHONY: help
help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

.PHONY: build
build: dist/csi-driver-bpffs.cjs dist/bpffs-pinner dist/bpffs-delegate ## Build the node plugin and the pinner into dist/

.PHONY: kubectl
kubectl: dist/csi-driver-bpffs.cjs ## Build the kubectl plugin into dist/kubectl/, as a single executable
	$(NODE) scripts/kubectl-plugin.ts

.PHONY: kubectl-all
kubectl-all: dist/csi-driver-bpffs.cjs ## Build archives of the kubectl plugin for every platform, and krew's manifest
	$(NODE) scripts/kubectl-plugin.ts --all
	$(NODE) scripts/kubectl-archives.ts

.PHONY: kubectl-archives
kubectl-archives: $(NODE) ## Make only the archives and krew's manifest, of what kubectl-all has built
	$(NODE) scripts/kubectl-archives.ts

.PHONY: demo
demo: build dist/map ## Publish real maps to two pods on this machine and show what each may do
	@bin/csi-driver-bpffs demo

.PHONY: doctor
doctor: build ## Check what this node can do
	@bin/csi-driver-bpffs doctor

.PHONY: test
test: lint test-unit test-kernel test-conformance test-integration ## Run all tests but the long ones

.PHONY: lint
lint: $(NODE) src/rpc/generated/csi.json $(GRAPH) test/tools/bin/actionlint
	$(call say,Checking style and types)
	npx --no-install biome check --error-on-warnings .
	npx --no-install tsc --noEmit -p .
	npx --no-install tsc --noEmit -p src/kubectl/graph/browser
	cd native && cargo fmt --check && cargo fmt --check --manifest-path fuzz/Cargo.toml
	cd native && cargo clippy --locked --all-targets -- -D warnings
	cd test && test -z "$$(gofmt -l . | tee /dev/stderr)" && go vet ./...
	test/tools/bin/actionlint -shellcheck= -pyflakes= .github/workflows/*.yml

.PHONY: test-unit
test-unit: $(NODE) dist/csi-driver-bpffs.cjs $(GRAPH)
	$(call say,Testing TypeScript and the node plugin)
	$(NODE) --test --test-timeout=$(TIMEOUT) 'src/**/*.test.ts' 'test/node-plugin/**/*.test.ts' 'test/controller/**/*.test.ts' 'test/release/**/*.test.ts' 'test/bench/**/*.test.ts'

.PHONY: test-kernel
test-kernel:
	$(call say,Testing the pinner against this kernel)
	cd native && cargo test --locked

.PHONY: test-conformance
test-conformance:
	$(call say,Holding the .proto files against the official ones)
	cd test && go test -count=1 ./...

.PHONY: test-integration
test-integration: build dist/map clients test/conformance/bin/csi-sanity
	$(call say,Testing both services together)
	$(ISOLATED) $(NODE) --test --test-timeout=$(TIMEOUT) 'test/integration/**/*.test.ts'

.PHONY: e2e
e2e: test-apiserver test-deploy clients kubectl ## Test all of it in a real cluster on this machine, installed from chart and image
	$(call say,Testing in a cluster)
	$(NODE) --test --test-concurrency=1 --test-timeout=1200000 --test-global-setup=test/e2e/setup.ts 'test/e2e/**/*.test.ts'

.PHONY: cluster
cluster: $(NODE)
	$(call say,Building the parts of a cluster (some minutes the first time))
	test/cluster/build.sh

.PHONY: test-apiserver
test-apiserver: cluster dist/csi-driver-bpffs.cjs ## Test what speaks to the API server, against a real one
	$(call say,Testing against an API server)
	$(ISOLATED) $(NODE) --test --test-timeout=600000 'test/apiserver/**/*.test.ts' 'test/kubectl/**/*.test.ts'

.PHONY: test-deploy
test-deploy: cluster image dist/map test/deploy/bin/helm test/deploy/bin/prometheus ## Test chart, image, seccomp profile and admission policies, and the cluster that they are installed in
	$(call say,Testing what is deployed)
	$(ISOLATED) $(NODE) --test --test-timeout=600000 'test/deploy/**/*.test.ts' test/cluster/cluster.test.ts

.PHONY: image
image: build dist/map ## Build the container image into test/deploy/bin/image.tar, without pulling any
	$(call say,Building the image)
	test/deploy/build-image.sh

.PHONY: manifests
manifests: $(NODE) test/deploy/bin/helm ## Render deploy/csi-driver-bpffs.yaml, and make the chart's README, the SELinux modules and the seccomp profiles
	$(NODE) test/deploy/write-manifest.ts
	$(NODE) test/deploy/write-chart-readme.ts
	$(NODE) test/deploy/write-selinux-modules.ts
	cd deploy/seccomp/generate && for whose in consumer loader; do \
		profile=$$(go run . $$whose) && printf '%s\n' "$$profile" >../bpf-$$whose.json || exit; \
	done
	npx --no-install biome format --write deploy/seccomp

.PHONY: set-version
set-version: $(NODE) test/deploy/bin/helm ## Write VERSION wherever the version is, except in CHANGELOG.md
	$(NODE) scripts/set-version.ts $(VERSION)
	$(NODE) test/deploy/write-manifest.ts

.PHONY: release-files
release-files: $(NODE) test/deploy/bin/helm ## Check that this version can be released, and put its chart, manifest and notes into dist/release/
	$(call say,Making the files of a release)
	rm -rf dist/release && mkdir -p dist/release
	version=$$($(NODE) scripts/check-version.ts) && $(NODE) scripts/release-notes.ts $$version >dist/release/notes.md
	test/deploy/bin/helm package deploy/chart --destination dist/release
	cp deploy/csi-driver-bpffs.yaml dist/release/

# Real clients, built with the libraries that people use.
.PHONY: clients
clients: debian-packages
	$(call say,Building the clients that people use)
	cd test && CGO_ENABLED=0 go build -o clients/cilium/bin/ ./clients/cilium
	cd test && CGO_ENABLED=0 go build -o clients/example/bin/ ./clients/example/...
	cd test && CGO_ENABLED=0 go build -o clients/afxdp/bin/ ./clients/afxdp/...
	cd test && CGO_ENABLED=0 go build -o clients/counter/bin/counter-cilium ./clients/counter/cilium
	$(MAKE) --no-print-directory -C test/clients/libbpf
	$(MAKE) --no-print-directory -C test/clients/counter
	test/clients/debian/fetch.sh
	cargo build --release --locked --manifest-path test/clients/aya/Cargo.toml

.PHONY: debian-packages
debian-packages:
	@dpkg-query --show $(DEBIAN) >/dev/null 2>&1 && [ -n "$$(find /var/lib/apt/lists -name '*Packages*' -print -quit)" ] \
	|| { apt-get update -qq && apt-get install --yes -qq --no-install-recommends $(DEBIAN); }

.PHONY: test-faults
test-faults: build ## Publish 10,000 times while both processes are killed at random
	$(call say,Killing both processes again and again)
	$(ISOLATED) $(NODE) --test --test-timeout=1800000 'test/faults/**/*.test.ts'

.PHONY: soak
soak: build dist/map ## Let everything happen at once for SOAK_MINUTES (10), and see that nothing stays or grows
	$(call say,Soaking)
	$(ISOLATED) $(NODE) --test --test-timeout=21600000 'test/soak/**/*.test.ts'

.PHONY: test-kernels
test-kernels: ## Test the pinner against older and newer kernels, in virtual machines
	@$(MAKE) --no-print-directory debian-packages DEBIAN='qemu-system-x86 busybox-static secilc'
	$(call say,Testing the pinner against other kernels)
	cd native && cargo test --locked --release --test kernel \
		--config 'target.$(TRIPLE).runner = ["$(CURDIR)/test/kernels/run.sh"]' -- --test-threads=2

.PHONY: test-graph
test-graph: $(GRAPH) ## Test the page of kubectl bpffs graph in Chromium
	@$(MAKE) --no-print-directory debian-packages DEBIAN='chromium fonts-dejavu-core'
	$(call say,Testing in a browser)
	$(NODE) --test --test-timeout=$(TIMEOUT) 'test/graph/**/*.test.ts'

.PHONY: fuzz
fuzz: test/tools/bin/cargo-fuzz ## Fuzz what the pinner parses, FUZZ_SECONDS (60) for each
	$(call say,Fuzzing what the pinner parses)
	cd native && for target in request mount_table path; do \
		mkdir -p fuzz/corpus/$$target \
		&& $(CURDIR)/$< run --sanitizer none $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=4096 -print_final_stats=1 -verbosity=0 || exit 1; done

.PHONY: deny
deny: test/tools/bin/cargo-deny ## Check licences, versions and sources of what the pinner is built from
	$(call say,Checking what the pinner is built from)
	cd native && $(CURDIR)/$< check bans licenses sources

.PHONY: bench
bench: build ## Measure publish and unpublish, memory and start-up, and write docs/scale.md
	$(call say,Building the load client)
	cd test && go build -o bench/bin/load ./bench/load
	cd native && cargo bench --locked --no-run
	FLOOR_DIRECTORY=$(RELEASE)/deps $(ISOLATED) $(NODE) test/bench/bench.ts $(BENCH)

.PHONY: bench-peers
bench-peers: DEBIAN := gcc libc6-dev clang libbpf-dev libssl-dev pkg-config
bench-peers: build debian-packages test/tools/bin/bpfman-rpc ## Measure publish and unpublish beside other drivers, and write docs/scale.md
	$(call say,Building the load client and the other drivers)
	cd test && go build -o bench/bin/ ./bench/load ./bench/bind
	$(MAKE) --no-print-directory -C test/bench/peers
	$(ISOLATED) $(NODE) test/bench/peers/bench-peers.ts $(BENCH)

.PHONY: bench-cluster
bench-cluster: cluster dist/csi-driver-bpffs.cjs ## Measure what BENCH_NODES (1,10,100) nodes cost the API server, and write docs/scale.md
	$(call say,Measuring what nodes cost the API server)
	$(ISOLATED) $(NODE) test/bench/cluster/bench-cluster.ts

.PHONY: bench-running
bench-running: cluster image dist/map test/deploy/bin/helm ## Measure how long BENCH_PODS (100) pods take to run, in a real cluster, and write docs/scale.md
	$(call say,Building the least of a CSI driver)
	cd test && CGO_ENABLED=0 go build -o bench/bin/bind ./bench/bind
	$(call say,Measuring how long pods take to run)
	$(NODE) test/bench/running/bench-running.ts

.PHONY: format
format: $(NODE) ## Format everything
	npx --no-install biome check --write .
	cd native && cargo fmt && cargo fmt --manifest-path fuzz/Cargo.toml
	gofmt -w test

.PHONY: clean
clean: ## Remove what was built
	rm -rf dist node_modules src/rpc/generated src/kubectl/graph/generated native/target test/clients/aya/target test/bench/bin test/clients/*/bin

test/tools/bin/cargo-fuzz: VERSION := 0.13.2
test/tools/bin/cargo-deny: VERSION := 0.20.2
test/tools/bin/cargo-%:
	$(call say,Building $(@F) (some minutes the first time))
	cargo install --quiet --locked --root test/tools --version $(VERSION) $(@F)

# Crate bpfman is the client that loads programs; one build directory, because the two have nearly the same dependencies. clang finds
# asm/types.h for BPF only if told where.
test/tools/bin/bpfman-rpc:
	$(call say,Building bpfman (some minutes the first time))
	for crate in bpfman bpfman-api; do \
		CARGO_TARGET_DIR=$(CURDIR)/test/tools/target C_INCLUDE_PATH=/usr/include/$$($(CC) -print-multiarch) \
		cargo install --quiet --locked --root test/tools --version 0.6.0 $$crate || exit; done
	rm -rf test/tools/target

test/tools/bin/actionlint:
	$(call say,Building actionlint)
	GOBIN=$(CURDIR)/$(@D) CGO_ENABLED=0 go install -trimpath -ldflags='-s -w' github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

test/deploy/bin/prometheus: test/deploy/prometheus.sh
	$<
	@touch $@

test/deploy/bin/helm:
	$(call say,Building helm (some minutes the first time))
	GOBIN=$(CURDIR)/$(@D) CGO_ENABLED=0 go install -trimpath -ldflags='-s -w' helm.sh/helm/v4/cmd/helm@v4.3.1

test/conformance/bin/csi-sanity:
	$(call say,Building csi-sanity)
	GOBIN=$(CURDIR)/$(@D) go install github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity@v5.6.0

$(NODE): package.json package-lock.json
	$(call say,Installing npm packages)
	npm ci --ignore-scripts --no-fund --no-audit --loglevel=error
	@touch $@

src/rpc/generated/csi.json: $(NODE) $(PROTO) scripts/generate.ts src/rpc/proto-options.ts
	$(call say,Generating descriptors and types from proto/)
	rm -rf $(@D) && $(NODE) scripts/generate.ts
	@touch $@

$(GRAPH): $(NODE) $(wildcard src/kubectl/graph/browser/*) src/kubectl/graph/graph.ts scripts/graph-page.ts
	$(call say,Bundling the page of kubectl bpffs graph)
	$(NODE) scripts/graph-page.ts
	@touch $@

# Makes dist/kubectl/kubectl-bpffs.cjs, too.
dist/csi-driver-bpffs.cjs: src/rpc/generated/csi.json $(GRAPH) $(SRC) scripts/build.ts scripts/client-node.ts scripts/proto-loader.ts scripts/warm.ts bin/csi-driver-bpffs
	$(call say,Bundling the node plugin)
	$(NODE) scripts/build.ts
	rm -rf dist/compile-cache && $(NODE) scripts/warm.ts && chmod -R a+rX dist/compile-cache
	@touch $@

dist/bpffs-pinner: $(NATIVE) $(PROTO)
	$(call say,Compiling the pinner (some minutes the first time))
	cd native && cargo build --locked --release
	@mkdir -p dist && install $(RELEASE)/bpffs-pinner $@

# The helper of pods with a delegation, which the same command compiles.
dist/bpffs-delegate: dist/bpffs-pinner
	install $(RELEASE)/bpffs-delegate $@

dist/map: $(NATIVE)
	$(call say,Compiling the example program of a pod)
	cd native && cargo build --locked --release --example map
	@mkdir -p dist && install $(RELEASE)/examples/map $@
