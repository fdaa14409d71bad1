#!/bin/sh
# Another's reader takes the CDI specs in the DIRECTORIES, and finds the same devices in them as this program; and it takes them
# when this program has written them, as YAML and as JSON, which is what the CNCF's schema says:
#   NVIDIA_CTK_BINARY=nvidia-ctk tests/cdi-reader/run.sh DIRECTORY...
set -eu
ctk=${NVIDIA_CTK_BINARY:?the program}
manifest=$(dirname "$0")/Cargo.toml
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT

# The settings of this folder, which link statically, do not hold here.
reader=${CARGO_TARGET_DIR:-$(dirname "$0")/../../target}/cdi-reader
RUSTC_WRAPPER='' cargo build --quiet --locked --manifest-path "$manifest" --target-dir "$reader"
reader=$reader/debug/cdi-reader
# The schema lies beside the source of that reader.
host=$(rustc -vV | sed -n 's/^host: //p')
schema=$(cargo metadata --offline --locked --filter-platform "$host" --format-version 1 --manifest-path "$manifest" |
  grep -o '"manifest_path":"[^"]*/container-device-interface-[^"/]*/Cargo.toml"' | cut -d '"' -f 4)
schema=${schema%/Cargo.toml}/src/schema

find "$@" -name '*.yaml' -o -name '*.json' >"$temp/list"
[ -s "$temp/list" ] || { echo "no specs in $*" >&2; exit 1; }
while read -r spec; do
  rm -rf "$temp/specs"
  mkdir "$temp/specs"
  cp "$spec" "$temp/specs"
  "$ctk" cdi list --spec-dir "$temp/specs" >"$temp/expected"
  for format in yaml json; do
    "$ctk" cdi transform root --input "$spec" --output "$temp/written.$format"
  done
  for file in "$spec" "$temp/written.yaml" "$temp/written.json"; do
    "$reader" "$schema" "$file" >"$temp/found"
    diff "$temp/expected" "$temp/found" || { echo "$file: other devices" >&2; exit 1; }
  done
done <"$temp/list"
echo "$(wc -l <"$temp/list") specs are read as others read them"
