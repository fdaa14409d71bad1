#!/bin/sh
# From nothing to a GPU container, as README has it: in a Debian with NVIDIA's driver, an engine and our package, the commands give
# containers in which the real libcuda loads (tests/fixtures/gpu_debian.sh).
#   NVIDIA_CTK_BINARY=BINARY sh tests/long/first_container.sh
set -eu
cd "$(dirname "$0")/../.."
. tests/fixtures/gpu_debian.sh

# The service's command.
nvidia-ctk cdi generate --watch=1 --output /run/cdi/nvidia.yaml &
watcher=$!
for _ in $(seq 100); do [ ! -e /run/cdi/nvidia.yaml ] && sleep 0.1; done
nvidia-ctk cdi list
nvidia-ctk cdi check || die 'the spec does not fit this host'
nvidia-ctk doctor --json >/tmp/doctor || { cat /tmp/doctor && [ "$(grep -c '"severity": "error"' /tmp/doctor)" = 0 ]; }

for runtime in runc crun; do
  podman_run $runtime --device=nvidia.com/gpu=all
  judge "podman $(podman --version | sed 's/.* //'), $runtime"
done

start_containerd
start_docker
docker_run --device nvidia.com/gpu=all
judge "docker $(docker version --format '{{.Server.Version}}')"

cp -a /image /tmp/rootfs
timeout 60 ctr run --rm --cgroup "/$CGROUP/c1" --device nvidia.com/gpu=all --env PATH=/usr/sbin:/usr/bin --rootfs /tmp/rootfs c1 bash -c "$ask" >/tmp/said
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
