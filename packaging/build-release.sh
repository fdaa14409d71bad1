#!/bin/sh
# The binary for releases: static, with musl, stripped, the same bytes wherever it is built with the same toolchain.
#
#     packaging/build-release.sh [--target TARGET] [FILE]
#
# Prints path, size and SHA-256 of what it wrote; FILE is target/dist/nvidia-ctk-TARGET by default, and TARGET this machine's
# x86_64-unknown-linux-musl or aarch64-unknown-linux-musl.
#
# Where rustc has the target (rustup target add TARGET), that is used. Elsewhere Debian's rustc builds the standard library from
# its sources too, without backtraces and for size, in a private root that leaves the machine as it is: this needs mmdebstrap,
# unshare and the right to make user namespaces, or root. The two ways give different bytes, each the same ones every time.
#
#     RELEASE_ROOT     directory that keeps the private root between builds; by default it is made anew each time
#     RELEASE_STD      "source" takes the second way even where the first one is possible: it gives the smaller program
set -eu
export LC_ALL=C

suite=trixie # with its backports, whose rustc is new enough

die() {
	printf 'build-release: %s\n' "$*" >&2
	exit 1
}

target=$(uname -m)-unknown-linux-musl
file=''
while [ $# -gt 0 ]; do
	case $1 in
	--target) target=${2:?--target wants a value} && shift ;;
	-*) sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0"; [ "$1" = --help ] && exit 0; exit 2 ;;
	*) file=$1 ;;
	esac
	shift
done
arch=${target%%-*}
case $file in
/* | '') ;;
*) file=$PWD/$file ;;
esac
cd "$(dirname "$0")/.."
repo=$PWD
: "${file:=${CARGO_TARGET_DIR:-$repo/target}/dist/nvidia-ctk-$target}"

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT PIPE TERM

# Nobody unwinds. A fixed address saves the start the relocation of 20 pages, and one segment less a few more.
flags='-C force-unwind-tables=no -C relocation-model=static -C link-arg=-Wl,-z,noseparate-code'

# The paths of sources, which panics and dependencies print, do not tell where the build was.
installed_std() {
	RUSTFLAGS="$flags --remap-path-prefix=$repo=/nvidia-ctk --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo" \
		CARGO_TARGET_DIR=$tmp cargo build --release --locked --target "$target"
}

# private_root DIRECTORY: Debian's rustc, the sources of its standard library, and musl.
private_root() {
	case $arch in
	x86_64) debian=amd64 ;;
	aarch64) debian=arm64 ;;
	*) die "$target: no way to build for it is known here" ;;
	esac
	gcc=gcc
	architectures=$(dpkg --print-architecture)
	if [ "$architectures" != "$debian" ]; then
		gcc=gcc,gcc-$arch-linux-gnu
		architectures=$architectures,$debian
	fi
	mmdebstrap --quiet --variant=extract --architectures="$architectures" \
		--setup-hook="sed -i -n 'p;s/ $suite / $suite-backports /p' \"\$1/etc/apt/sources.list\"" \
		--aptopt="APT::Default-Release \"$suite-backports\"" \
		--include="base-files,dash,coreutils,cargo,rustc,rust-src,libc6-dev,$gcc,musl-dev:$debian" "$suite" "$1"
}

built_std() {
	for tool in mmdebstrap unshare dpkg; do
		command -v "$tool" >/dev/null ||
			die "rustc has no standard library for $target (rustup target add $target), and without $tool none can be built"
	done
	root=${RELEASE_ROOT:+$RELEASE_ROOT/$target}
	: "${root:=$tmp/root}"
	if [ ! -e "$root/build" ]; then
		rm -rf "$root"
		mkdir -p "${root%/*}"
		private_root "$root"
		mkdir "$root/build"
	fi

	build=$tmp/build
	mkdir -p "$build/source" "$build/lib" "$tmp/$target/release"
	cp -R Cargo.toml Cargo.lock src hooks.d "$build/source"
	cargo vendor --quiet --locked "$build/vendor" >/dev/null
	for crate in "$root"/usr/src/rustc-*/library/vendor/*; do
		ln -s "${crate#"$root"}" "$build/vendor/std-${crate##*/}"
	done
	# rustc knows from the name how to speak to it.
	cat >"$build/musl-gcc" <<-LINK
		#!/bin/sh
		exec $arch-linux-gnu-gcc "\$@" -specs /usr/lib/$arch-linux-musl/musl-gcc.specs
	LINK
	# std asks for libunwind. gcc has the same in libgcc_eh, which asks glibc where the unwind tables are: there are none.
	echo 'INPUT(-lgcc_eh -lno_tables)' >"$build/lib/libunwind.a"
	echo 'int _dl_find_object(void *pc, void *result) { (void)pc; (void)result; return -1; }' >"$build/lib/no_tables.c"
	cat >"$build/run" <<-RUN
		#!/bin/sh
		set -e
		cd /build/lib
		$arch-linux-gnu-gcc -Os -c no_tables.c
		$arch-linux-gnu-ar rcsD libno_tables.a no_tables.o
		cd /build/source
		exec cargo build --release --locked --offline --target $target \\
			-Zbuild-std=std,panic_abort -Zbuild-std-features=optimize_for_size \\
			--config 'source.crates-io.replace-with="vendored"' --config 'source.vendored.directory="/build/vendor"'
	RUN
	chmod +x "$build/musl-gcc" "$build/run"
	variable=$(printf %s "$target" | tr '[:lower:]-' '[:upper:]_')
	host=$(uname -m)
	[ "$(id -u)" = 0 ] || set -- --map-root-user
	# shellcheck disable=SC2016 # the arguments are the inner shell's
	unshare "$@" --mount --propagation private sh -c '
		mount --rbind /dev "$1/dev" && mount --rbind /proc "$1/proc" && mount --bind "$2" "$1/build" && shift 2 && exec "$@"
		' sh "$root" "$build" chroot "$root" /usr/bin/env -i PATH=/usr/bin HOME=/build CARGO_HOME=/build/cargo \
		CARGO_TARGET_DIR=/build/target RUSTC_BOOTSTRAP=1 \
		"CARGO_TARGET_$(printf %s "$host" | tr '[:lower:]' '[:upper:]')_UNKNOWN_LINUX_GNU_LINKER=$host-linux-gnu-gcc" \
		"CARGO_TARGET_${variable}_LINKER=/build/musl-gcc" \
		"CARGO_TARGET_${variable}_RUSTFLAGS=$flags -C target-feature=+crt-static -C link-self-contained=no -L native=/build/lib" \
		/build/run
	mv "$build/target/$target/release/nvidia-ctk" "$tmp/$target/release/"
}

libraries=$(rustc --print target-libdir --target "$target" 2>/dev/null) || libraries=''
if [ "${RELEASE_STD:-}" != source ] && [ -n "$libraries" ] && [ -d "$libraries" ]; then
	installed_std
else
	built_std
fi
mkdir -p "$(dirname "$file")"
install -m 755 "$tmp/$target/release/nvidia-ctk" "$file"
printf '%s: %s bytes\n' "$file" "$(wc -c <"$file")"
sha256sum "$file"
