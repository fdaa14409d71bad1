#!/bin/sh
# The tests with containers and engines once more, with the runtimes and engines of newer Debian releases in roots of these.
set -u
cd "$(dirname "$0")/../.." || exit 1
PATH=$PATH:/usr/sbin:/sbin:$HOME/.cargo/bin
if [ "$(id -u)" != 0 ]; then
  echo 'SKIPPED engines of newer releases: only root may'
  [ "${CI-}" != true ]
  exit
fi
sh tests/fixtures/install.sh mmdebstrap unshare=util-linux || exit 1
temp=$(mktemp -d) || exit 1
trap 'rm -rf "$temp"' EXIT
trap 'exit 130' HUP INT TERM

# The program of the tests is linked statically: it is the same everywhere.
cargo test --locked --no-run --test suite --message-format=json >"$temp/build" || exit 1
tests=$(sed -n 's/.*"executable":"\([^"]*\/deps\/[^"]*\)".*/\1/p' "$temp/build" | sort -u)
[ -x "$tests" ] || { printf 'cargo names other tests than expected:\n%s\n' "$tests"; exit 1; }
target=$(dirname "$(dirname "$(dirname "$tests")")")

packages='runc crun podman containerd docker.io docker-cli busybox-static gcc libc6-dev
  bash bsdutils coreutils dash diffutils findutils gawk grep libc-bin mount sed tar util-linux'
result=0
for suite in trixie sid; do
  printf '\n-- Debian %s\n' "$suite"
  root=$temp/$suite
  # shellcheck disable=SC2086 # a list
  if ! sh tests/fixtures/debian.sh make "$suite" "$root" $packages >"$temp/log" 2>&1; then
    tail -n 5 "$temp/log"
    echo "SKIPPED engines of Debian $suite: its packages cannot be fetched"
    continue
  fi
  # shellcheck disable=SC2016 # for the inner shell
  sh tests/fixtures/debian.sh run "$root" "$PWD" sh -euc '
    for program in runc crun podman containerd dockerd; do echo "$program: $("$program" --version | head -n 1)"; done' || result=1
  # A test that cannot run fails there, as all that it needs is there.
  sh tests/fixtures/debian.sh run "$root" "$PWD:$target" env CI=true "$tests" runtimes:: configure:: cdi_specs:: shim::engines:: || result=1
  rm -rf "$root"
done
exit $result
