#!/bin/sh
# What nvidia-container-runtime costs beside a low-level runtime that does nothing: for a command that it forwards, for a container
# that asks for nothing, and for one with GPUs.
#
#     tests/bench/shim.sh [ROUNDS]
#
# As root. Every figure is a whole process, from vfork to wait4; all commands of a table run in turn: the ratios count.
#
#     NVIDIA_CTK       the binary to measure; by default the release build of this tree
#     TOOLKIT          folder with the toolkit's nvidia-container-runtime, nvidia-ctk and nvidia-cdi-hook, measured too, with a
#                      stand-in for NVML
#
# Needs gcc and cargo.
set -eu
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin:$HOME/.cargo/bin"
cd "$(dirname "$0")/../.."
rounds=${1:-201}
libraries=usr/lib/x86_64-linux-gnu
version=570.124.06

[ "$(id -u)" = 0 ] || { echo 'bench: only root can make the host' >&2; exit 1; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' HUP INT PIPE TERM

if [ -z "${NVIDIA_CTK:-}" ]; then
	cargo build --release --locked --quiet
	NVIDIA_CTK=${CARGO_TARGET_DIR:-target}/release/nvidia-ctk
fi

# --- the host ---------------------------------------------------------------------------------------------------------------

host=$tmp/host
GPU_HOST=$host cargo test --quiet --locked --test suite -- --ignored --exact cdi_generate::a_host_for_the_bench >"$tmp/log" 2>&1 ||
	{ cat "$tmp/log" && exit 1; }
mkdir -p "$host/bench" "$host/usr/local/sbin" "$host/etc/cdi" "$host/etc/nvidia-container-runtime"
mknod -m 666 "$host/dev/null" c 1 3
mv "$host/lib/firmware" "$host/usr/lib/firmware"
rmdir "$host/lib"
ln -s usr/lib "$host/lib"
gcc -O1 -static -o "$host/bench/timer" tests/bench/timer.c
# The first runc in PATH.
echo 'int main(void) { return 0; }' | gcc -O1 -static -x c -o "$host/usr/local/sbin/runc" -
cp "$NVIDIA_CTK" "$host/bench/nvidia-ctk"
ln -s nvidia-ctk "$host/bench/nvidia-container-runtime"
ln -s nvidia-ctk "$host/bench/nvidia-cdi-hook"
cp tests/fixtures/cdi/small-2gpu.yaml "$host/etc/cdi/nvidia.yaml"
: >"$host/etc/nvidia-container-runtime/config.toml"
if [ -n "${TOOLKIT:-}" ]; then
	gcc -shared -fPIC -O1 -Wl,-soname,libnvidia-ml.so.1 -o "$host/$libraries/libnvidia-ml.so.$version" tests/fixtures/nvml_stub.c
	mkdir "$host/bench/toolkit"
	for program in nvidia-container-runtime nvidia-ctk nvidia-cdi-hook; do cp "$TOOLKIT/$program" "$host/bench/toolkit/"; done
fi

# --- the commands -----------------------------------------------------------------------------------------------------------

tabbed() { (IFS='	'; printf '%s\n' "$*"); }

# bundle NAME VARIABLE: one whose config.json is new before each start, on a tmpfs, as containerd and docker have them
bundle() {
	mkdir "$host/bench/$1"
	cat >"$host/bench/$1/new.json" <<-END
		{"ociVersion":"1.1.0","process":{"user":{"uid":0,"gid":0},"args":["sh"],"env":["PATH=/usr/bin:/bin","$2"],"cwd":"/"},
		"root":{"path":"rootfs"},"mounts":[{"destination":"/proc","type":"proc","source":"proc"}],
		"linux":{"resources":{"devices":[{"allow":false,"access":"rwm"}]},"namespaces":[{"type":"mount"}]}}
	END
	echo "mkdir -p /tmp/$1 && cp /bench/$1/new.json /tmp/$1/config.json" >"$host/bench/$1/reset"
}

# each NAME RESET WORD...: the same words for all programs
each() {
	name=$1 reset=$2
	shift 2
	tabbed "$name, stub" "$reset" - /usr/local/sbin/runc "$@"
	tabbed "$name, ours" "$reset" - /bench/nvidia-container-runtime "$@"
	[ -z "${TOOLKIT:-}" ] || tabbed "$name, toolkit" "$reset" - /bench/toolkit/nvidia-container-runtime "$@"
}

# create NAME: as containerd does
create() {
	each "$1" "/bench/$1/reset" --root /run/runc --log "/tmp/$1/log.json" --log-format json create --bundle "/tmp/$1" \
		--pid-file "/tmp/$1/pid" c1
}

bundle nothing LANG=C
bundle spec NVIDIA_VISIBLE_DEVICES=nvidia.com/gpu=0
bundle built NVIDIA_VISIBLE_DEVICES=7
{
	each state - --root /run/runc --log /bench/log.json --log-format json state c1
	create nothing
	create spec
	create built
} >"$host/bench/commands"

echo "### nvidia-container-runtime, $rounds rounds"
echo
echo 'state: forwarded; nothing: create, nothing is asked for; spec: a GPU of a spec of 12 KB; built: one of eight that no spec has'
echo
sh tests/fixtures/gpu_host.sh "$host" /bench/timer "$rounds" /bench/commands | awk -F '\t' '
	{ row[NR] = $0; least[$1] = $2; median[$1] = $3 }
	END {
		print "| | median ms | min .. max | more than the stub, minima | x stub, medians | minima | x toolkit, medians | peak KiB |"
		print "|---|--:|--:|--:|--:|--:|--:|--:|"
		for (i = 1; i <= NR; i++) {
			split(row[i], f, "\t")
			split(f[1], part, ", ")
			stub = part[1] ", stub"
			toolkit = part[1] ", toolkit"
			printf "| %s | %.2f | %.2f .. %.2f | %.2f | %.2f | %.2f | %s | %d |\n", f[1], f[3], f[2], f[4], f[2] - least[stub],
				f[3] / median[stub], f[2] / least[stub], (toolkit in median) ? sprintf("%.2f", f[3] / median[toolkit]) : "-", f[7]
		}
	}'
