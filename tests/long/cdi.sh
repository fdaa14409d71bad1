#!/bin/sh
# Real drivers, of Debian's non-free section, installed and rearranged as distributions and clouds have them: `cdi generate` has to find
# what lies there, and in containers with its specs every library loads that loads at all. Without a GPU cuInit answers 100, nvmlInit 9.
#   NVIDIA_CTK_BINARY=BINARY sh tests/long/cdi.sh
# As root, on amd64; needs Debian's archive. BINARY is the release build of this tree by default. CDI_ROOTS is a folder that keeps
# what is fetched.
set -eu
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin:$HOME/.cargo/bin"
cd "$(dirname "$0")/../.."
multiarch=usr/lib/x86_64-linux-gnu

die() {
  printf 'cdi: %s\n' "$*" >&2
  exit 1
}

skip() {
  echo "SKIPPED real drivers in CDI specs: $*"
  [ "${CI-}" != true ]
  exit
}

# --- hosts ------------------------------------------------------------------------------------------------------------------

# What packages bring besides the driver, under the same names.
besides() { grep -v -e /man/ -e /doc/ -e /init.d/ -e /lintian/ -e /bug/ -e /reportbug -e /default/; }

# driver_files PATTERN...: the regular files of the driver in the installed system $from with these names
driver_files() {
  for pattern; do find "$from/usr" "$from/etc" -name "$pattern" -type f; done | besides
}

# place FOLDER FILE...: hard links, as the files are large
place() {
  folder=$1
  shift
  [ $# -gt 0 ] || return 0
  mkdir -p "$folder"
  cp -al "$@" "$folder"
}

# place_named FOLDER PATTERN...: the driver's files with these names
place_named() {
  folder=$1
  shift
  # shellcheck disable=SC2046 # no blanks in these names
  place "$folder" $(driver_files "$@")
}

# libraries FOLDER: all of the driver in one folder, with the links that installers make
libraries() {
  place_named "$1" "lib*.so.$version" 'libnvidia-api.so.1' 'libnvidia-egl-*.so.1.*'
  rm -f "$1"/libglxserver_nvidia.so.* "$1"/libvdpau_nvidia.so.*
  place_named "$1/vdpau" "libvdpau_nvidia.so.$version"
  ldconfig -n "$1" "$1/vdpau"
  for name in cuda nvidia-ml nvcuvid; do ln -s "lib$name.so.1" "$1/lib$name.so"; done
}

# shared FOLDER ETC: what is not for the loader
shared() {
  place_named "$1/nvidia" nvoptix.bin
  place_named "$1/glvnd/egl_vendor.d" 10_nvidia.json
  place_named "$1/egl/egl_external_platform.d" 10_nvidia_wayland.json 15_nvidia_gbm.json
  place_named "$1/vulkan/icd.d" nvidia_icd.json
  place_named "$1/vulkan/implicit_layer.d" nvidia_layers.json
  place_named "$2/OpenCL/vendors" nvidia.icd
}

programs() {
  place_named "$1" nvidia-smi nvidia-persistenced nvidia-cuda-mps-control nvidia-cuda-mps-server
}

# firmware FOLDER: which the kernel knows by itself, or is told
firmware() {
  place_named "$host$1/nvidia/$version" 'gsp_*.bin'
  case $1 in
  /lib/firmware | /usr/lib/firmware) ;;
  *)
    mkdir -p "$host/sys/module/firmware_class/parameters"
    echo "$1" >"$host/sys/module/firmware_class/parameters/path"
    ;;
  esac
}

# system ID: a host without a driver, which is to be for $host
system() {
  mkdir -p "$host/etc" "$host/usr/lib" "$host/usr/lib64" "$host/usr/bin" "$host/dev" "$host/run"
  for top in lib lib64 bin; do ln -s "usr/$top" "$host/$top"; done
  echo "ID=$1" >"$host/etc/os-release"
}

# kernel: the module, and one GPU
kernel() {
  proc=$host/proc/driver/nvidia pci=$host/sys/bus/pci/devices/0000:01:00.0
  mkdir -p "$proc/gpus/0000:01:00.0" "$proc/capabilities/gpu0/mig" "$pci/drm/card1" "$pci/drm/renderD128" "$host/sys/module/nvidia" \
    "$host/dev/dri"
  printf 'NVRM version: NVIDIA UNIX x86_64 Kernel Module  %s  Thu Apr 10 21:19:30 UTC 2025\n' "$version" >"$proc/version"
  echo 'ModifyDeviceFiles: 1' >"$proc/params"
  printf 'Model: \t\t NVIDIA L4\nGPU UUID: \t GPU-11111111-1111-4111-8111-111111111111\nDevice Minor: \t 0\n' \
    >"$proc/gpus/0000:01:00.0/information"
  echo "$version" >"$host/sys/module/nvidia/version"
  echo 0x10de >"$pci/vendor"
  echo 0x030200 >"$pci/class"
  printf 'Character devices:\n195 nvidia\n195 nvidiactl\n226 drm\n508 nvidia-uvm\n\nBlock devices:\n' >"$host/proc/devices"
  while read -r name major minor; do mknod -m 666 "$host/dev/$name" c "$major" "$minor"; done <<-END
	nvidia0 195 0
	nvidiactl 195 255
	nvidia-modeset 195 254
	nvidia-uvm 508 0
	nvidia-uvm-tools 508 1
	dri/card1 226 1
	dri/renderD128 226 128
	END
}

debian() { # as its packages installed it
  cp -al "$from/." "$host"
  rm -rf "${host:?}/dev" "$host/proc" "$host/sys"
  mkdir "$host/dev"
}

ubuntu() {
  system ubuntu
  libraries "$host/$multiarch"
  shared "$host/usr/share" "$host/etc"
  programs "$host/usr/bin"
  firmware /usr/lib/firmware
  place_named "$host/$multiarch/nvidia/xorg" nvidia_drv.so "libglxserver_nvidia.so.$version"
  echo "/$multiarch" >"$host/etc/ld.so.conf"
  ldconfig -r "$host"
}

fedora() {
  system fedora
  libraries "$host/usr/lib64"
  shared "$host/usr/share" "$host/etc"
  [ ! -e "$host/usr/share/vulkan/icd.d/nvidia_icd.json" ] ||
    mv "$host/usr/share/vulkan/icd.d/nvidia_icd.json" "$host/usr/share/vulkan/icd.d/nvidia_icd.x86_64.json"
  programs "$host/usr/bin"
  firmware /usr/lib/firmware
  place_named "$host/usr/lib64/xorg/modules/drivers" nvidia_drv.so
  place_named "$host/usr/lib64/xorg/modules/extensions" "libglxserver_nvidia.so.$version"
  echo /usr/lib64 >"$host/etc/ld.so.conf"
  ldconfig -r "$host"
}

run() { # NVIDIA's installer, where no ldconfig has run since
  system slackware
  libraries "$host/usr/lib64"
  shared "$host/usr/share" "$host/etc"
  programs "$host/usr/bin"
  firmware /lib/firmware
}

gke() {
  system cos
  libraries "$host/home/kubernetes/bin/nvidia/lib64"
  programs "$host/home/kubernetes/bin/nvidia/bin"
  place_named "$host/home/kubernetes/bin/nvidia/vulkan/icd.d" nvidia_icd.json
  firmware /home/kubernetes/bin/nvidia/firmware
}

nixos() {
  system nixos
  store=/nix/store/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-nvidia-x11-$version
  libraries "$host$store/lib"
  shared "$host$store/share" "$host$store/etc"
  programs "$host$store/bin"
  firmware "$store/lib/firmware"
  ln -s "$store" "$host/run/opengl-driver"
}

talos() {
  system talos
  libraries "$host/usr/local/glibc/usr/lib"
  programs "$host/usr/local/bin"
  shared "$host/usr/local/glibc/usr/share" "$host/usr/local/glibc/etc"
  firmware /lib/firmware
}

operator() { # the root of NVIDIA's container, with links that are absolute there
  system ubuntu
  mkdir -p "$host/run/nvidia"
  cp -al "$from" "$host/run/nvidia/driver"
  rm -rf "$host/run/nvidia/driver/dev"
}

wsl() {
  system ubuntu
  store=$host/usr/lib/wsl/drivers/nv_dispi.inf_amd64_0123456789abcdef
  mkdir -p "$store" "$host/usr/lib/wsl/lib" "$host/proc/sys/kernel"
  echo 6.6.87.2-microsoft-standard-WSL2 >"$host/proc/sys/kernel/osrelease"
  while read -r name file; do cp -al "$(driver_files "$name")" "$store/$file"; done <<-END
	libcuda.so.$version libcuda.so.1.1
	libnvidia-ml.so.$version libnvidia-ml.so.1
	libnvidia-ptxjitcompiler.so.$version libnvidia-ptxjitcompiler.so.1
	nvidia-smi nvidia-smi
	END
  gcc -shared -fPIC -Wl,-soname,libdxcore.so -o "$host/usr/lib/wsl/lib/libdxcore.so" tests/fixtures/stub.c
  mknod -m 666 "$host/dev/dxg" c 10 125
}

# --- specs ------------------------------------------------------------------------------------------------------------------

# mounts WHAT: of the spec
mounted() { jq -r ".containerEdits.mounts[].$1" "$spec" | sort; }

# check_spec: what lies on the host is in the spec, and what is in the spec lies there
check_spec() {
  mounted hostPath >"$tmp/mounted"
  [ -z "$(uniq -d "$tmp/mounted")" ] || die "$case: twice: $(uniq -d "$tmp/mounted")"
  while read -r path; do
    if [ ! -f "$host$path" ] || [ -L "$host$path" ]; then die "$case: $path is no file of the host"; fi
  done <"$tmp/mounted"
  if [ "$layout" = wsl ]; then
    find "$host/usr/lib/wsl/drivers" -type f
  else
    find "$host" \( -name "lib*.so.$version" -o -name 'libnvidia-api.so.1' -o -name 'libnvidia-egl-*.so.1.*' -o -name nvidia_drv.so \
      -o -name nvoptix.bin -o -name '*nvidia*.json' -o -name nvidia.icd -o -name nvidia-smi -o -name 'nvidia-cuda-mps-*' \
      -o -name nvidia-persistenced -o -name 'gsp_*.bin' \) -type f | besides
  fi | sed "s|^$host||" | sort >"$tmp/there"
  missing=$(comm -23 "$tmp/there" "$tmp/mounted")
  [ -z "$missing" ] || die "$case: not in the spec: $missing"
  odd=$(mounted containerPath | grep -v -e '\.so' -e '^/usr/bin/nvidia-' -e '^/usr/sbin/nvidia-' -e '^/usr/share/' -e '^/etc/' -e '^/lib/firmware/' \
    -e '^/usr/lib/firmware/' -e '^/usr/lib/wsl/' || :)
  [ -z "$odd" ] || die "$case: in odd places: $odd"
}

# fragment FILTER: of the spec's edits for all devices, as parts of config.json parted by commas
fragment() {
  jq -r --arg host "$host" "[.containerEdits, (.devices[] | select(.name == \"all\") | .containerEdits)] | $1 | map(tojson) | join(\", \")" "$spec"
}

# use_spec: a container as an engine would make it
# shellcheck disable=SC2016 # programs of jq
use_spec() {
  new_bundle
  own_dev
  mounts="$mounts, $(fragment 'map(.mounts // []) | add | map({destination: .containerPath, type: "bind", source: ($host + .hostPath), options})')"
  devices=$(fragment 'map(.deviceNodes // []) | add | map({path, type: "c", major: (.major // 0), minor: (.minor // 0), fileMode, uid: 0, gid: (.gid // 0)})')
  hooks=$(fragment "map(.hooks // []) | add | map({path: \"/bin/sh\", env, timeout: 20, args: ([\"sh\", \"-c\", \"exec \\\"\$0\\\" \\\"\$@\\\" 2>>$said\", .path] + .args[1:])})")
}

# names: those by which programs load what the spec mounts
names() {
  mounted hostPath | grep -e '\.so' | grep -v -e /xorg/ -e glxserver -e nvidia_drv -e libdxcore | while read -r path; do
    soname=$(readelf -d "$host$path" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
    echo "${soname:-${path##*/}}"
  done
}

# --- the run ----------------------------------------------------------------------------------------------------------------

layouts='debian ubuntu fedora run gke nixos talos operator wsl'

case ${1-} in
'')
  [ "$(id -u)" = 0 ] || die 'this test needs root'
  [ "$(uname -m)" = x86_64 ] || skip 'the packages are of amd64'
  sh tests/fixtures/install.sh mmdebstrap jq gcc unshare=util-linux
  binary=${NVIDIA_CTK_BINARY-}
  if [ -z "$binary" ]; then
    cargo build --release --locked
    binary=${CARGO_TARGET_DIR:-target}/release/nvidia-ctk
  fi
  tmp=$(mktemp -d)
  trap 'rm -rf "$tmp"' EXIT
  trap 'exit 130' HUP INT PIPE TERM
  roots=${CDI_ROOTS:-$tmp/roots}
  mkdir -p "$roots"
  # make NAME SUITE PACKAGE...
  make() {
    name=$1 suite=$2
    shift 2
    [ ! -d "$roots/$name" ] || return 0
    rm -rf "$roots/$name.part"
    sh tests/fixtures/debian.sh make "$suite" "$roots/$name.part" "$@" >"$tmp/log" 2>&1 || { cat "$tmp/log" && skip "$name cannot be fetched"; }
    mv "$roots/$name.part" "$roots/$name"
  }
  make machine bookworm runc crun busybox-static jq binutils gcc libc6-dev bash coreutils dash diffutils findutils gawk grep libc-bin \
    mount sed tar util-linux
  for suite in bookworm trixie; do
    export VARIANT=minbase COMPONENTS='main contrib non-free non-free-firmware'
    make "driver-$suite" "$suite" nvidia-driver-libs nvidia-smi nvidia-persistenced nvidia-cuda-mps firmware-nvidia-gsp nvidia-vulkan-icd \
      nvidia-egl-icd nvidia-opencl-icd nvidia-vdpau-driver xserver-xorg-video-nvidia libcudadebugger1 libnvidia-allocator1 \
      libnvidia-api1 libnvidia-egl-gbm1 libnvidia-encode1 libnvidia-fbc1 libnvidia-ngx1 libnvidia-opticalflow1 libnvoptix1
  done
  work=$roots/machine/work
  rm -rf "$work"
  trap 'rm -rf "$tmp" "$work"' EXIT
  install -D "$binary" "$work/nvidia-cdi-hook"
  mkdir "$work/specs"
  for suite in bookworm trixie; do
    from=$roots/driver-$suite
    version=$(find "$from/$multiarch" -name 'libcuda.so.*.*' -type f | sed 's/.*\.so\.//')
    [ -n "$version" ] || die "Debian $suite has no libcuda"
    mkdir -p "$work/image-$version"
    cp -al "$from" "$work/image-$version/rootfs"
    find "$work/image-$version/rootfs" \( -iname '*nvidia*' -o -name 'libcuda*' -o -name 'libnvcuvid*' -o -name 'libnvoptix*' \) -prune -exec rm -rf {} +
    rm "$work/image-$version/rootfs/etc/ld.so.cache"
    ldconfig -r "$work/image-$version/rootfs"
    for layout in $layouts; do
      host=$work/hosts/$version-$layout
      mkdir -p "$host"
      "$layout"
      [ "$layout" = wsl ] || kernel
      for style in apply separate; do
        case="$version, $layout, $style" spec=$work/specs/$version-$layout.$style.json
        "$binary" cdi generate --root "$host" --hooks "$style" --format json --nvidia-cdi-hook-path /work/nvidia-cdi-hook --strict >"$spec" ||
          die "$case: no spec"
        check_spec
      done
      echo "$version, $layout: $(mounted hostPath | wc -l) mounts, all that lies there"
    done
  done
  NVIDIA_CTK_BINARY=$binary sh tests/cdi-reader/run.sh "$work/specs"
  sh tests/fixtures/debian.sh run "$roots/machine" "$PWD" sh tests/fixtures/private.sh sh tests/long/cdi.sh --inside
  exit
  ;;
--inside) ;;
*) die 'usage: sh tests/long/cdi.sh' ;;
esac

# shellcheck source=tests/fixtures/bundle.sh
. tests/fixtures/bundle.sh
gcc -O1 -Wall -Wextra -Werror -o /work/load tests/fixtures/load.c
tmp=/work

for images in /work/image-*; do
  version=${images#/work/image-}
  rm -rf /work/image
  mv "$images" /work/image
  cp /work/load /work/image/rootfs/usr/bin/load
  # What loads on the host itself, wherever it lies: some libraries want what no image has.
  host=/work/hosts/$version-debian spec=/work/specs/$version-debian.apply.json
  cp /work/load "$host/usr/bin/load"
  # shellcheck disable=SC2046 # no blanks in these names
  chroot "$host" env "LD_LIBRARY_PATH=/$multiarch/nvidia/current:/$multiarch" load $(names) >/work/native
  sed -n 's/^loaded \([^,]*\).*/\1/p' /work/native | sort >/work/loads
  grep -v '^loaded' /work/native || :
  [ "$(grep -c . /work/loads)" -gt 20 ] || die "$version: on its own host only these load: $(cat /work/loads)"
  for host in /work/hosts/"$version"-*/; do
    host=${host%/}
    for style in apply separate; do
      spec=/work/specs/${host##*/}.$style.json
      case $host in
      *-wsl) gbm='' ;;
      *-fedora | *-run) gbm=/usr/lib64/gbm/nvidia-drm_gbm.so ;;
      *) gbm=/$multiarch/gbm/nvidia-drm_gbm.so ;;
      esac
      wanted=$(names | sort | comm -12 - /work/loads | tr '\n' ' ')$gbm
      for runtime in runc crun; do
        case="${host##*/}, $style, $runtime"
        use_spec
        start "$runtime" root "load $wanted" || die "$case"
        for name in $wanted; do
          case $name in
          libcuda.so.1) shows 'loaded libcuda.so.1, cuInit = 100' || die "$case" ;;
          libnvidia-ml.so.1) shows 'loaded libnvidia-ml.so.1, nvmlInit_v2 = 9' || die "$case" ;;
          *) shows "loaded $name" || die "$case: $name" ;;
          esac
        done
        [ ! -s "$said" ] || die "$case: the hooks say $(cat "$said")"
      done
    done
    echo "${host##*/}: $(echo "$wanted" | wc -w) libraries load"
  done
done
