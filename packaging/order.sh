#!/bin/sh
# Writes packaging/order.ld: the functions that hooks call. The linker puts them side by side, those of a hook's start first, so that
# fewer pages of the program are mapped: a hook starts sooner and takes less memory.
#
#     sh packaging/order.sh
#
# A list that is out of date does no harm, it only costs that time: run this before a release. Needs valgrind, and what
# build-release.sh needs, with its variables.
set -eu
export LC_ALL=C

cd "$(dirname "$0")/.."
command -v valgrind >/dev/null || { echo 'order: no valgrind, which lists the functions: install it' >&2; exit 1; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT PIPE TERM

# The same program with its symbols.
mkdir "$tmp/source"
cp -R Cargo.toml Cargo.lock LICENSE packaging src hooks.d "$tmp/source"
sed -i 's/^strip = true$/strip = false/' "$tmp/source/Cargo.toml"
RELEASE_STD=source "$tmp/source/packaging/build-release.sh" "$tmp/nvidia-ctk"
ln -s nvidia-ctk "$tmp/nvidia-cdi-hook"

# A container with a C library and some others of this machine.
libraries=usr/lib/$(gcc -print-multiarch)
root=$tmp/bundle/rootfs
mkdir -p "$root/etc/ld.so.conf.d" "$root/$libraries" "$root/usr/lib64" "$root/tmp"
ln -s usr/lib "$root/lib"
ln -s usr/lib64 "$root/lib64"
find "/$libraries" -maxdepth 1 \( -name 'libc.so*' -o -name 'lib*.so.*' -size -400k \) -exec cp -P {} "$root/$libraries" \;
cp -P /lib64/ld-*.so* "$root/usr/lib64" 2>/dev/null || :
cp -P "/$libraries"/ld-*.so* "$root/$libraries" 2>/dev/null || :
echo 'include /etc/ld.so.conf.d/*.conf' >"$root/etc/ld.so.conf"
echo "/$libraries" >"$root/etc/ld.so.conf.d/libc.conf"
echo '{"ociVersion":"1.0.2","root":{"path":"rootfs"},"process":{"env":["NVIDIA_VISIBLE_DEVICES=all"]}}' >"$tmp/bundle/config.json"
printf '{"ociVersion":"1.0.2","id":"order","status":"creating","pid":1,"bundle":"%s"}\n' "$tmp/bundle" >"$tmp/state.json"

# functions ARGUMENT...: names that this hook calls, without the numbers of builds.
functions() {
	# An old valgrind says a lot about new system calls.
	valgrind --tool=callgrind --demangle=no --callgrind-out-file="$tmp/calls" "$tmp/nvidia-cdi-hook" "$@" \
		<"$tmp/state.json" >"$tmp/log" 2>&1 || { cat "$tmp/log" >&2; exit 1; }
	sed -n -E "s/^c?fn=\([0-9]+\) (_R[^']*).*/\1/p" "$tmp/calls" | sed -E 's/Cs[0-9A-Za-z]+_/Cs*_/g' | sort -u
}
functions noop >"$tmp/start"
{
	functions update-ldcache # makes a cache
	functions update-ldcache --folder /tmp
	functions update-ldcache --folder /tmp # leaves it as it is
	functions create-symlinks --link "libc.so.6::/$libraries/libnvidia-order.so" --link ../a::/tmp/b
	functions chmod --mode 750 --path /tmp
	functions apply --find-driver --chmod 755:/dev/nvidia-caps
} >"$tmp/all" # not a pipe, which would hide that one failed
sort -u "$tmp/all" | comm -13 "$tmp/start" - >"$tmp/rest"
if ! [ -s "$tmp/start" ] || ! [ -s "$tmp/rest" ]; then
	echo 'order: valgrind has named no function' >&2
	exit 1
fi
{
	echo '/* Written by order.sh: what a hook calls, for --section-ordering-file of ld. Those of its start come first. */'
	echo '.text : {'
	sed 's/.*/\t*(.text.&)/' "$tmp/start" "$tmp/rest"
	# valgrind does not know the calls of these.
	printf '\t*(.text.*10nvidia_ctk6rootfs6lookup* .text.*10nvidia_ctk7sandbox* .text.*8landlock*)\n'
	echo '}'
} >"$tmp/order.ld"
mv "$tmp/order.ld" packaging/order.ld
wc -l packaging/order.ld
