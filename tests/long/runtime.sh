#!/bin/sh
# nvidia-container-runtime under docker, podman and Kubernetes' interface of containerd (CRI): in a Debian with NVIDIA's driver and
# our package, each gives containers in which the real libcuda loads (tests/fixtures/gpu_debian.sh), without a CDI spec and with one.
#   NVIDIA_CTK_BINARY=BINARY sh tests/long/runtime.sh
set -eu
cd "$(dirname "$0")/../.."
fixtures=$PWD/tests/fixtures
# The runtime is for engines that know no CDI, above all.
suites='bookworm trixie sid'
. tests/fixtures/gpu_debian.sh

# cri METHOD <REQUEST: calls containerd; the request and the answer are protobuf's text
cri() {
  protoc --proto_path "$fixtures" --encode "runtime.v1.$1Request" cri.proto >/tmp/request
  size=$(wc -c </tmp/request)
  # gRPC: a zero (not compressed), the size in four bytes, the message
  frame=$(printf '\\000\\000\\000\\%03o\\%03o' $((size / 256)) $((size % 256)))
  # shellcheck disable=SC2059 # these bytes
  { printf "$frame" && cat /tmp/request; } |
    curl --silent --show-error --http2-prior-knowledge --unix-socket /run/containerd/containerd.sock --header 'te: trailers' \
      --header 'content-type: application/grpc' --data-binary @- --dump-header /tmp/headers --output /tmp/answer \
      "http://localhost/runtime.v1.RuntimeService/$1" || return
  if ! grep -q '^grpc-status: 0' /tmp/headers; then
    grep '^grpc-message' /tmp/headers >&2
    return 1
  fi
  tail -c +6 /tmp/answer | protoc --proto_path "$fixtures" --decode "runtime.v1.$1Response" cri.proto
}

# pod FIELDS: a pod of the runtime class nvidia with one container that asks by these fields, to its end
pod() {
  rm -f /tmp/said
  config='metadata { name: "pod" uid: "1" namespace: "default" } log_directory: "/tmp" linux { cgroup_parent: "/'$CGROUP'"
    security_context { namespace_options { network: NODE } } }'
  pod=$(echo "config { $config } runtime_handler: \"nvidia\"" | cri RunPodSandbox) || return
  container=$(echo "$pod sandbox_config { $config } config { metadata { name: \"c\" } image { image: \"localhost/image:1\" }
    command: [\"bash\", \"-c\", \"$ask\"] log_path: \"said\" $1 }" | cri CreateContainer) &&
    echo "$container" | cri StartContainer &&
    for _ in $(seq 300); do
      echo "$container" | cri ContainerStatus | grep -q CONTAINER_EXITED && break
      sleep 0.1
    done
  result=$?
  echo "$pod" | cri RemovePodSandbox
  return $result
}

# judge_refusal ENGINE COMMAND...: a container that asks for a GPU that is not there does not start, and the reason comes through
judge_refusal() {
  engine=$1
  shift
  ! "$@" 2>/tmp/why || die "$engine: a container without the GPU that it asks for"
  grep -q 'unresolvable CDI devices 7:' /tmp/why || { cat /tmp/why && die "$engine: no reason"; }
}

variable() { echo "envs { key: \"NVIDIA_VISIBLE_DEVICES\" value: \"$1\" }"; }
annotation='annotations { key: "cdi.k8s.io/gpus" value: "nvidia.com/gpu=all" }'
field='CDI_devices { name: "nvidia.com/gpu=all" }'
docker="docker $(docker --version | sed 's/.* version \([^,]*\),.*/\1/')"
podman="podman $(podman --version | sed 's/.* //')"
pods="pods of containerd $(containerd --version | cut -d' ' -f3)"

# The engines learn of the runtime as README says; nothing can be pulled here, and nobody may lower an OOM score.
nvidia-ctk install --with-runtime-hook
nvidia-ctk runtime configure --runtime=docker --set-as-default
sed -i 's|^ *\[plugins."io.containerd.grpc.v1.cri"\]$|&\nsandbox_image = "localhost/pause:1"\nrestrict_oom_score_adj = true|' \
  /etc/containerd/config.toml
nvidia-ctk runtime configure --runtime=containerd --enable-cdi
# The runtime sees annotations as well.
find /etc/containerd -name '*.toml' -exec sed -i 's|^ *\[.*\.runtimes\.nvidia\]$|&\ncontainer_annotations = ["cdi.k8s.io/*"]|' {} +
start_containerd
daemon=$!
start_docker
tar -C /image -c . | docker import --change 'ENTRYPOINT ["/usr/bin/sleep", "infinity"]' - localhost/pause:1 >/dev/null
docker save localhost/image:1 localhost/pause:1 | ctr -n k8s.io images import - >/dev/null

for spec in 'no spec' 'a spec'; do
  [ "$spec" = 'no spec' ] || nvidia-ctk cdi generate --output /etc/cdi/nvidia.yaml
  # The default list, from which runc is taken, and another one.
  for list in runc,crun crun; do
    case="$list, $spec"
    nvidia-ctk config --set nvidia-container-runtime.runtimes=$list --in-place
    docker_run --runtime=nvidia -e NVIDIA_VISIBLE_DEVICES=all
    judge "$docker, $case, variable"
    docker_run --gpus all
    judge "$docker, $case, --gpus"
    judge_refusal "$docker, $case" docker_run -e NVIDIA_VISIBLE_DEVICES=7
    docker run --rm --network none localhost/image:1 test ! -e /dev/nvidiactl || die "$docker, $case: a GPU that nobody asks for"

    podman_run /usr/bin/nvidia-container-runtime -e NVIDIA_VISIBLE_DEVICES=all
    judge "$podman, $case, variable"
    judge_refusal "$podman, $case" podman_run /usr/bin/nvidia-container-runtime -e NVIDIA_VISIBLE_DEVICES=7

    pod "$(variable all)"
    judge "$pods, $case, variable"
    judge_refusal "$pods, $case" pod "$(variable 7)"
    [ "$spec" = 'a spec' ] || continue
    pod "$annotation"
    judge "$pods, $case, annotation"
    # 1.6 does not know this field.
    case $pods in
    *' 1.6.'*) ;;
    *)
      pod "$field"
      judge "$pods, $case, field"
      ;;
    esac
  done
done

# The runtime alone resolves the annotation.
find /etc/containerd -name '*.toml' -exec sed -i '/^ *enable_cdi/d; s/^restrict_oom_score_adj.*/&\nenable_cdi = false/' {} +
kill $daemon
wait $daemon || true
start_containerd
pod "$annotation"
judge "$pods, annotation, enable_cdi = false"
echo 'runtime: all is well'
