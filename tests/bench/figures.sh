#!/bin/sh
# Measures beside the toolkit, and writes the figures into README.md, tests/bench/README.md and packaging/bench.svg.
#
#     NVIDIA_CTK=FILE TOOLKIT=FOLDER sh tests/bench/figures.sh
#
# NVIDIA_CTK is the release build, TOOLKIT the folder with the toolkit's nvidia-ctk and nvidia-cdi-hook. As root, on a machine that
# does nothing else: it takes some minutes. Variables of run.sh and cdi.sh are passed on.
set -eu
export LC_ALL=C
: "${NVIDIA_CTK:?}" "${TOOLKIT:?}"
NVIDIA_CTK=$(realpath "$NVIDIA_CTK")
TOOLKIT=$(realpath "$TOOLKIT")
export NVIDIA_CTK TOOLKIT NVIDIA_CDI_HOOK="$TOOLKIT/nvidia-cdi-hook"
cd "$(dirname "$0")/../.."

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT PIPE TERM

tests/bench/run.sh packaging/bench.svg | sed '/^chart: /d; /^making the root /d' >"$tmp/run"
sh tests/bench/cdi.sh 101 >"$tmp/cdi"
{
	cat "$tmp/run"
	echo
	cat "$tmp/cdi"
} >"$tmp/all"

# replace FILE TEXT: what is between the marks of FILE becomes the content of TEXT.
replace() {
	grep -q '^<!-- end figures -->$' "$1"
	sed -e "/^<!-- begin figures -->\$/r $2" -e '/^<!-- begin figures -->$/,/^<!-- end figures -->$/{/^<!--/!d}' "$1" >"$tmp/new"
	cat "$tmp/new" >"$1"
}

size() { cat "$@" | wc -c; }

awk -F ' *\\| *' -v ours="$(size "$NVIDIA_CTK")" -v theirs="$(size "$TOOLKIT/nvidia-ctk" "$TOOLKIT/nvidia-cdi-hook")" '
	/^### / { part = $0; sub(/^### /, "", part); sub(/[:,].*/, "", part) }
	/^### (small|gpu|large)/ { split($0, words, " "); libraries[part] = words[3] }
	NF > 3 { ms[part, $2] = $3; more[part, $2] = $4; ratio[part, $2] = $5 }
	function row(text, a, b) { printf "| %s | %s | %s |\n", text, a, b }
	function both(runtime, hooks) { return sprintf("%.1f / %.1f ms", more[runtime, hooks ", 1"], more[runtime, hooks ", 8"]) }
	function hook(text, root) {
		row(text " (" libraries[root] " libraries)", ms[root, "ours, fresh"] " ms", ms[root, "toolkit, fresh"] " ms")
	}
	END {
		print "| | nvidia-ctk | NVIDIA Container Toolkit 1.20 |\n|---|--:|--:|"
		row("start of a container with a generated spec: runc, 1 GPU / 8 GPUs", both("Starts by runc", "apply"),
			both("Starts by runc", "toolkit"))
		row("the same with crun", both("Starts by crun", "apply"), both("Starts by crun", "toolkit"))
		row("one hook that does nothing: runc, 1 GPU / 8 GPUs", both("Starts by runc", "noop"), "")
		hook("`update-ldcache`, small root", "small")
		hook("the same, GPU root", "gpu")
		hook("the same, large root", "large")
		row("`cdi generate`, 8 GPUs", ms["cdi generate", "ours, apply"] " ms", ms["cdi generate", "toolkit"] " ms, without NVML")
		row("size of the programs", sprintf("%.2f MB", ours / 1e6), sprintf("%.1f MB (`nvidia-ctk`, `nvidia-cdi-hook`)", theirs / 1e6))
		print "\n![Time to update a container'"'"'s ld.so.cache, as multiples of ldconfig'"'"'s](packaging/bench.svg)"
	}' "$tmp/all" >"$tmp/short"
replace README.md "$tmp/short"
replace tests/bench/README.md "$tmp/all"
