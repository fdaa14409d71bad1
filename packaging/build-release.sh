#!/bin/sh
# The binary for releases: static, with musl, stripped, the same bytes wherever it is built with the same toolchain.
#
#     packaging/build-release.sh [--target TARGET] [--with-sbom] [FILE]
#
# Prints path, size and SHA-256 of what it wrote; FILE is target/dist/nvidia-ctk-TARGET by default, and TARGET this machine's
# x86_64-unknown-linux-musl or aarch64-unknown-linux-musl. With --with-sbom it writes beside FILE
#
#     FILE.cdx.json    what is linked in and, where Debian's packages built it, which: a CycloneDX document
#     FILE.copyright   on which terms
#     SHA256SUMS       of the three, for sha256sum --check
#
# Where rustc has the target (rustup target add TARGET), that is used. Elsewhere Debian's rustc builds the standard library from
# its sources too, without backtraces and for size, in a private root that leaves the machine as it is: this needs mmdebstrap,
# unshare and the right to make user namespaces, or root. The two ways give different bytes, each the same ones every time. The
# second one puts the functions side by side that packaging/order.ld lists.
# --with-sbom needs cargo-cyclonedx and jq. The second way has the licences of the standard library and of musl in FILE.copyright.
#
#     RELEASE_ROOT     directory that keeps the private root between builds; by default it is made anew each time
#     RELEASE_MIRROR   URL of the Debian archive that a new private root comes from, such as a snapshot; by default today's archive
#     RELEASE_STD      "source" takes the second way even where the first one is possible: it gives the smaller program
set -eu
export LC_ALL=C

suite=trixie # with its backports, whose rustc is new enough
cyclonedx=0.5.9

die() {
	printf 'build-release: %s\n' "$*" >&2
	exit 1
}

target=$(uname -m)-unknown-linux-musl
file=''
with_sbom=''
while [ $# -gt 0 ]; do
	case $1 in
	--target) target=${2:?--target wants a value} && shift ;;
	--with-sbom) with_sbom=1 ;;
	-*) sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0"; [ "$1" = --help ] && exit 0; exit 2 ;;
	*) file=$1 ;;
	esac
	shift
done
arch=${target%%-*}
if [ -n "$with_sbom" ]; then
	# Another release of it writes other bytes.
	case $(cargo cyclonedx --version 2>/dev/null || :) in
	*" $cyclonedx") ;;
	*) die "no cargo-cyclonedx $cyclonedx, which lists what is linked in: cargo install cargo-cyclonedx --version $cyclonedx --locked" ;;
	esac
	command -v jq >/dev/null || die 'no jq, which completes that list: install it'
fi
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

: >"$tmp/printed" # texts that terms has printed
: >"$tmp/linked-terms"

# Nobody unwinds. A fixed address saves the start the relocation of 20 pages, and one segment less a few more.
flags='-C force-unwind-tables=no -C relocation-model=static -C link-arg=-Wl,-z,noseparate-code'

# The paths of sources, which panics and dependencies print, do not tell where the build was.
installed_std() {
	RUSTFLAGS="$flags --remap-path-prefix=$repo=/nvidia-ctk --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo" \
		CARGO_TARGET_DIR=$tmp cargo build --release --locked --target "$target"

	std=$(rustc --version | cut -d ' ' -f 2)
	echo "rust-std $std pkg:generic/rust-std@$std MIT OR Apache-2.0" >"$tmp/linked"
	: >"$tmp/packages"
	terms "rust-std $std" 'MIT OR Apache-2.0' >"$tmp/linked-terms"
}

# private_root DIRECTORY: Debian's rustc, the sources of its standard library, and musl.
private_root() {
	gcc=gcc
	architectures=$(dpkg --print-architecture)
	if [ "$architectures" != "$debian" ]; then
		gcc=gcc,gcc-$arch-linux-gnu
		architectures=$architectures,$debian
	fi
	# One archive alone, which a snapshot gives again: no updates from others. What that of another day says is out of date.
	# shellcheck disable=SC2016 # the argument is the hook's
	mmdebstrap --quiet --variant=extract --architectures="$architectures" \
		--setup-hook="sed -i -n '/ $suite /{p;s/ $suite / $suite-backports /p}' \"\$1/etc/apt/sources.list\"" \
		--aptopt="APT::Default-Release \"$suite-backports\"" \
		--extract-hook='mkdir "$1/build" && cd "$1/var/cache/apt/archives" && ls -- *.deb >"$1/build/packages"' \
		--include="base-files,dash,coreutils,cargo,rustc,rust-src,libc6-dev,$gcc,musl-dev:$debian" "$suite" "$1" \
		${RELEASE_MIRROR:+"deb [check-valid-until=no] $RELEASE_MIRROR $suite main"}
}

# What comes from the packages: the C library, Rust's, and gcc's (the unwinder, and how a program starts).
packaged() {
	sed 's/%3a/:/' "$root/packages" >"$tmp/packages"
	cross=''
	[ "$(dpkg --print-architecture)" = "$debian" ] || cross=-$debian-cross
	sed -n -E "s/^(musl-dev|rust-src|libgcc-[0-9]+-dev$cross)_(.*)_(.*)\.deb\$/\1 \2 \3/p" "$tmp/packages" >"$tmp/versions"
	source=$(echo "$root"/usr/src/rustc-*)
	while read -r name number machine; do
		case $name in
		musl-dev) set -- MIT "$root/usr/share/doc/musl-dev/copyright" ;;
		rust-src) set -- 'MIT OR Apache-2.0' "$source"/COPYRIGHT "$source"/LICENSE-* "$source"/library/compiler-builtins/LICENSE* \
			"$source"/library/compiler-builtins/libm/LICENSE* \
			"$source"/library/vendor/cfg-if-*/LICENSE* "$source"/library/vendor/hashbrown-*/LICENSE* \
			"$source"/library/vendor/libc-*/LICENSE* "$source"/library/vendor/rustc-demangle-*/LICENSE* ;;
		*) set -- 'GPL-3.0-or-later WITH GCC-exception-3.1' "$source"/src/etc/third-party/COPYING.RUNTIME ;;
		esac
		purl=$(printf 'pkg:deb/debian/%s@%s?arch=%s&distro=%s' "$name" "$number" "$machine" "$suite" | sed 's/+/%2B/g')
		echo "$name $number $purl $1" >>"$tmp/linked"
		terms "$name $number" "$@" >>"$tmp/linked-terms"
	done <"$tmp/versions"
}

built_std() {
	for tool in mmdebstrap unshare dpkg; do
		command -v "$tool" >/dev/null ||
			die "rustc has no standard library for $target (rustup target add $target), and without $tool none can be built"
	done
	case $arch in
	x86_64) debian=amd64 ;;
	aarch64) debian=arm64 ;;
	*) die "$target: no way to build for it is known here" ;;
	esac
	root=${RELEASE_ROOT:+$RELEASE_ROOT/$target}
	: "${root:=$tmp/root}"
	if [ ! -e "$root/packages" ]; then
		rm -rf "$root"
		mkdir -p "${root%/*}"
		private_root "$root"
		mv "$root/build/packages" "$root"
	fi

	build=$tmp/build
	mkdir -p "$build/source" "$build/lib" "$tmp/$target/release"
	cp -R Cargo.toml Cargo.lock src hooks.d packaging/order.ld "$build/source"
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
		"CARGO_TARGET_${variable}_RUSTFLAGS=$flags -C link-arg=-Wl,--section-ordering-file=/build/source/order.ld -C target-feature=+crt-static -C link-self-contained=no -L native=/build/lib" \
		/build/run
	mv "$build/target/$target/release/nvidia-ctk" "$tmp/$target/release/"
	packaged
}

# terms NAME LICENCE FILE...: of one thing that is linked in. Each text appears once.
terms() {
	printf '\n== %s: %s\n' "$1" "$2"
	name=$1
	shift 2
	for text; do
		[ -f "$text" ] || continue
		sum=$(tr -d '[:space:]' <"$text" | sha256sum)
		if ! grep -q "^$sum" "$tmp/printed"; then
			printf '\n'
			cat "$text"
			printf '%s %s of %s\n' "$sum" "${text##*/}" "$name" >>"$tmp/printed"
		else
			sed -n "s/^$sum \(.*\)/\1, see above/p" "$tmp/printed"
		fi
	done
}

copyright() {
	printf 'nvidia-ctk is licensed under these terms; what is linked into it, under those below.\n\n'
	cat LICENSE "$tmp/linked-terms"
	cargo vendor --quiet --locked --versioned-dirs "$tmp/vendor" >/dev/null
	cargo tree --locked --edges normal,no-proc-macro --target "$target" --prefix none --no-dedupe --format '{p} {l}' |
		sort -u |
		while read -r crate number licence; do
			directory=$tmp/vendor/$crate-${number#v}
			[ ! -d "$directory" ] || terms "$crate ${number#v}" "$licence" \
				"$directory"/[Ll][Ii][Cc][Ee][Nn][CcSs][Ee]* "$directory"/COPYING*
		done
}

# The tool goes by Cargo.lock, which has crates that the features in use ask nobody for; it writes beside Cargo.toml, and names that
# folder, the hour and a number of its own.
sbom() {
	mkdir "$tmp/sbom"
	cp -R Cargo.toml Cargo.lock src "$tmp/sbom"
	cargo cyclonedx --quiet --manifest-path "$tmp/sbom/Cargo.toml" --format json --spec-version 1.5 --target "$target" \
		--no-build-deps --override-filename sbom >&2
	cargo tree --locked --edges normal --target "$target" --prefix none --no-dedupe --format '{p}' >"$tmp/crates"
	jq --arg folder "file://$tmp/sbom" --arg sum "$(sha256sum <"$1" | cut -d ' ' -f 1)" --rawfile crates "$tmp/crates" \
		--rawfile linked "$tmp/linked" --rawfile packages "$tmp/packages" '
		def lines: split("\n")[] | select(. != "");
		([$crates | lines | capture("^(?<name>[^ ]+) v(?<version>[^ ]+)")]) as $crates
		| ([.components[] | select({name, version} as $crate | $crates | index($crate) | not) | ."bom-ref"]) as $unused
		| ([$linked | lines | capture("^(?<name>[^ ]+) (?<version>[^ ]+) (?<purl>[^ ]+) (?<terms>.*)")
			| {type: "library", "bom-ref": .purl, name, version, scope: "required", licenses: [{expression: .terms}], purl}]) as $linked
		| del(.serialNumber, .metadata.timestamp)
		| .metadata.component.hashes = [{alg: "SHA-256", content: $sum}]
		| .metadata.properties += [$packages | lines | {name: "nvidia-ctk:build:package", value: .}]
		| .components |= map(select(."bom-ref" | IN($unused[]) | not)) + $linked
		| .dependencies |= map(select(.ref | IN($unused[]) | not) | if .dependsOn then .dependsOn -= $unused else . end)
		| .dependencies[] |= if .ref | startswith("path+") then .dependsOn += [$linked[].purl] else . end
		| walk(if type == "string" then split($folder) | join("file:///nvidia-ctk") else . end)
		' "$tmp/sbom/sbom.json"
}

libraries=$(rustc --print target-libdir --target "$target" 2>/dev/null) || libraries=''
if [ "${RELEASE_STD:-}" != source ] && [ -n "$libraries" ] && [ -d "$libraries" ]; then
	installed_std
else
	built_std
fi
mkdir -p "$(dirname "$file")"
install -m 755 "$tmp/$target/release/nvidia-ctk" "$file"
if [ -n "$with_sbom" ]; then
	sbom "$file" >"$file.cdx.json"
	copyright >"$file.copyright"
	name=${file##*/}
	packaging/sums.sh "$(dirname "$file")" "$name" "$name.cdx.json" "$name.copyright"
fi
printf '%s: %s bytes\n' "$file" "$(wc -c <"$file")"
sha256sum "$file"
