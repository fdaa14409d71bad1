#!/bin/sh
# The container image: what is in it, and what it does on a made-up host with no capability and a read-only root; then the
# Kubernetes manifests, against the published schemas.
#   sh tests/long/container.sh [BINARY]
# As root. BINARY is NVIDIA_CTK_BINARY or else the release build of this tree by default.
set -eu
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin:$HOME/.cargo/bin"
cd "$(dirname "$0")/../.."

die() {
	printf 'container: %s\n' "$*" >&2
	exit 1
}
step() { printf '== %s\n' "$*"; }

if [ "${1:-}" != --private ]; then
	[ "$(id -u)" = 0 ] || die 'this test needs root'
	sh tests/fixtures/install.sh podman crun python3=python3-venv unshare=util-linux mount
	binary=${1:-${NVIDIA_CTK_BINARY:-}}
	if [ -z "$binary" ]; then
		cargo build --release --locked
		binary=${CARGO_TARGET_DIR:-target}/release/nvidia-ctk
	fi
	exec sh tests/fixtures/private.sh sh "$0" --private "$binary"
fi

binary=$2
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT PIPE TERM
podman_() {
	podman --root "$tmp/storage" --runroot /run/podman-storage --tmpdir /run/podman --storage-driver vfs --cgroup-manager cgroupfs \
		--events-backend none --runtime crun "$@"
}

step 'two builds give the same image'
mkdir "$tmp/build"
cp "$binary" "$tmp/build/nvidia-ctk"
for tag in one two; do
	podman_ build --quiet --timestamp 0 --tag "$tag" --file packaging/container/Containerfile "$tmp/build" >/dev/null
	podman_ inspect --format '{{.Id}}' "$tag" >"$tmp/$tag"
	touch "$tmp/build/nvidia-ctk"
done
cmp "$tmp/one" "$tmp/two"

step 'what is in it'
podman_ save --quiet --format oci-dir --output "$tmp/image" one
layers=0
for blob in "$tmp/image"/blobs/sha256/*; do
	if tar -tf "$blob" >"$tmp/list" 2>/dev/null; then
		layers=$((layers + 1))
		[ "$(cat "$tmp/list")" = nvidia-ctk ] || die "a layer holds $(cat "$tmp/list")"
	fi
done
[ "$layers" = 1 ] || die "there are $layers layers"
[ "$(podman_ inspect --format '{{.Config.Entrypoint}} {{.Config.Cmd}} {{.Config.StopSignal}}' one)" = \
	'[/nvidia-ctk] [install --root /host --wait] SIGTERM' ] || die 'another command is in it'

# on_host NAME ARGUMENT...: the container as the manifests start it. What it says is in the log.
on_host() {
	name=$1
	shift
	podman_ run --name "$name" --detach --read-only --cap-drop all --security-opt no-new-privileges --network none \
		--ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --cgroups disabled \
		--log-driver k8s-file --log-opt "path=$tmp/$name.log" --volume "$tmp/host/usr:/host/usr" one "$@" >/dev/null
}
# until COMMAND...: it comes true, or the test fails.
until_() {
	for _ in $(seq 600); do
		"$@" && return
		sleep 0.1
	done
	die "in vain: $*"
}
last() { [ -e "$tmp/host/usr/share/containers/oci/hooks.d/10-nvidia-ctk-apply.json" ]; }
installed() { (cd "$tmp/host" && find . ! -type d | sort); }

mkdir -p "$tmp/host/usr/bin" "$tmp/reference"
"$binary" install --root "$tmp/reference" >/dev/null
(cd "$tmp/reference" && find . ! -type d | sort) >"$tmp/expected"

step 'installs, waits, ends at SIGTERM and leaves what it installed'
on_host keeps
until_ last
[ "$(podman_ inspect --format '{{.State.Running}}' keeps)" = true ] || die 'it did not wait'
podman_ stop --time 60 keeps >/dev/null
[ "$(podman_ inspect --format '{{.State.ExitCode}}' keeps)" = 0 ] || die "it failed: $(cat "$tmp/keeps.log")"
installed | diff "$tmp/expected" -
"$tmp/host/usr/bin/nvidia-ctk" --version

step 'a second one changes nothing, and takes all away in the end'
on_host removes install --root /host --wait --uninstall-at-exit
podman_ stop --time 60 removes >/dev/null
[ "$(podman_ inspect --format '{{.State.ExitCode}}' removes)" = 0 ] || die "it failed: $(cat "$tmp/removes.log")"
grep 'install /' "$tmp/removes.log" | grep -v remove && die 'the second one installed something'
[ -z "$(installed)" ] || die "left: $(installed)"

step 'manifests'
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet --disable-pip-version-check kubernetes-validate==1.37.0
"$tmp/venv/bin/kubernetes-validate" --strict packaging/kubernetes/base/daemonset.yaml
if command -v kubectl >/dev/null; then
	for overlay in packaging/kubernetes/*; do
		kubectl kustomize "$overlay" >"$tmp/${overlay##*/}.yaml"
		"$tmp/venv/bin/kubernetes-validate" --strict "$tmp/${overlay##*/}.yaml"
	done
else
	echo 'NOT CHECKED: what kustomize makes of them (no kubectl here)'
fi
echo OK
