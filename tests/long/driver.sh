#!/bin/sh
# Real drivers, of Debian's non-free section, in containers of runc: wherever they are mounted, libcuda is found and loads. Without a
# GPU cuInit answers 100, CUDA_ERROR_NO_DEVICE. `info` knows version and directory of each.
#   NVIDIA_CTK_BINARY=BINARY sh tests/long/driver.sh
# As root, on amd64; needs Debian's archive. BINARY is the release build of this tree by default.
set -eu
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin:$HOME/.cargo/bin"
cd "$(dirname "$0")/../.."
libraries=usr/lib/x86_64-linux-gnu

die() {
  printf 'driver: %s\n' "$*" >&2
  exit 1
}

skip() {
  echo "SKIPPED real drivers: $*"
  [ "${CI-}" != true ]
  exit
}

case ${1-} in
'')
  [ "$(id -u)" = 0 ] || die 'this test needs root'
  [ "$(uname -m)" = x86_64 ] || skip 'the packages are of amd64'
  sh tests/fixtures/install.sh mmdebstrap unshare=util-linux
  binary=${NVIDIA_CTK_BINARY-}
  if [ -z "$binary" ]; then
    cargo build --release --locked
    binary=${CARGO_TARGET_DIR:-target}/release/nvidia-ctk
  fi
  tmp=$(mktemp -d)
  trap 'rm -rf "$tmp"' EXIT
  trap 'exit 130' HUP INT PIPE TERM
  sh tests/fixtures/debian.sh make bookworm "$tmp/root" runc busybox-static gcc libc6-dev bash coreutils dash diffutils findutils gawk \
    grep libc-bin mount sed tar util-linux >"$tmp/log" 2>&1 || skip 'the packages of runc cannot be fetched'
  install -D "$binary" "$tmp/root/work/nvidia-cdi-hook"
  for suite in bookworm trixie; do
    COMPONENTS='main contrib non-free non-free-firmware' \
      sh tests/fixtures/debian.sh make "$suite" "$tmp/$suite" libcuda1 libnvidia-ml1 >"$tmp/log" 2>&1 ||
      skip "the driver of Debian $suite cannot be fetched"
    # Maintainer scripts have not run: the alternatives that lead to the driver's directory are missing, as they may be on a host.
    version=$(find "$tmp/$suite/$libraries" -name 'libcuda.so.*.*' -type f | sed 's/.*\.so\.//')
    [ -n "$version" ] || die "Debian $suite has no libcuda"
    "$binary" info --json --root "$tmp/$suite" >"$tmp/info"
    grep -qF "\"libraryVersion\":\"$version\"" "$tmp/info" || grep -qF "\"libraryVersion\": \"$version\"" "$tmp/info" ||
      die "info does not name $version: $(cat "$tmp/info")"
    mkdir -p "$tmp/root/work/driver/$version"
    find "$tmp/$suite/$libraries" -name "*.so.$version" -type f -exec cp {} "$tmp/root/work/driver/$version" \;
  done
  sh tests/fixtures/debian.sh run "$tmp/root" "$PWD" sh tests/fixtures/private.sh sh tests/long/driver.sh --inside
  exit
  ;;
--inside) ;;
*) die 'usage: sh tests/long/driver.sh' ;;
esac

# shellcheck source=tests/fixtures/bundle.sh
. tests/fixtures/bundle.sh
sh tests/fixtures/rootfs.sh /work/image

# mount_driver PLACE VERSION: as a directory of its own, or file by file as CDI specs do
mount_driver() {
  case $1 in
  directory) volume "/work/driver/$2" "$folder" ro ;;
  /*) for file in "/work/driver/$2"/*; do volume "$file" "$1/${file##*/}" ro; done ;;
  esac
}

for driver in /work/driver/*; do
  version=${driver##*/}
  for place in directory /usr/lib/x86_64-linux-gnu /usr/lib64 "/nix/store/0123-nvidia-x11-$version/lib" /usr/local/glibc/usr/lib; do
    new_bundle
    mount_driver "$place" "$version"
    hook create-symlinks
    hook update-ldcache --find-driver
    for name in libcuda.so.1 libcuda.so libnvidia-ml.so.1; do
      case $name in
      libcuda*) words='cuInit = 100' ;;
      *) words='but it has no cuInit' ;;
      esac
      start runc root "probe $name || true"
      shows "loaded $name, $words" || die "driver $version, $place: $name"
    done
    echo "driver $version, $place: ok"
  done
done
