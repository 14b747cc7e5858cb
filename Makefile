# Development tasks.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
# Cargo features for this machine: empty, or `--features vendored`.
FEATURES = $(shell tools/cargo-features)
# Snapshots that differ fail a test. `INSTA_UPDATE=always make test-fast` writes them again.
export INSTA_UPDATE ?= no
.PHONY: run test test-fast torture lint bench bench-peers bench-decoders bench-growth soak deny fuzz clean

# A demonstration.
run:
	@exec tools/run-demo

# Every test, on real servers. Failed tests are listed again at the end. Tests wait for servers much of their time, so
# there are more at once than cores.
test:
	@tools/install-test-servers
	@mkdir -p .test; log=$$(mktemp .test/log.XXXXXX); status=0; \
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$((2 * $$(nproc)))} \
	    cargo test --locked --release $(FEATURES) --workspace --no-fail-fast | tee "$$log" || status=$$?; \
	failed=$$(sed -n 's/^test \(.*\) \.\.\. FAILED$$/    \1/p' "$$log" | sort -u); \
	rm -rf "$$log" .test/run; \
	if [ -n "$$failed" ]; then printf '\nfailed tests:\n%s\n' "$$failed"; fi; \
	exit "$$status"

# The tests that need no server, in less than 2 minutes once they are built.
test-fast:
	cargo test --locked --release $(FEATURES) --workspace --no-fail-fast --lib --bins --test mapping --test structure --test messages \
	    --test cli_snapshots --test fuzz_corpus --test registry

# Kills jobs much more often than `make test`, on MariaDB, MySQL and SQLite. Takes about half an hour.
torture:
	@tools/install-test-servers
	TRUCKFLOW_TORTURE=$${TRUCKFLOW_TORTURE:-200} tools/with-mysql \
	    cargo test --locked --release $(FEATURES) --test all -- --nocapture torture::

lint:
	cargo fmt --all --check
	cargo clippy --locked --release $(FEATURES) --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --release $(FEATURES) --workspace --no-deps

# Vulnerabilities, licences and sources of the dependencies (deny.toml).
deny:
	@cargo deny --version >/dev/null 2>&1 || { echo 'run `cargo install cargo-deny --locked` first'; exit 1; }
	cargo deny --locked check

# Fuzzes the code that reads untrusted bytes: 100 MB for each target, or BYTES. `make test` runs the corpus.
fuzz:
	@exec tools/fuzz

bench:
	cargo bench --locked $(FEATURES)

# Compares truckflow with other engines on the same input, in one table (benches/peers/README.md).
bench-peers:
	@tools/install-test-servers
	cargo build --locked --release $(FEATURES)
	@benches/peers/install || true # `run` lists those that are missing
	@exec benches/peers/run

# Compares the decoder with what libraries for JSON, CSV, Avro and Protobuf need for the same bytes, in one table.
bench-decoders:
	cargo run --locked --release --manifest-path benches/decoders/Cargo.toml

# Measures how the cost of a record grows, and draws docs/growth.svg.
bench-growth:
	@tools/install-test-servers
	cargo build --locked --release $(FEATURES)
	@exec benches/growth/run

# An hour of load, then an hour's backlog; writes docs/soak.md.
soak:
	@tools/install-test-servers
	cargo build --locked --release $(FEATURES)
	@exec benches/soak/run

clean:
	cargo clean
	rm -rf .test out
