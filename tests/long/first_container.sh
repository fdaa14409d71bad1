#!/bin/sh
# From nothing to a GPU container, as README has it: a Debian with NVIDIA's driver, an engine and our package, and nothing else of
# NVIDIA's. The commands give containers in which the real libcuda loads. There is no GPU: /proc and /dev say that there are two, and
# cuInit answers 100, CUDA_ERROR_NO_DEVICE.
#   NVIDIA_CTK_BINARY=BINARY sh tests/long/first_container.sh
# As root, on amd64; needs Debian's archive. BINARY is the release build of this tree by default. CDI_ROOTS is a folder that keeps
# what is fetched.
set -eu
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin:$HOME/.cargo/bin"
cd "$(dirname "$0")/../.."

die() {
  printf 'first_container: %s\n' "$*" >&2
  exit 1
}

skip() {
  echo "SKIPPED the first GPU container: $*"
  [ "${CI-}" != true ]
  exit
}

case ${1-} in
'')
  [ "$(id -u)" = 0 ] || die 'this test needs root'
  [ "$(uname -m)" = x86_64 ] || skip 'the packages are of amd64'
  sh tests/fixtures/install.sh mmdebstrap rpm rpm2cpio=rpm cpio gcc unshare=util-linux dpkg-deb=dpkg jq
  binary=${NVIDIA_CTK_BINARY-}
  if [ -z "$binary" ]; then
    sh tests/fixtures/cyclonedx.sh
    binary=$(realpath -m "${CARGO_TARGET_DIR:-target}")/dist/nvidia-ctk
    RELEASE_STD=source packaging/build-release.sh "$binary"
  fi
  tmp=$(mktemp -d)
  trap 'rm -rf "$tmp"' EXIT
  trap 'exit 130' HUP INT PIPE TERM
  roots=${CDI_ROOTS:-$tmp/roots}
  mkdir -p "$roots"
  # make NAME PACKAGE...
  make() {
    name=$1
    shift
    [ ! -d "$roots/$name" ] || return 0
    rm -rf "$roots/$name.part"
    sh tests/fixtures/debian.sh make sid "$roots/$name.part" "$@" >"$tmp/log" 2>&1 || { cat "$tmp/log" && skip "$name cannot be fetched"; }
    mv "$roots/$name.part" "$roots/$name"
  }
  VARIANT=minbase COMPONENTS='main contrib non-free non-free-firmware' make node podman crun runc docker.io docker-cli containerd libcuda1 \
    libnvidia-ml1 libnvidia-ptxjitcompiler1 nvidia-smi
  make image bash coreutils libc-bin dash grep
  cp -a "$roots/node" "$tmp/node"
  packaging/build-packages.sh "$binary" "$tmp/packages" >/dev/null 2>&1
  cp "$tmp/packages"/nvidia-ctk_*.deb "$tmp/node/"
  chroot "$tmp/node" sh -c 'dpkg -i /nvidia-ctk_*.deb >/dev/null'
  mkdir "$tmp/node/image"
  cp -a "$roots/image/." "$tmp/node/image/"
  gcc -O1 -Wall -Wextra -Werror -o "$tmp/node/image/usr/bin/load" tests/fixtures/load.c
  timeout 600 sh tests/fixtures/debian.sh run "$tmp/node" "$PWD" sh tests/fixtures/private.sh sh tests/long/first_container.sh --inside
  exit
  ;;
--inside) ;;
*) die 'usage: sh tests/long/first_container.sh' ;;
esac

# --- in the Debian ----------------------------------------------------------------------------------------------------------

cd /
version=$(find /usr/lib -name 'libcuda.so.*.*' -type f | sed 's/.*\.so\.//')
[ -n "$version" ] || die 'there is no libcuda'
[ ! -e /usr/bin/nvidia-container-cli ] || die 'there is more of NVIDIA than the driver'

# Two GPUs.
driver=/tmp/driver
mkdir -p $driver/nvidia/capabilities
echo "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  $version  Release Build  (a@b)" >$driver/nvidia/version
printf 'Character devices:\n  1 mem\n195 nvidia\n195 nvidiactl\n508 nvidia-uvm\n\nBlock devices:\n' >/tmp/devices
for minor in 0 1; do
  address=0000:0$((minor + 1)):00.0
  mkdir -p "$driver/nvidia/gpus/$address"
  printf 'Model: NVIDIA L4\nGPU UUID: GPU-%08d-1111-4111-8111-111111111111\nBus Location: %s\nDevice Minor: %d\n' \
    "$minor" "$address" "$minor" >"$driver/nvidia/gpus/$address/information"
  mknod -m 666 /dev/nvidia$minor c 195 $minor
done
mknod -m 666 /dev/nvidiactl c 195 255
mknod -m 666 /dev/nvidia-uvm c 508 0
mount --bind $driver /proc/driver
mount --bind /tmp/devices /proc/devices

# The service's command.
nvidia-ctk cdi generate --watch=1 --output /run/cdi/nvidia.yaml &
watcher=$!
for _ in $(seq 100); do [ ! -e /run/cdi/nvidia.yaml ] && sleep 0.1; done
nvidia-ctk cdi list
nvidia-ctk cdi check || die 'the spec does not fit this host'
nvidia-ctk doctor --json >/tmp/doctor || { cat /tmp/doctor && [ "$(grep -c '"severity": "error"' /tmp/doctor)" = 0 ]; }

ask='load libcuda.so.1 libcuda.so libnvidia-ml.so.1; test -c /dev/nvidia0 && test -c /dev/nvidia1 && nvidia-smi | head -n 1'
# judge ENGINE: by what a container said
judge() {
  for answer in 'loaded libcuda.so.1, cuInit = 100' 'loaded libcuda.so, cuInit = 100' 'loaded libnvidia-ml.so.1, nvmlInit_v2 = 9' 'NVIDIA-SMI has failed'; do
    grep -qF "$answer" /tmp/said || { cat /tmp/said && die "$1: no \"$answer\""; }
  done
  echo "$1: libcuda loads"
}

# start COMMAND...: a daemon, and what says that it answers
start() {
  answers=$1
  shift
  "$@" >/tmp/log 2>&1 &
  for _ in $(seq 300); do
    $answers >/dev/null 2>&1 && return
    kill -0 $! 2>/dev/null || break
    sleep 0.1
  done
  cat /tmp/log
  die "$1 does not answer"
}

# Not on the overlay that this machine's root may be.
for engine in docker containerd containers; do
  mkdir -p /var/lib/$engine
  mount -t tmpfs tmpfs /var/lib/$engine
done
for runtime in runc crun; do
  podman --runtime $runtime --cgroup-manager cgroupfs run --rm --network none --device nvidia.com/gpu=all --rootfs /image:O bash -c "$ask" >/tmp/said
  judge "podman $(podman --version | sed 's/.* //'), $runtime"
done

start 'docker version' dockerd --storage-driver vfs --exec-opt native.cgroupdriver=cgroupfs --bridge=none --iptables=false --ip6tables=false
tar -C /image -c . | docker import - image:1 >/dev/null
docker run --rm --network none --device nvidia.com/gpu=all image:1 bash -c "$ask" >/tmp/said
judge "docker $(docker version --format '{{.Server.Version}}')"

start 'ctr --address /run/c.sock version' containerd --address /run/c.sock --root /var/lib/containerd --state /run/c
cp -a /image /tmp/rootfs
timeout 60 ctr --address /run/c.sock run --rm --device nvidia.com/gpu=all --env PATH=/usr/sbin:/usr/bin --rootfs /tmp/rootfs c1 bash -c "$ask" >/tmp/said
judge "containerd $(containerd --version | cut -d' ' -f3)"

# The last GPU goes, and the spec with it.
rm -r $driver/nvidia/gpus/*
for _ in $(seq 100); do [ -e /run/cdi/nvidia.yaml ] && sleep 0.1; done
[ ! -e /run/cdi/nvidia.yaml ] || die 'the spec is still there without a GPU'
kill $watcher
wait $watcher || die 'the watcher ended with an error'

# The package goes, and a spec that would call it.
mv /tmp/said /tmp/x
mkdir -p $driver/nvidia/gpus/0000:01:00.0
printf 'Model: NVIDIA L4\nDevice Minor: 0\n' >$driver/nvidia/gpus/0000:01:00.0/information
nvidia-ctk cdi generate --output /etc/cdi/nvidia.yaml
dpkg --remove nvidia-ctk >/dev/null
[ ! -e /etc/cdi/nvidia.yaml ] || die 'the package leaves a spec that calls it'
echo 'first_container: all is well'
