#!/bin/sh
# From nothing to a container with a working GPU driver, on a Debian or Ubuntu machine that has Rust and gcc:
#   sh packaging/demo.sh
# Installs runc, crun and busybox if they are missing, builds the binary, and starts containers without and with its hooks.
# All else happens in a temporary folder and in mount namespaces that end with it. The driver's libraries are stubs.
set -u
cd "$(dirname "$0")/.." || exit 1
PATH=$PATH:/usr/sbin:/sbin:$HOME/.cargo/bin

if [ -t 1 ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); else bold='' plain=''; fi
title() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
fail() { printf '\n%sFAILED: %s%s\n' "$bold" "$*" "$plain"; exit 1; }

[ -e /proc/self/exe ] || fail "Rust needs /proc: mount -t proc proc /proc"
command -v gcc >/dev/null || fail "gcc is missing: apt-get install gcc libc6-dev"
command -v cargo >/dev/null || fail "Rust is missing: install it with rustup, then start this again"
sudo=
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || fail "containers are started by root: become root and start this again"
  sudo=sudo
fi

title '1. What it needs'
sh tests/fixtures/install.sh runc crun busybox=busybox-static unshare=util-linux mount || fail 'a package could not be installed'
$sudo sh tests/fixtures/private.sh true || fail 'containers cannot be started here (within docker it takes --privileged)'
$sudo sh tests/fixtures/private.sh sh -c 'runc --version; crun --version' | grep ' version ' || fail 'a runtime does not run'

title '2. cargo build --release --locked'
cargo build --release --locked || fail 'the build failed (it needs Rust 1.88 or newer)'
binary=${CARGO_TARGET_DIR:-target}/release/nvidia-ctk
printf '%s: %s bytes, ' "$binary" "$(stat -c %s "$binary")"
if ldd "$binary" 2>&1 | grep -q '=>'; then echo 'dynamically linked'; else echo 'statically linked'; fi

temp=$(mktemp -d) || fail 'no temporary folder'
trap '$sudo rm -rf "$temp"' EXIT
trap 'exit 130' HUP INT TERM

title '3. A container image and a driver'
$sudo sh tests/fixtures/rootfs.sh "$temp" || fail 'the image could not be made'
echo "image:  libc, ldconfig and busybox of this machine, $(du -sh "$temp/rootfs" | cut -f1)"
echo "driver: $(cd "$temp/driver" && echo *)"
# The driver goes into a folder that no loader knows.
{
  $sudo mkdir -p "$temp/rootfs/usr/local/nvidia" "$temp/bin" &&
    $sudo cp -r "$temp/driver" "$temp/rootfs/usr/local/nvidia/lib64" &&
    $sudo cp packaging/demo/look.sh "$temp/rootfs/" &&
    $sudo cp "$binary" "$temp/bin/nvidia-cdi-hook"
} || fail 'the image could not be made'

# hook ARGUMENT...: one hook as JSON
hook() {
  printf '{"path": "%s/bin/nvidia-cdi-hook", "env": ["NVIDIA_CTK_DEBUG=false"], "timeout": 70, "args": ["nvidia-cdi-hook"' "$temp"
  printf ', "%s"' "$@"
  printf ']}'
}
# config HOOKS: a bundle's config.json
config() {
  cat <<JSON
{
  "ociVersion": "1.0.2",
  "root": {"path": "rootfs"},
  "process": {"user": {"uid": 0, "gid": 0}, "cwd": "/", "args": ["sh", "/look.sh"], "env": ["PATH=/usr/sbin:/usr/bin"]},
  "mounts": [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
    {"destination": "/dev/nvidia-caps", "type": "tmpfs", "source": "tmpfs", "options": ["mode=0700"]}
  ],
  "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "network"}]},
  "hooks": {"createContainer": [$1]}
}
JSON
}
hooks="$(hook chmod --mode 755 --path /dev/nvidia-caps),
    $(hook create-symlinks),
    $(hook update-ldcache --folder /usr/local/nvidia/lib64)"

# container RUNTIME HOOKS: runs look.sh in a fresh container, prints and keeps what it says
container() {
  bundle=$temp/$1
  config "$2" | $sudo tee "$temp/config.json" >/dev/null
  $sudo rm -rf "$bundle"
  $sudo mkdir "$bundle" && $sudo cp -a "$temp/rootfs" "$temp/config.json" "$bundle/" || return
  runtime=$1
  # crun can do without cgroups; runc cannot.
  [ "$runtime" != crun ] || runtime='crun --cgroup-manager=disabled'
  # crun gives the file to root.
  rm -f "$temp/seen"
  # shellcheck disable=SC2086 # a command with its options
  $sudo sh tests/fixtures/private.sh $runtime --root "$temp/state" run --bundle "$bundle" "nvidia-ctk-demo-$$" \
    >"$temp/seen" 2>&1 </dev/null
  code=$?
  cat "$temp/seen"
  return $code
}
has() { grep -q "$1" "$temp/seen" || fail "$name: $2"; }

step=4
for name in runc crun; do
  title "$step. $name, without hooks: the driver is there, but nothing finds it"
  container $name '' || fail "$name could not start a container"
  has 'not loaded: libcuda.so.1' 'libcuda.so.1 was found without the hooks: this shows nothing'
  title "$((step + 1)). $name, with three hooks of the stage createContainer"
  echo '     nvidia-cdi-hook chmod --mode 755 --path /dev/nvidia-caps'
  echo '     nvidia-cdi-hook create-symlinks'
  echo '     nvidia-cdi-hook update-ldcache --folder /usr/local/nvidia/lib64'
  container $name "$hooks" || fail "$name could not start a container with the hooks"
  has 'libcuda.so -> libcuda.so.1' 'the link libcuda.so is missing'
  has 'drwxr-xr-x' 'the mode was not set'
  has 'libcuda.so.1 (libc6' 'libcuda.so.1 is not in ld.so.cache'
  has 'libc.so.6 (libc6' 'libc.so.6 is no longer in ld.so.cache'
  has 'loaded libcuda.so.1, cuInit = 100' 'libcuda.so.1 could not be loaded'
  step=$((step + 2))
done

printf '\n%sOK%s: libcuda.so.1 loads in containers of runc and of crun\n' "$bold" "$plain"
