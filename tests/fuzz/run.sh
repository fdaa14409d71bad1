#!/usr/bin/env bash
# Feeds damaged input to whole hooks, for twice as many SECONDS, and to everything that reads what others wrote, SECONDS for each
# target, and stops at the first finding:
#   tests/fuzz/run.sh SECONDS
# Of whole hooks, the seed of a finding is told, and runs again with FUZZ_SEED=SEED cargo test --test suite random_roots::.
# One of a target lies in tests/fuzz/artifacts/TARGET; once more with it:
#   RUSTC_WRAPPER= cargo +nightly fuzz run --fuzz-dir tests/fuzz TARGET FILE
set -euo pipefail
seconds=${1:?"usage: tests/fuzz/run.sh SECONDS"}
cd "$(dirname "$0")/../.."
export PATH=$PATH:$HOME/.cargo/bin

printf '\n== whole hooks: %s s\n' $((2 * seconds))
FUZZ_SECONDS=$((2 * seconds)) cargo test --locked --test suite random_roots::

cargo +nightly --version >/dev/null || { echo 'a nightly toolchain is needed: rustup toolchain install nightly' >&2; exit 1; }
# Built outside of this folder, whose settings would link it statically; cargo keeps it for the next time.
command -v cargo-fuzz >/dev/null || (cd / && cargo install cargo-fuzz --version 0.13.2 --locked)
# The sanitizers need a dynamic libc, so this folder's settings do not hold here, either.
export RUSTC_WRAPPER=
# The program's own versions of everything; cargo adds those of the fuzzer.
cp Cargo.lock tests/fuzz/Cargo.lock
cargo +nightly fuzz build --fuzz-dir tests/fuzz
for target in $(cargo +nightly fuzz list --fuzz-dir tests/fuzz); do
  printf '\n== %s: %s s\n' "$target" "$seconds"
  cargo +nightly fuzz run --fuzz-dir tests/fuzz "$target" -- -max_total_time="$seconds" -timeout=10 -print_final_stats=1
done
