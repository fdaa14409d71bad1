#!/bin/sh
# The release build: the same bytes in two folders, in both ways to build it, also of what describes it, and a program that runs.
#   sh tests/long/release.sh
# As root. Builds four times: some 15 minutes on two processors.
set -eu
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin:$HOME/.cargo/bin"
cd "$(dirname "$0")/../.."

die() {
	printf 'release: %s\n' "$*" >&2
	exit 1
}
sh tests/fixtures/install.sh mmdebstrap unshare=util-linux git gcc jq
sh tests/fixtures/cyclonedx.sh
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT PIPE TERM

for folder in one a/second/one; do
	mkdir -p "$tmp/$folder"
	git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$tmp/$folder"
done
# The first way with the target that every rustc has, the second one with musl.
machine=$(uname -m)
for target in "$machine-unknown-linux-gnu" "$machine-unknown-linux-musl"; do
	std=installed
	[ "${target##*-}" = gnu ] || std=source
	for folder in one a/second/one; do
		(cd "$tmp/$folder" && RELEASE_STD=$std RELEASE_ROOT=${RELEASE_ROOT:-$tmp/root} \
			packaging/build-release.sh --with-sbom --target "$target" "$tmp/$folder/$target")
	done
	binary=$tmp/one/$target
	for made in "$binary" "$binary.cdx.json" "$binary.copyright" "$tmp/one/SHA256SUMS"; do
		cmp "$made" "$tmp/a/second/one/${made##*/}" || die "$target: other bytes in another folder"
		for path in "$tmp" "${CARGO_HOME:-$HOME/.cargo}/registry"; do
			! grep -qaF "$path" "$made" || die "$made: $path is in it"
		done
	done
	(cd "$tmp/one" && sha256sum --quiet --check SHA256SUMS)
	for made in "$target" "$target.cdx.json" "$target.copyright"; do
		grep -q "  $made\$" "$tmp/one/SHA256SUMS" || die "$made: no sum"
	done
	"$binary" --version
	! ldd "$binary" 2>&1 | grep -q '=>' || die "$target: not static"
	echo '{}' | "$binary" hook noop
done
echo OK
