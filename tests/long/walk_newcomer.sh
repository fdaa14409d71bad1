#!/bin/sh
# A newcomer's walk: the commands of README's "Quick start", as they are, in a Debian with NVIDIA's driver and podman
# (tests/fixtures/gpu_debian.sh). The container that the last one starts finds libcuda in ld.so.cache, and cuInit returns 100.
#   NVIDIA_CTK_BINARY=BINARY sh tests/long/walk_newcomer.sh
set -eu
cd "$(dirname "$0")/../.."
. tests/fixtures/readme.sh
steps=$(readme 'Quick start' | sed 's/IMAGE/image:1/')
last=$(echo "$steps" | tail -n 1)
suites=trixie bare=yes
. tests/fixtures/gpu_debian.sh

[ -n "$steps" ] || die "README.md has no block of commands below \"Quick start\""
plain_podman image:1
# No systemd runs here: this starts a unit's commands.
cat >/usr/local/bin/systemctl <<'END'
#!/bin/sh
[ "$1 $2" = 'enable --now' ] || exit 1
mkdir -p /run/nvidia-ctk /run/cdi
commands() { sed -n "s/^$1=[-+]*//p" "/usr/lib/systemd/system/$2" | sed 's|%t|/run|g; s|\$\$|$|g'; }
commands ExecStartPre "$3" | while read -r command; do sh -c "$command"; done
sh -c "exec $(commands ExecStart "$3")" </dev/null >/dev/null 2>&1 &
END
chmod 755 /usr/local/bin/systemctl

# take STEP: what it prints goes to /tmp/said
take() {
  echo "# $1"
  code=0
  sh -c "$1" </dev/null >/tmp/said 2>&1 || code=$?
  tail -n 6 /tmp/said | grep -v 'Reading database' || :
}

while read -r step; do
  take "$step"
  case $step in
  nvidia-ctk\ cdi\ list) grep -qx nvidia.com/gpu=all /tmp/said || die 'no devices' ;;
  *nvidia-smi) grep -q 'NVIDIA-SMI has failed' /tmp/said || die 'nvidia-smi does not run' ;;
  nvidia-ctk\ doctor) [ $code -lt 2 ] || die 'doctor finds errors' ;;
  *) [ $code = 0 ] || die "exit code $code" ;;
  esac
done <<END
$steps
END

case $last in podman\ run\ *\ nvidia-smi) ;; *) die 'the last step starts no container with nvidia-smi' ;; esac
take "${last% nvidia-smi} sh -c 'ldconfig -p | grep libcuda; $ask'"
judge podman
grep -q 'libcuda.so.1 .*=> /' /tmp/said || die 'libcuda is not in ld.so.cache'
echo 'walk_newcomer: all is well'
