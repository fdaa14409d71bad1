#!/bin/sh
# packaging/terminal.svg shows what these commands print in a Debian with NVIDIA's driver and podman (tests/fixtures/gpu_debian.sh).
#   NVIDIA_CTK_BINARY=BINARY sh tests/long/terminal.sh
# With UPDATE=1 it writes the picture.
set -eu
cd "$(dirname "$0")/../.."
tree=$PWD
suites=trixie
. tests/fixtures/gpu_debian.sh

plain_podman cuda-test
nvidia-ctk system create-device-nodes --control-devices >/dev/null
# Where NVIDIA's own packages have the libraries: with Debian's directory a line has more than 80 columns.
libraries=/usr/lib/x86_64-linux-gnu
mv $libraries/nvidia/current/* $libraries/
ldconfig
command=
while IFS= read -r line; do
  [ -n "$command" ] || printf '# ' >>/tmp/recorded
  echo "$line" >>/tmp/recorded
  command="$command$line
"
  case $line in *\\) continue ;; esac
  # Programs write for a person.
  NO_COLOR=1 script -qec "$command" /dev/null </dev/null >/tmp/said || { cat /tmp/said && die "$command"; }
  tr -d '\r' </tmp/said | expand >>/tmp/recorded
  command=
done <<'END'
nvidia-ctk cdi generate --output /run/cdi/nvidia.yaml
nvidia-ctk cdi list
podman run --rm --device nvidia.com/gpu=all cuda-test \
  sh -c 'ldconfig -p | grep libcuda; load libcuda.so.1'
END
cat /tmp/recorded
grep -qx 'loaded libcuda.so.1, cuInit = 100' /tmp/recorded || die 'libcuda does not load'
awk '{ if (length > 80) exit 1 } END { if (NR > 22) exit 1 }' /tmp/recorded || die 'more than 22 lines of 80 columns'

picture=$tree/packaging/terminal.svg
awk -f "$tree/packaging/terminal.awk" /tmp/recorded >/tmp/terminal.svg
[ -z "${UPDATE-}" ] || cp /tmp/terminal.svg "$picture"
diff "$picture" /tmp/terminal.svg || die "$picture is not up to date: UPDATE=1 sh tests/long/terminal.sh"
echo 'terminal: all is well'
