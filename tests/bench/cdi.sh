#!/bin/sh
# How long `cdi generate` takes on a host with eight GPUs, and what hooks of the specs cost a container.
#
#     tests/bench/cdi.sh [ROUNDS]
#
# As root. Every figure is a whole process, from vfork to wait4; all commands of a table run in turn: the ratios count.
#
#     NVIDIA_CTK       the binary to measure; by default the release build of this tree
#     TOOLKIT          folder with the toolkit's nvidia-ctk and nvidia-cdi-hook, measured too, with a stand-in for NVML
#     BENCH_WORK       directory on the file system for the containers; by default a tmpfs: on a disk 44 links that all of them make
#                      would take most of the time
#
# Needs gcc, jq and cargo; containers are started by those of runc and crun that are here.
set -eu
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin:$HOME/.cargo/bin"
cd "$(dirname "$0")/../.."
case ${1:-} in
--inside) shift ;;
*) [ "$(id -u)" = 0 ] || { echo 'bench: only root can make the host' >&2 && exit 1; }
	exec sh tests/fixtures/private.sh sh tests/bench/cdi.sh --inside "$@" ;;
esac
rounds=${1:-61}
libraries=usr/lib/x86_64-linux-gnu
version=570.124.06

tmp=$(mktemp -d)
work=''
trap 'rm -rf "$tmp" ${work:+"$work"}' EXIT
trap 'exit 130' HUP INT PIPE TERM
[ -n "${BENCH_WORK:-}" ] || [ "$(stat -f -c %T /dev/shm 2>/dev/null)" != tmpfs ] || BENCH_WORK=/dev/shm
work=$(mktemp -d "${BENCH_WORK:-$tmp}/bench.XXXXXX")

if [ -z "${NVIDIA_CTK:-}" ]; then
	cargo build --release --locked --quiet
	NVIDIA_CTK=${CARGO_TARGET_DIR:-target}/release/nvidia-ctk
fi
host=$tmp/host
GPU_HOST=$host cargo test --quiet --locked --test suite -- --ignored --exact cdi_generate::a_host_for_the_bench >"$tmp/log" 2>&1 ||
	{ cat "$tmp/log" && exit 1; }
gcc -O1 -static -o "$tmp/timer" tests/bench/timer.c

tabbed() { (IFS='	'; printf '%s\n' "$*"); }

# show BASE: a line for each command, beside the one of this name
show() {
	awk -F '\t' -v base="$1" '
		{ row[NR] = $0; median[$1] = $3; least[$1] = $2 }
		END {
			print "| | median ms | min .. max | x " base ", medians | minima | peak KiB |\n|---|--:|--:|--:|--:|--:|"
			for (i = 1; i <= NR; i++) {
				split(row[i], f, "\t")
				printf "| %s | %.2f | %.2f .. %.2f | %.2f | %.2f | %d |\n", f[1], f[3], f[2], f[4], f[3] / median[base],
					f[2] / least[base], f[7]
			}
		}'
}

# --- cdi generate -----------------------------------------------------------------------------------------------------------

mkdir "$host/bench"
cp "$NVIDIA_CTK" "$host/bench/nvidia-ctk"
cp "$tmp/timer" "$host/bench/timer"
mknod -m 666 "$host/dev/null" c 1 3
mv "$host/lib/firmware" "$host/usr/lib/firmware"
rmdir "$host/lib"
ln -s usr/lib "$host/lib"
{
	for hooks in apply separate; do
		tabbed "ours, $hooks" - - /bench/nvidia-ctk cdi generate --hooks "$hooks"
	done
	tabbed 'ours, --version' - - /bench/nvidia-ctk --version
	if [ -n "${TOOLKIT:-}" ]; then
		gcc -shared -fPIC -O1 -Wl,-soname,libnvidia-ml.so.1 -o "$host/$libraries/libnvidia-ml.so.$version" tests/fixtures/nvml_stub.c
		cp "$TOOLKIT/nvidia-ctk" "$host/bench/toolkit"
		tabbed 'toolkit' - - /bench/toolkit cdi generate
	fi
} >"$host/bench/commands"
echo "### cdi generate, eight GPUs, $rounds rounds"
echo
sh tests/fixtures/gpu_host.sh "$host" /bench/timer "$rounds" /bench/commands | show 'ours, apply'

# --- containers -------------------------------------------------------------------------------------------------------------

# spec HOOK OPTION...: as JSON
spec() {
	hook=$1
	shift
	"$NVIDIA_CTK" cdi generate --root "$host" --format json --nvidia-cdi-hook-path "$hook" "$@"
}

# config FILE DEVICE...: what an engine makes of the spec on standard input; hosts have other files than this machine
config() {
	file=$1
	shift
	jq --arg host "$host" --arg devices "$*" '
		(if $devices == "" then [] else [.containerEdits, (.devices[] | select(.name | IN($devices | split(" ")[])) | .containerEdits)] end) as $edits |
		def all(part): [$edits[] | part // [] | .[]];
		{ociVersion: "1.0.2", root: {path: "rootfs"},
		process: {user: {uid: 0, gid: 0, additionalGids: all(.additionalGids)}, cwd: "/", args: ["/usr/bin/busybox", "true"],
			env: (["PATH=/usr/bin"] + all(.env))},
		mounts: ([{destination: "/proc", type: "proc", source: "proc"}, {destination: "/dev", type: "tmpfs", source: "tmpfs"}]
			+ (all(.mounts) | map({destination: .containerPath, type: "bind", source: ($host + .hostPath), options}))),
		hooks: {createContainer: (all(.hooks) | map({path, args, env}))},
		linux: {namespaces: (["mount", "pid", "uts"] | map({type: .})),
			devices: (all(.deviceNodes) | map({path, type: "c", major, minor: (.minor // 0), fileMode, uid: 0, gid: (.gid // 0)}))}}' >"$file"
}

# bundle NAME DEVICE...: one whose root is new before each start; what the kernel still does for the one before is over then
bundle() {
	name=$1
	shift
	mkdir "$work/$name"
	config "$work/$name/config.json" "$@"
	cat >"$work/$name/reset" <<-END
		rm -rf '$work/$name/rootfs' && cp -a '$work/image/rootfs' '$work/$name/rootfs' && sleep 0.1
	END
}

# starts RUNTIME: by how much each is slower than the same without hooks
starts() {
	for name in $bundles; do
		tabbed "$name" "$work/$name/reset" - "$1" --root "$tmp/state" run --bundle "$work/$name" "bench-$name"
	done >"$tmp/commands"
	echo
	echo "### Starts by ${1##*/}, $rounds rounds"
	echo
	"$tmp/timer" "$rounds" "$tmp/commands" | awk -F '\t' '
		{ name[NR] = $1; median[$1] = $3; least[$1] = $2 }
		END {
			print "| hooks, GPUs | median ms | more than without, medians | minima | x apply, medians | minima |\n|---|--:|--:|--:|--:|--:|"
			for (i = 1; i <= NR; i++) {
				split(name[i], part, "-")
				none = "none-" part[2]
				apply = "apply-" part[2]
				printf "| %s, %d | %.2f | %.2f | %.2f | %.2f | %.2f |\n", part[1], part[2], median[name[i]],
					median[name[i]] - median[none], least[name[i]] - least[none],
					(median[name[i]] - median[none]) / (median[apply] - median[none]),
					(least[name[i]] - least[none]) / (least[apply] - least[none])
			}
		}'
}

sh tests/fixtures/rootfs.sh "$work/image"
install -D "$NVIDIA_CTK" "$work/bin/nvidia-cdi-hook"
bundles=''
for gpus in 1 8; do
	devices=$(seq -s ' ' 0 $((gpus - 1)))
	# What a runtime takes for any hook: one that does nothing.
	for hooks in none noop apply separate ${TOOLKIT:+toolkit}; do
		bundles="$bundles $hooks-$gpus"
		case $hooks in
		none) spec "$work/bin/nvidia-cdi-hook" --disable-hook all ;;
		noop) spec "$work/bin/nvidia-cdi-hook" --disable-hook all |
			jq --arg path "$work/bin/nvidia-cdi-hook" \
				'.containerEdits.hooks = [{hookName: "createContainer", $path, args: ["nvidia-cdi-hook", "noop"]}]' ;;
		toolkit) spec "$(realpath "$TOOLKIT/nvidia-cdi-hook")" --hooks separate ;;
		*) spec "$work/bin/nvidia-cdi-hook" --hooks "$hooks" ;;
		esac >"$tmp/spec"
		# shellcheck disable=SC2086 # a list
		bundle "$hooks-$gpus" $devices <"$tmp/spec"
	done
done
for runtime in runc crun; do
	if command -v "$runtime" >"$tmp/path"; then starts "$(cat "$tmp/path")"; fi
done
