#!/bin/sh
# An administrator's walk: containers that get no GPU, for five reasons, in a Debian with NVIDIA's driver, podman and docker
# (tests/fixtures/gpu_debian.sh). The engine's message, README or `nvidia-ctk doctor` leads to a command; it is run as it is written
# there, and then the container works.
#   NVIDIA_CTK_BINARY=BINARY sh tests/long/walk_admin.sh
set -eu
cd "$(dirname "$0")/../.."
readme=$PWD/README.md
suites=trixie
. tests/fixtures/gpu_debian.sh

plain_podman image:1
spec=/run/cdi/nvidia.yaml
in_podman() { podman run --rm --device nvidia.com/gpu=all image:1 load libcuda.so.1 >/tmp/said 2>&1; }
in_docker() { docker run --rm --network none --device nvidia.com/gpu=all localhost/image:1 load libcuda.so.1 >/tmp/said 2>&1; }
# The other runtime needs cgroups, and shows what is missing.
in_runc() { podman_run runc --device nvidia.com/gpu=all 2>/tmp/said; }

# fails ENGINE MESSAGE: the container does not start, and the engine's message has these words
fails() {
  echo "-- $2"
  ! "in_$1" || die "$1 starts the container"
  grep -qF "$2" /tmp/said || { cat /tmp/said && die "$1 does not say \"$2\""; }
}

# doctor_cures CODE: by the command in the fix of the finding with this code
doctor_cures() {
  ! nvidia-ctk doctor --json >/tmp/findings || die 'doctor finds nothing'
  cure=$(tr -d '\n' </tmp/findings | sed 's/}/}\n/g' | grep -F "\"$1\"" | sed -n "s/.*\"fix\": *\"[^']*'\(nvidia-ctk [^']*\)'.*/\1/p" | head -n 1)
  [ -n "$cure" ] || { cat /tmp/findings && die "doctor has no $1 with a command in its fix"; }
  echo "doctor: $1: $cure"
  sh -c "$cure" >/tmp/log 2>&1 || { cat /tmp/log && die 'the command fails'; }
}

# works ENGINE
works() {
  "in_$1" || { cat /tmp/said && die "$1 does not start the container"; }
  grep -qx 'loaded libcuda.so.1, cuInit = 100' /tmp/said || { cat /tmp/said && die "libcuda does not load with $1"; }
}

# No spec.
fails podman 'unresolvable CDI devices nvidia.com/gpu=all'
grep -q '^|.*unresolvable CDI devices.*nvidia-ctk cdi list' "$readme" || die 'README.md does not explain this message'
[ -z "$(nvidia-ctk cdi list 2>/tmp/log)" ] || die 'there are devices'
grep -q 'no CDI device is defined in /etc/cdi or /var/run/cdi' /tmp/log || { cat /tmp/log && die 'cdi list does not name the directories'; }
doctor_cures cdi-spec-missing
works podman

# A spec of another driver.
sed -i "s/$version/535.0.1/g" $spec
fails podman '535.0.1'
doctor_cures cdi-driver-version
works podman

# The hook is gone.
rm /usr/bin/nvidia-cdi-hook
fails podman 'error executing hook'
fails runc 'fork/exec /usr/bin/nvidia-cdi-hook: no such file or directory'
doctor_cures cdi-hook-missing
works podman

# A device node is missing.
rm /dev/nvidia-uvm
fails podman 'failed to stat CDI host device "/dev/nvidia-uvm"'
doctor_cures device-node-missing
works podman

# An engine with CDI switched off.
mkdir -p /etc/docker
echo '{"features": {"cdi": false}}' >/etc/docker/daemon.json
start_docker
fails docker 'could not select device driver "cdi"'
grep -q '^|.*could not select device driver "cdi".*--enable-cdi' "$readme" || die 'README.md does not explain this message'
doctor_cures docker-cdi-disabled
kill "$(cat /var/run/docker.pid)"
wait $! || :
start_docker
works docker

nvidia-ctk doctor
echo 'walk_admin: all is well'
