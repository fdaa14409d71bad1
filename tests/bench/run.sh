#!/bin/sh
# How long the hooks take, beside ldconfig, beside the least that has to be read, and beside a C program that does nothing.
#
#     tests/bench/run.sh [--quick] [CHART.svg]
#
# Every figure is a whole process, from vfork to wait4. All commands of a table run in turn within one run, so that whatever else
# the machine does hits all of them alike: the ratios count, not the milliseconds.
#
#     --quick          two roots, few rounds, no growth: under 20 seconds once the binary is built
#     CHART.svg        where the bar chart goes; a new temporary file by default
#
#     NVIDIA_CTK       the binary to measure; by default the release build of this tree
#     NVIDIA_CTK_BEFORE  another build of ours: nothing is measured but the two, in turn, in 401 rounds on each of the roots small,
#                      gpu and large; the ratio of their medians is the figure
#     NVIDIA_CDI_HOOK  the NVIDIA Container Toolkit's nvidia-cdi-hook, measured too (as root: it needs mounts)
#     HELLO_CC         C compiler with the libc of the binary; found by itself for glibc and musl
#     BENCH_CACHE      directory that keeps the roots between runs; by default they are made anew
#     BENCH_WORK       directory on the file system to measure on; by default a tmpfs with room, because on a disk ldconfig's
#                      fsync is slower and the comparison would be one of disks; on a disk the large root is read from the disk as well
#
# Needs gcc, a static libc, apt and dpkg, and strace for the profile. The machine's own packages are not touched: apt gets a
# state and a cache of its own in the temporary directory.
set -eu
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"

quick=''
chart=''
for arg; do
	case $arg in
	--quick) quick=1 ;;
	-*) sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0"; [ "$arg" = --help ] && exit 0; exit 2 ;;
	*) chart=$arg ;;
	esac
done

say() { printf '%s\n' "$*"; }
die() {
	printf 'bench: %s\n' "$*" >&2
	exit 1
}

here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../.." && pwd)
before=${NVIDIA_CTK_BEFORE:-}
toolkit=${NVIDIA_CDI_HOOK:-}
[ -z "$toolkit" ] || [ "$(id -u)" = 0 ] || die 'NVIDIA_CDI_HOOK can only be measured as root'
# Ubuntu's ldconfig is a shell script around the real one.
ldconfig=$(command -v ldconfig.real || command -v ldconfig) || die 'no ldconfig here'

tmp=$(mktemp -d)
work=''
trap 'rm -rf "$tmp" ${work:+"$work"}' EXIT
trap 'exit 1' HUP INT PIPE TERM

# room DIRECTORY: free MiB of a tmpfs, 0 where it is none.
room() {
	if [ "$(stat -f -c %T "$1" 2>/dev/null)" = tmpfs ] && [ -w "$1" ]; then
		df -Pm "$1" | awk 'NR == 2 { print $4 }'
	else
		echo 0
	fi
}
need=700
[ -z "$quick" ] || [ -n "$before" ] || need=150
if [ -n "${BENCH_WORK:-}" ]; then
	work=$(mktemp -d "$BENCH_WORK/bench.XXXXXX")
elif [ "$(room /dev/shm)" -ge "$need" ]; then
	work=$(mktemp -d /dev/shm/bench.XXXXXX)
else
	work=$(mktemp -d)
fi
cache=${BENCH_CACHE:-$tmp/cache}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)

# --- programs ---------------------------------------------------------------------------------------------------------------

if [ -n "${NVIDIA_CTK:-}" ]; then
	ctk=$(realpath "$NVIDIA_CTK")
else
	say 'building ...'
	(cd "$repo" && cargo build --release --quiet)
	ctk=$(cd "$repo" && realpath "${CARGO_TARGET_DIR:-$repo/target}/${CARGO_BUILD_TARGET:+$CARGO_BUILD_TARGET/}release/nvidia-ctk")
fi
# Every static glibc program knows this variable. The yardsticks get the same libc: starting one costs more than the other.
if [ -z "${HELLO_CC:-}" ] && ! grep -q GLIBC_TUNABLES "$ctk" && command -v musl-gcc >/dev/null; then
	HELLO_CC=musl-gcc
fi
compile() { # COMPILER NAME
	"$1" -std=gnu11 -Os -static -Wall -Wextra -o "$tmp/$2" "$here/$2.c"
}
compile "${HELLO_CC:-gcc}" hello
compile "${HELLO_CC:-gcc}" floor
compile gcc timer
compile gcc generate
# Measured as it is installed: the kernel maps a file that a linker wrote in other pieces than one that was copied.
installed() { # BINARY NAME
	mkdir "$tmp/$2"
	"$1" install --root "$tmp/$2" >/dev/null
	echo "$tmp/$2/usr/bin/nvidia-cdi-hook"
}
hook=$(installed "$ctk" host)
[ -z "$before" ] || before=$(installed "$before" before)

# --- roots ------------------------------------------------------------------------------------------------------------------

# apt_ TOOL ARGUMENTS: apt with the machine's sources but an own state, in which no package is installed.
apt_() {
	tool=$1
	shift
	"$tool" -qq -o "Dir::State=$cache/apt" -o "Dir::State::status=$cache/apt/status" -o "Dir::Cache=$cache/apt" \
		-o APT::Sandbox::User=root -o APT::Install-Recommends=false -o Acquire::Languages=none "$@"
}

apt_update() {
	[ ! -e "$cache/apt/updated" ] || return 0
	command -v apt-get >/dev/null || die 'apt-get is needed to make the roots'
	mkdir -p "$cache/apt/lists/partial" "$cache/apt/archives/partial"
	: >"$cache/apt/status"
	apt_ apt-get update && : >"$cache/apt/updated"
}

# unpack ROOT PACKAGE...: without what is no library, keeping the root's links of the merged /usr.
unpack() {
	root=$1
	shift
	for deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$root" --no-same-owner --keep-directory-symlink --exclude=./usr/share
	done
}

empty_root() { # ROOT
	for dir in bin sbin lib lib64; do
		mkdir -p "$1/usr/$dir"
		ln -s "usr/$dir" "$1/$dir"
	done
}

# A minimal Debian or Ubuntu: the essential packages, apt, and what they depend on.
make_small() { # ROOT
	apt_update
	apt_ apt-get install -y --download-only '?and(?essential,?architecture(native))' apt libc-bin util-linux >/dev/null
	empty_root "$1"
	unpack "$1" "$cache"/apt/archives/*.deb
}

# The same with every third of the distribution's library packages of up to 350 kB: some 130 MB to fetch.
make_large() { # ROOT
	apt_update
	cp -a "$cache/small/." "$1"
	mkdir -p "$tmp/debs"
	apt_ apt-cache dumpavail | awk -v arch="$(dpkg --print-architecture)" '
		/^Package: /      { name = $2 }
		/^Architecture: / { same = $2 == arch }
		/^Section: /      { libs = $2 ~ /(^|\/)libs$/ }
		/^Size: /         { small = $2 <= 350000 }
		/^$/ {
			if (same && libs && small && !seen[name]++ && name ~ /^lib/ && name !~ /^lib(c6|n?32|x32|64)|-(dev|dbg|bin|data)/ &&
			    ++n % 3 == 0)
				print name
			same = libs = small = 0
		}' >"$tmp/names"
	# shellcheck disable=SC2046 # one argument for each name
	(cd "$tmp/debs" && apt_ apt-get download $(cat "$tmp/names"))
	unpack "$1" "$tmp/debs"/*.deb
	rm -r "$tmp/debs"
}

# The small one with the driver's libraries as CDI mounts them: versioned files, no SONAME links. The libraries are stubs.
make_gpu() { # ROOT
	cp -a "$cache/small/." "$1"
	for spec in libcuda:1 libcudadebugger:1 libnvcuvid:1 libnvidia-allocator:1 libnvidia-cfg:1 libnvidia-encode:1 \
		libnvidia-fbc:1 libnvidia-ml:1 libnvidia-ngx:1 libnvidia-nvvm:4 libnvidia-opencl:1 libnvidia-opticalflow:1 \
		libnvidia-ptxjitcompiler:1 libnvidia-sandboxutils:1 libnvoptix:1 libEGL_nvidia:0 libGLESv1_CM_nvidia:1 \
		libGLESv2_nvidia:2 libGLX_nvidia:0 libnvidia-eglcore:V libnvidia-glcore:V libnvidia-glsi:V libnvidia-gpucomp:V \
		libnvidia-rtcore:V libnvidia-tls:V; do
		name=${spec%:*} version=${spec#*:}
		[ "$version" != V ] || version=575.57.08
		gcc -shared -nostdlib -s "-Wl,-soname,$name.so.$version" -o "$1$libdir/$name.so.575.57.08" "$here/stub.c"
	done
}

# root NAME: makes it unless the cache has it. A half-made one does not get the name.
root() {
	if [ ! -d "$cache/$1" ]; then
		say "making the root $1 ..."
		rm -rf "$cache/$1.part"
		mkdir "$cache/$1.part"
		"make_$1" "$cache/$1.part"
		mv "$cache/$1.part" "$cache/$1"
	fi
	if [ "$1" = small ]; then
		libdir=$(cd "$cache/small" && find usr/lib usr/lib64 -name libc.so.6 -exec dirname {} \; | head -n 1)
		[ -n "$libdir" ] || die 'the root has no libc.so.6'
		libdir=/$libdir
	fi
}

# --- measuring --------------------------------------------------------------------------------------------------------------

# enclosed ROOT COMMAND...: the toolkit wants what a runtime prepares, a private mount namespace with the root as a mount point.
# The others then run in the same one.
enclosed() {
	if [ -n "$toolkit" ]; then
		# shellcheck disable=SC2016
		unshare --mount --propagation private sh -c 'mount --bind "$1" "$1" && shift && exec "$@"' sh "$@"
	else
		shift
		"$@"
	fi
}

links() { (cd "$bundle/rootfs" && find . -type l | sort); }

# made COMMAND...: runs it on a root in its first state and adds the links that it makes to the list of those to remove.
made() {
	links >"$bundle/before"
	"$@"
	links | comm -13 "$bundle/before" - | sort -u -o "$bundle/links" - "$bundle/links"
	cp "$bundle/rootfs/etc/ld.so.cache" "$bundle/$1.cache"
	sh "$bundle/reset"
}

by_ldconfig() { "$ldconfig" -i -r "$bundle/rootfs" 2>/dev/null; }
by_us() { "$hook" update-ldcache --folder "$libdir" <"$bundle/state.json"; }
by_before() { "$before" update-ldcache --folder "$libdir" <"$bundle/state.json"; }
by_toolkit() { enclosed "$bundle/rootfs" "$toolkit" update-ldcache --folder "$libdir" <"$bundle/state.json"; }

# prepare NAME DIRECTORY: a bundle whose root is a copy of DIRECTORY, and a script that brings the root back to its first state.
prepare() {
	bundle=$work/$1
	mkdir -p "$bundle/conf"
	cp -a "$2" "$bundle/rootfs"
	cp -a "$bundle"/rootfs/etc/ld.so.conf* "$bundle/conf"
	printf '{"ociVersion":"1.0.2","id":"bench","status":"creating","pid":0,"bundle":"%s"}\n' "$bundle" >"$bundle/state.json"
	printf '{"ociVersion":"1.0.2","root":{"path":"rootfs"}}\n' >"$bundle/config.json"
	: >"$bundle/links"
	cat >"$bundle/reset" <<-EOF
		cd '$bundle/rootfs' || exit 1
		rm -rf etc/ld.so.c* var/cache/ldconfig run/nvidia-ctk-hook
		cp -a ../conf/. etc
		xargs rm -f <../links
		sync -f . # or the next fsync would pay for this script
	EOF
	sh "$bundle/reset"
	made by_ldconfig # removes dangling links too, and for good
	[ -z "$before" ] || made by_before
	made by_us
	[ -z "$toolkit" ] || made by_toolkit
	sh "$bundle/reset"
	# The directories that ldconfig itself looks at.
	dirs=$("$ldconfig" -v -N -X -r "$bundle/rootfs" 2>/dev/null | sed -n "s|^\(/[^:]*\):.*|$bundle/rootfs\1|p")
	# shellcheck disable=SC2086 # one argument for each directory
	libraries=$("$tmp/floor" $dirs)
	same='the same bytes'
	cmp -s "$bundle/by_us.cache" "$bundle/by_ldconfig.cache" || same='OTHER BYTES'
}

tabbed() { (IFS='	'; printf '%s\n' "$*"); }

# commands: those of the table, in the order in which a round runs them. 'again' follows on 'fresh' without a reset.
commands() {
	update=$(tabbed update-ldcache --folder "$libdir")
	tabbed 'ours, fresh' "$bundle/reset" "$bundle/state.json" "$hook" "$update"
	tabbed 'ours, again' - "$bundle/state.json" "$hook" "$update"
	tabbed 'ldconfig -i -r, fresh' "$bundle/reset" - "$ldconfig" -i -r "$bundle/rootfs"
	tabbed 'ldconfig -r, again' - - "$ldconfig" -r "$bundle/rootfs"
	if [ -n "$toolkit" ]; then
		tabbed 'toolkit, fresh' "$bundle/reset" "$bundle/state.json" "$toolkit" "$update"
		tabbed 'toolkit, again' - "$bundle/state.json" "$toolkit" "$update"
		tabbed 'toolkit, noop' - "$bundle/state.json" "$toolkit" noop
	fi
	# shellcheck disable=SC2086 # one argument for each directory
	tabbed 'floor: read only' - - "$tmp/floor" $dirs
	tabbed 'ours, noop' - "$bundle/state.json" "$hook" noop
	tabbed 'static C hello' - - "$tmp/hello"
}

# table KIND FILE: what the timer says, beside the ldconfig of this kind
table() {
	awk -F '\t' -v ldconfig="ldconfig -i -r, $1" '
		function ratio(ms, of) { return of ? sprintf("%.2f", ms / of) : "" }
		{ row[NR] = $0; median[$1] = $3 }
		END {
			print "| | median ms | min .. max | x ldconfig -i -r | x floor | user + sys ms | peak KiB |"
			print "|---|--:|--:|--:|--:|--:|--:|"
			for (i = 1; i <= NR; i++) {
				split(row[i], f, "\t")
				printf "| %s | %.2f | %.2f .. %.2f | %s | %s | %.2f + %.2f | %d |\n", f[1], f[3], f[2], f[4],
					ratio(f[3], median[ldconfig]), ratio(f[3], median["floor: read only"]), f[5], f[6], f[7]
			}
		}' "$2"
}

# cold ROUNDS: no page of the large root's files is in memory. That of directories and inodes is.
cold() {
	gcc -O1 -Wall -static -o "$tmp/drop" "$here/drop.c"
	prepare large "$cache/large"
	printf "sh '%s' && cd '%s' && find . -type f -print0 | '%s'\n" "$bundle/reset" "$bundle/rootfs" "$tmp/drop" >"$bundle/cold"
	commands | awk -F '\t' -v OFS='\t' -v reset="$bundle/cold" '
		$1 ~ /fresh|floor/ { $2 = reset; sub(/fresh/, "cold", $1); print }' >"$tmp/commands"
	enclosed "$bundle/rootfs" "$tmp/timer" "$1" "$tmp/commands" >"$tmp/cold.tsv"
	say
	say "### large, from the disk: $libraries libraries, $1 rounds"
	say
	table cold "$tmp/cold.tsv"
	rm -rf "$bundle"
}

# measure NAME ROUNDS
measure() {
	root "$1"
	prepare "$1" "$cache/$1"
	commands >"$tmp/commands"
	enclosed "$bundle/rootfs" "$tmp/timer" "$2" "$tmp/commands" >"$tmp/$1.tsv"
	say
	say "### $1: $libraries libraries, $(grep -c . "$bundle/links" || :) links to make, $same as ldconfig, $2 rounds"
	say
	table fresh "$tmp/$1.tsv"
	title="$1: $libraries libraries"
	[ ! -s "$bundle/links" ] || title="$title, $(wc -l <"$bundle/links") SONAME links to make"
	awk -F '\t' -v root="$title" '{ print root FS $1 FS $3 }' "$tmp/$1.tsv" >>"$tmp/chart.tsv"
}

# compare ROUNDS: this build and the one before, on each root.
compare() {
	say
	say "### Beside the build before, $1 rounds"
	say
	say '| | before: median ms | min .. max | now: median ms | min .. max | now / before, medians | minima |'
	say '|---|--:|--:|--:|--:|--:|--:|'
	for tree in small gpu large; do
		root "$tree" >&2
		prepare "$tree" "$cache/$tree"
		{
			commands | sed -n 's/^ours/now/p'
			commands | sed -n "s|$hook|$before|; s/^ours/before/p"
		} >"$tmp/commands"
		"$tmp/timer" "$1" "$tmp/commands" | awk -F '\t' -v root="$tree" '
			{ split($1, words, ", "); key = words[1] FS words[2]; least[key] = $2; median[key] = $3; most[key] = $4 }
			END {
				split("fresh again noop", runs, " ")
				for (i = 1; i <= 3; i++) {
					before = "before" FS runs[i]
					now = "now" FS runs[i]
					printf "| %s, %s | %.3f | %.3f .. %.3f | %.3f | %.3f .. %.3f | %.3f | %.3f |\n", root, runs[i], median[before],
						least[before], most[before], median[now], least[now], most[now], median[now] / median[before],
						least[now] / least[before]
				}
			}'
		rm -rf "$bundle"
	done
}

# profile NAME: syscalls of a fresh run, and which part of its time is whose. Uses what measure left.
profile() {
	say
	say "### Profile of a fresh run on $1, $libraries libraries"
	say
	awk -F '\t' '
		{ wall[$1] = $3; user[$1] = $5; sys[$1] = $6 }
		END {
			print "| | wall ms | start-up | user, of which start-up | sys, of which start-up | wall - user - sys |"
			print "|---|--:|--:|--:|--:|--:|"
			show("ours, fresh", "ours, noop"); show("ldconfig -i -r, fresh", "static C hello"); show("floor: read only", "static C hello")
		}
		function show(name, start) {
			printf "| %s | %.2f | %.2f | %.2f, %.2f | %.2f, %.2f | %.2f |\n", name, wall[name], wall[start], user[name], user[start],
				sys[name], sys[start], wall[name] - user[name] - sys[name]
		}' "$tmp/$1.tsv"
	if ! command -v strace >/dev/null; then
		say 'strace is not here: no count of the syscalls'
		return
	fi
	sh "$bundle/reset"
	strace -f -c -o "$tmp/ours.calls" "$hook" update-ldcache --folder "$libdir" <"$bundle/state.json"
	sh "$bundle/reset"
	strace -f -c -o "$tmp/ldconfig.calls" "$ldconfig" -i -r "$bundle/rootfs" 2>/dev/null
	sh "$bundle/reset"
	# shellcheck disable=SC2086 # one argument for each directory
	strace -f -c -o "$tmp/floor.calls" "$tmp/floor" $dirs >/dev/null
	say
	awk -v libraries="$libraries" '
		FNR == 1 { file++ }
		$1 ~ /^[0-9.]+$/ && NF >= 5 { calls[file, $NF] = $4; if ($NF != "total") names[$NF] = 1 }
		function show(name, i) {
			printf "| %s |", name
			for (i = 1; i <= 3; i++)
				printf " %d | %.2f |", calls[i, name], calls[i, name] / libraries
			print ""
		}
		END {
			print "| syscall | ours | a library | ldconfig -i -r | a library | floor | a library |"
			print "|---|--:|--:|--:|--:|--:|--:|"
			show("total")
			for (n = 0; n < 14; n++) {
				best = ""
				for (name in names)
					if (best == "" || most(name) > most(best) || most(name) == most(best) && name < best)
						best = name
				if (best == "" || most(best) < 3)
					break
				show(best)
				delete names[best]
			}
		}
		function most(name) { return calls[1, name] > calls[2, name] ? calls[1, name] : calls[2, name] }
		' "$tmp/ours.calls" "$tmp/ldconfig.calls" "$tmp/floor.calls"
}

# growth ROUNDS: roots with the libc, its links, and more and more tiny libraries.
growth() {
	gcc -shared -nostdlib -s -Wl,-z,noseparate-code -Wl,-soname,libbench00000.so.1 -o "$tmp/template.so" "$here/stub.c"
	say
	say "### Growth: tiny libraries, each with its SONAME link, $1 rounds"
	say
	say '| libraries | ours, fresh ms | per 1,000 | ours, again ms | floor ms | ours / floor | ldconfig -i -r ms | per 1,000 | ours / ldconfig |'
	say '|--:|--:|--:|--:|--:|--:|--:|--:|--:|'
	for count in 1000 2000 5000 6500; do # the program takes 14,000 names, links to make included
		base=$work/base
		empty_root "$base"
		mkdir -p "$base/etc" "$base$libdir"
		cp -a "$cache"/small/etc/ld.so.conf* "$base/etc"
		cp -a "$cache/small$libdir"/libc.so.6 "$cache/small$libdir"/ld*.so* "$base$libdir"
		cp -a "$cache"/small/usr/lib64/. "$base/usr/lib64"
		"$tmp/generate" "$tmp/template.so" "$base$libdir" "$count"
		prepare growth "$base"
		commands | grep -v -e toolkit -e hello -e noop -e "ldconfig -r" >"$tmp/commands"
		"$tmp/timer" "$1" "$tmp/commands" | awk -F '\t' -v n="$count" '
			{ ms[$1] = $3 }
			END {
				ours = ms["ours, fresh"]; theirs = ms["ldconfig -i -r, fresh"]; floor = ms["floor: read only"]
				printf "| %d | %.2f | %.2f | %.2f | %.2f | %.2f | %.2f | %.2f | %.2f |\n", n, ours, ours / n * 1000,
					ms["ours, again"], floor, ours / floor, theirs, theirs / n * 1000, ours / theirs
			}'
		rm -rf "$base" "$bundle"
	done
}

# one_call ROUNDS: what the hooks of a CDI spec do, by six calls and by one, in a container with a driver and a GPU.
one_call() {
	prepare gpu "$cache/gpu"
	cat >>"$bundle/reset" <<-EOF
		rm -rf dev etc/nvidia .$libdir/libcuda.so .$libdir/libnvidia-ml.so
		mkdir -p dev/dri && chmod 700 dev/dri
		mknod dev/nvidia0 c 195 0 2>/dev/null || : # only root may
	EOF
	one() { tabbed "$1" "${reset:--}" "$bundle/state.json" "$hook" "$2"; }
	ml=$libdir/libnvidia-ml.so
	links=$(tabbed --link "libcuda.so.1::$libdir/libcuda.so" --link "libnvidia-ml.so.1::$ml")
	compat=$(tabbed --host-driver-version 575.57.08)
	folder=$(tabbed --folder "$libdir")
	{
		reset=$bundle/reset one chmod "$(tabbed chmod --mode 755 --path /dev/dri)"
		one create-symlinks "$(tabbed create-symlinks "$links")"
		one enable-cuda-compat "$(tabbed enable-cuda-compat "$compat")"
		one update-ldcache "$(tabbed update-ldcache "$folder")"
		one disable-device-node-modification disable-device-node-modification
		one update-application-profile update-application-profile
		reset=$bundle/reset one apply "$(tabbed apply --chmod 755:/dev/dri "$links" "$compat" "$folder" \
			--disable-device-node-modification --update-application-profile)"
	} >"$tmp/commands"
	say
	say "### The hooks of a CDI spec on gpu, $1 rounds"
	say
	"$tmp/timer" "$1" "$tmp/commands" | awk -F '\t' '
		{ printf "%s| %s | %.2f | %.2f .. %.2f |\n", NR == 1 ? "| | median ms | min .. max |\n|---|--:|--:|\n" : "", $1, $3, $2, $4 }
		$1 != "apply" { sum += $3; least += $2; next }
		{ printf "\nSix calls: %.2f ms, one: %.2f x that (minima: %.2f x)\n", sum, $3 / sum, $2 / least }'
	rm -rf "$bundle"
}

# wall ROUNDS: what giving up privileges costs a hook (src/sandbox.rs), by running it where the kernel has none of these calls.
wall() {
	gcc -O1 -Wall -static -o "$tmp/without" "$repo/tests/fixtures/without.c"
	prepare small "$cache/small"
	run() { tabbed "$1" "$bundle/reset" "$bundle/state.json" "$tmp/without" "$2" -- "$hook" update-ldcache --folder "$libdir"; }
	{
		run 'with it' "$(tabbed fchmodat2 fspick mount_setattr)" # as long a filter, for calls that it does not make
		run 'without it' "$(tabbed landlock_create_ruleset capget prlimit64)"
	} >"$tmp/commands"
	say
	say "### The second wall: Landlock, capabilities, limits, on small, $1 rounds"
	say
	"$tmp/timer" "$1" "$tmp/commands" | awk -F '\t' '
		{ printf "%s: %.3f ms (%.3f .. %.3f)\n", $1, $3, $2, $4; median[$1] = $3; least[$1] = $2 }
		END {
			printf "it costs %.3f ms (minima: %.3f ms)\n", median["with it"] - median["without it"], least["with it"] - least["without it"]
		}'
	rm -rf "$bundle"
}

# --- the run ----------------------------------------------------------------------------------------------------------------

rounds=61
[ -z "$quick" ] || rounds=15

root small
say "$(uname -sm), $(nproc) CPUs, roots on $(stat -f -c %T "$work"), $("$ldconfig" --version 2>/dev/null | head -n 1)"
if [ -n "$before" ]; then
	compare 401
	exit
fi
say
say "### Size and start-up"
say
say "nvidia-ctk: $(wc -c <"$ctk") bytes, yardsticks compiled with ${HELLO_CC:-gcc}"
[ -z "$toolkit" ] || say "toolkit's nvidia-cdi-hook: $(wc -c <"$toolkit") bytes"
prepare small "$cache/small"
commands | grep -e noop -e hello >"$tmp/commands"
"$tmp/timer" $((rounds * 3)) "$tmp/commands" | awk -F '\t' '
	{ row[NR] = $0; median[$1] = $3; least[$1] = $2 }
	END {
		print "\n| | median ms | min .. max | x hello, medians | x hello, minima | peak KiB |\n|---|--:|--:|--:|--:|--:|"
		for (i = 1; i <= NR; i++) {
			split(row[i], f, "\t")
			printf "| %s | %.3f | %.3f .. %.3f | %.2f | %.2f | %d |\n", f[1], f[3], f[2], f[4],
				f[3] / median["static C hello"], f[2] / least["static C hello"], f[7]
		}
	}'
rm -rf "$bundle"

measure small "$rounds"
[ -n "$quick" ] || rm -rf "$bundle"
measure gpu "$rounds"
if [ -n "$quick" ]; then
	profile gpu
	rm -rf "$bundle"
	one_call "$rounds"
	wall "$rounds"
else
	rm -rf "$bundle"
	one_call "$rounds"
	wall $((rounds * 3))
	measure large "$rounds"
	profile large
	rm -rf "$bundle"
	growth 7
	# On a tmpfs all is in memory.
	[ "$(stat -f -c %T "$work")" = tmpfs ] || cold 15
fi

[ -n "$chart" ] || chart=$(mktemp "${TMPDIR:-/tmp}/bench-XXXXXX.svg")
awk -f "$here/chart.awk" "$tmp/chart.tsv" >"$tmp/chart.svg"
cat "$tmp/chart.svg" >"$chart"
say
say "chart: $chart"
