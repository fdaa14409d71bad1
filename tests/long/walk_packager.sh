#!/bin/sh
# A packager's walk: from a clone of this repository to a package, which is installed in a Debian with NVIDIA's driver, podman and
# docker (tests/fixtures/gpu_debian.sh), used, and removed. What the administrator wrote is left, and nothing else.
#   NVIDIA_CTK_BINARY=BINARY sh tests/long/walk_packager.sh
# The clone has what is committed. Without NVIDIA_CTK_BINARY the program is built there too: 5 minutes on two processors.
set -eu
cd "$(dirname "$0")/../.."
if [ $# = 0 ] && [ -z "${CLONE-}" ]; then
  CLONE=$(mktemp -d)
  export CLONE
  trap 'rm -rf "$CLONE"' EXIT
  trap 'exit 130' HUP INT PIPE TERM
  git clone --quiet . "$CLONE/nvidia-ctk"
  [ -z "${NVIDIA_CTK_BINARY-}" ] || NVIDIA_CTK_BINARY=$(realpath "$NVIDIA_CTK_BINARY")
  unset CARGO_TARGET_DIR
  sh "$CLONE/nvidia-ctk/tests/long/walk_packager.sh"
  exit
fi
suites=trixie bare=yes
. tests/fixtures/gpu_debian.sh

# All files, with what is in them, but what package managers write about packages, and what is not on a disk.
files() {
  find / -xdev \( -path /var/lib/dpkg -o -path /var/lib/apt -o -path /var/cache -o -path /var/log -o -path /tmp \) -prune -o \
    -type f -exec sha256sum {} + -o -type l -printf '%p -> %l\n' -o -iname '*nvidia-c*' -print | sort
}
run() { sh -c "$1" >/tmp/log 2>&1 || { cat /tmp/log && die "$1"; }; }

plain_podman image:1
# What the administrator wrote.
mkdir -p /etc/docker /etc/cdi
echo '{"log-driver": "local"}' >/etc/docker/daemon.json
printf '%s\n' '{"cdiVersion": "0.6.0", "kind": "example.com/device", "devices": [{"name": "0", "containerEdits": {"env": ["A=1"]}}]}' >/etc/cdi/example.json
files >/tmp/before

run 'apt-get -y install ./nvidia-ctk_*.deb'
files >/tmp/installed
! cmp -s /tmp/before /tmp/installed || die 'the package has no files'
nvidia-ctk --version
run 'nvidia-ctk cdi generate --output /etc/cdi/nvidia.yaml'
podman run --rm --device nvidia.com/gpu=all --device example.com/device=0 image:1 bash -c "$ask; echo A=\$A" >/tmp/said
judge podman
grep -qx 'A=1' /tmp/said || die "the container lacks the administrator's device"
run 'nvidia-ctk runtime configure --runtime docker'
grep -q nvidia-container-runtime /etc/docker/daemon.json || die 'docker does not have the runtime'

run 'nvidia-ctk runtime unconfigure --runtime docker'
run 'apt-get -y remove nvidia-ctk'
files >/tmp/after
diff /tmp/before /tmp/after || die 'the removal leaves or changes files'
echo 'walk_packager: all is well'
