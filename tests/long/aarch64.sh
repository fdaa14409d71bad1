#!/bin/sh
# The black-box suite on the release build for aarch64, which this x86_64 machine runs in qemu-user. What is left out is in the
# list below, with the reason.
#   sh tests/long/aarch64.sh [BINARY]
# As root; needs Debian's archive. BINARY is built by default. Some 12 minutes on two processors, 3 of them for the build.
set -eu
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin:$HOME/.cargo/bin"
cd "$(dirname "$0")/../.."
target=aarch64-unknown-linux-musl
# The kernel starts qemu for each program of aarch64 while this is registered: under its name, in whatever root it is.
handlers=/proc/sys/fs/binfmt_misc
handler=nvidia-ctk-aarch64
magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'

die() {
  printf 'aarch64: %s\n' "$*" >&2
  exit 1
}

skip() {
  echo "SKIPPED aarch64 under qemu-user: $*"
  [ "${CI-}" != true ]
  exit
}

# Tests that cannot pass under qemu-user 7.2, of Debian 12, each with the reason.
left_out() {
  cat <<'LIST'
binary::a_panic_says_why qemu itself does not start without random numbers
faults::a_root_that_cannot_be_read_at_all_is_a_warning qemu lacks openat2, whose failure is the fault
faults::no_lookup_fails_in_silence qemu lacks openat2, whose failure is the fault
mounts::links::only_for_a_cache_of_others_a_hook_keeps_the_right_to_mount qemu lacks Landlock, whose call is looked for
mounts::no_link_decides_what_a_hook_may_mount qemu lacks Landlock, whose call is looked for
mounts::only_while_a_container_is_made_its_own_libraries_are_opened_at_once qemu lacks openat2, whose calls are looked for
old_kernels::the_calls_are_made_where_they_are_there qemu lacks openat2, Landlock and the mount calls since Linux 5.2
shim::forward::closed_standard_input qemu has the program's file open in place of a closed standard input
shim::forward::few_system_calls strace shows the calls of qemu
shim::forward::few_system_calls_for_a_container_without_a_request strace shows the calls of qemu
shim::forward::signals qemu handles the deadly signals, so that its program cannot pass on that they are ignored
shim::low_level::never_itself stat of /proc/self/exe leads to qemu
trace::a_container_without_a_gpu_costs_few_calls strace shows the calls of qemu
trace::a_hook_is_one_process_that_goes_by_descriptors strace shows the calls of qemu
trace::threads_are_for_many_libraries_only strace shows the threads of qemu
unread::a_directory_that_cannot_be_opened_is_named qemu lacks openat2, whose failure is the fault
unread::a_link_to_what_cannot_be_read_stays qemu lacks openat2, whose failure is the fault
unread::no_failing_lookup_is_passed_over_in_silence qemu lacks openat2, whose failure is the fault
unread::the_cache_keeps_what_it_had_of_what_cannot_be_read qemu lacks openat2, whose failure is the fault
unread::what_was_kept_is_where_it_was qemu lacks openat2, whose failure is the fault
LIST
}

with_statx='faults::a_full_or_broken_disk_is_a_warning_and_the_old_file_stays faults::a_hook_killed_at_any_moment_loses_nothing
  hosts::without_proc_it_is_told_what_is_missing watchdog::a_root_that_never_answers_is_an_error
  watchdog::a_volume_whose_server_is_stopped_is_the_end_of_the_hook'

case ${1-} in
--inside) ;;
-*) die 'usage: sh tests/long/aarch64.sh [BINARY]' ;;
*)
  [ "$(uname -m)" = x86_64 ] || skip 'this machine is not of x86_64; on aarch64 tests/run.sh tests that build'
  [ "$(id -u)" = 0 ] || skip 'only root may register qemu'
  sh tests/fixtures/install.sh qemu-aarch64-static=qemu-user-static mmdebstrap unshare=util-linux gcc strace runc crun podman
  binary=${1-}
  if [ -z "$binary" ]; then
    binary=$(realpath -m "${CARGO_TARGET_DIR:-target}/dist/nvidia-ctk-$target")
    # The installed standard library, if there is one, wants a linker for aarch64.
    RELEASE_STD=source packaging/build-release.sh --target "$target" "$binary"
  fi
  exec unshare --mount --propagation private sh "$0" --inside "$binary"
  ;;
esac

binary=$2
qemu=$(command -v qemu-aarch64-static)
version=$("$qemu" --version | sed -n 's/^qemu-aarch64 version \([^ ]*\).*/\1/p')
tmp=$(mktemp -d)
# Before Linux 6.7 a registration outlives the mount.
trap 'echo -1 2>/dev/null >"$handlers/$handler"; rm -rf "$tmp"' EXIT
trap 'exit 130' HUP INT PIPE TERM
mount -t binfmt_misc binfmt_misc "$handlers" || skip 'binfmt_misc cannot be mounted'
[ ! -e "$handlers/$handler" ] || echo -1 >"$handlers/$handler"
printf '%s' ":$handler:M::$magic:$mask:$qemu:OCPF" >"$handlers/register"
"$binary" --version || die "$binary does not run"

# The kernel says that qemu runs.
NVIDIA_CTK_BINARY=$binary
NVIDIA_CTK_EMULATOR=$qemu
NVIDIA_CTK_SHA256=$(sha256sum <"$qemu" | cut -d ' ' -f 1)
export NVIDIA_CTK_BINARY NVIDIA_CTK_EMULATOR NVIDIA_CTK_SHA256

cargo test --locked --test suite -- --list >"$tmp/tests"
left_out >"$tmp/left-out"
set --
while read -r test reason; do
  grep -qxF "$test: test" "$tmp/tests" || die "there is no test $test to leave out"
  printf 'left out: %s: %s\n' "$test" "$reason"
  set -- "$@" --skip "$test"
done <"$tmp/left-out"

# run OPTION...: the suite, behind the words in $before, with these options of it. Adds the number of tests that passed.
ran=0
start=$(date +%s)
run() {
  # A descriptor of the caller's, such as that of a lock, would leave none to qemu where a test allows few.
  # shellcheck disable=SC2086 # a list
  if ! $before cargo test --locked --test suite -- --exact "$@" >"$tmp/log" 2>&1 3>&-; then
    cat "$tmp/log"
    die "failed after $(($(date +%s) - start)) s"
  fi
  grep '^SKIPPED' "$tmp/log" || :
  passed=$(sed -n 's/^test result: ok\. \([0-9]*\) passed; 0 failed; .*/\1/p' "$tmp/log")
  [ "${passed:-0}" -gt 0 ] || die 'no test ran'
  ran=$((ran + passed))
}

# qemu drops the number of the mount from the answer of statx(2), and leaves the bit that says it is there. Without the call the
# binary reads it in /proc. A few tests need the call: where /proc is missing, or a file system does not answer, or under strace.
gcc -O1 -Wall -static -o "$tmp/without" tests/fixtures/without.c
for test in $with_statx; do
  grep -qxF "$test: test" "$tmp/tests" || die "there is no test $test"
  set -- "$@" --skip "$test"
done
before="$tmp/without statx --"
run "$@"
before=
# shellcheck disable=SC2086 # a list
run $with_statx
echo "qemu-aarch64 $version: $ran tests passed, $(wc -l <"$tmp/left-out") are left out, $(($(date +%s) - start)) s"
echo OK
