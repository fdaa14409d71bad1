#!/bin/sh
# Runs all tests on a Debian or Ubuntu machine that has Rust and gcc, and installs the other programs that they need:
#   sh tests/run.sh [--long]
# The program that they run is the one that users get: packaging/build-release.sh makes it first, in a private root that stays in
# the target folder for the next time. Unit tests and doc tests are of the development build.
# With --long it goes on with the scripts of tests/long, which fetch more and take longer.
# Tests with containers need root. With CI=true in the environment a test that cannot run fails, unless what it is about is too
# old here; else it says SKIPPED.
set -u
case $#:${1-} in
0:) long= ;;
1:--long) long=yes ;;
*) echo 'usage: sh tests/run.sh [--long]' >&2; exit 2 ;;
esac
cd "$(dirname "$0")/.." || exit 1
PATH=$PATH:/usr/sbin:/sbin:$HOME/.cargo/bin

temp=$(mktemp -d) || exit 1
trap 'rm -rf "$temp"' EXIT
trap 'exit 130' HUP INT TERM
: >"$temp/log"
failed=''

# part NAME COMMAND...: runs it, shows and keeps what it says, notes how long it took
part() {
  name=$1
  shift
  printf '\n== %s: %s\n' "$name" "$*"
  start=$(date +%s)
  { "$@" 2>&1; echo $? >"$temp/code"; } | tee -a "$temp/log"
  result=ok
  [ "$(cat "$temp/code")" = 0 ] || { result=FAILED; failed="$failed $name"; }
  printf '%-10s %4d s  %s\n' "$name" $(($(date +%s) - start)) "$result" >>"$temp/summary"
  [ "$result" = ok ]
}

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
binary=$target/dist/nvidia-ctk-$(uname -m)-unknown-linux-musl
export RELEASE_ROOT="${RELEASE_ROOT:-$target/release-root}"

# The packages, which only --long builds, say what is linked in.
describe() { [ -z "$long" ] || sh tests/fixtures/cyclonedx.sh; }

part packages sh tests/fixtures/install.sh gcc jq mmdebstrap tar zstd ldconfig=libc-bin runc crun podman containerd dockerd=docker.io strace script=bsdutils busybox=busybox-static unshare=util-linux mount mandoc groff &&
  part describe describe &&
  part release packaging/build-release.sh ${long:+--with-sbom} "$binary" && {
  NVIDIA_CTK_BINARY=$binary
  NVIDIA_CTK_SHA256=$(awk -v file="$binary" '$2 == file { print $1 }' "$temp/log")
  export NVIDIA_CTK_BINARY NVIDIA_CTK_SHA256 RUST_BACKTRACE=1
  part tests cargo test --locked
  part cdi-reader tests/cdi-reader/run.sh tests/fixtures/cdi
  part demo sh packaging/demo.sh
  if [ -n "$long" ]; then
    export CDI_ROOTS="${CDI_ROOTS:-$temp/roots}" # fetched once for all
    for script in tests/long/*.sh; do part "$(basename "$script" .sh)" sh "$script"; done
  fi
}

# Tests say how many hostile images and states they try, each of them another one.
cases=$(grep -o 'hostile cases: [0-9]*' "$temp/log" | awk '{ sum += $3 } END { print sum + 0 }')

printf '\n== summary\n'
cat "$temp/summary"
printf 'hostile cases: %d\n' "$cases"
[ "$cases" -ge 200 ] || failed="$failed hostile-cases"
if grep -o 'SKIPPED .*' "$temp/log" >"$temp/skipped"; then
  printf '\nThese could not run here:\n'
  cat "$temp/skipped"
fi
if [ -n "$failed" ]; then
  printf '\nFAILED:%s\n' "$failed"
  exit 1
fi
printf '\nOK\n'
