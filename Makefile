# What one does here, one word each.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.PHONY: run test lint bench clean

# A demonstration.
run:
	@exec tools/run-demo

# Every test, on real servers; the failed ones are named again at the end.
test:
	@tools/install-test-servers
	@mkdir -p .test; log=$$(mktemp .test/log.XXXXXX); status=0; \
	cargo test --locked --release --workspace --no-fail-fast | tee "$$log" || status=$$?; \
	failed=$$(sed -n 's/^test \(.*\) \.\.\. FAILED$$/    \1/p' "$$log" | sort -u); \
	rm -rf "$$log" .test/run; \
	if [ -n "$$failed" ]; then printf '\nfailed tests:\n%s\n' "$$failed"; fi; \
	exit "$$status"

lint:
	cargo fmt --all --check
	cargo clippy --locked --release --workspace --all-targets -- -D warnings

bench:
	cargo bench

clean:
	cargo clean
	rm -rf .test out
