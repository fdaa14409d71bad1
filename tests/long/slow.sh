#!/bin/sh
# What takes its time: a search for libraries that ends after a minute.
#   NVIDIA_CTK_BINARY=BINARY sh tests/long/slow.sh
# As root. BINARY is the development build of this tree by default.
set -eu
cd "$(dirname "$0")/../.."
PATH=$PATH:$HOME/.cargo/bin
cargo test --locked --test suite watchdog:: -- --ignored
