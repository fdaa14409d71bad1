#!/bin/sh
# Writes the SHA-256 of files in a directory into SHA256SUMS there, for sha256sum --check; lines of others that are still there stay.
#
#     packaging/sums.sh DIRECTORY FILE...
set -eu
export LC_ALL=C

cd "$1"
shift
touch SHA256SUMS
{
	sha256sum -- "$@"
	while read -r sum file; do
		[ ! -e "$file" ] || printf '%s  %s\n' "$sum" "$file"
	done <SHA256SUMS
} | sort -s -u -k 2 >SHA256SUMS.new
mv SHA256SUMS.new SHA256SUMS
