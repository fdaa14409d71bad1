#!/bin/sh
# What is mounted in a container is not its own: images whose links aim the hooks at volumes, /proc and /sys, and drivers in volumes,
# under the crun, runc and podman of Debian sid. From 1.26 on crun makes `ro` volumes read-only only after the createContainer hooks.
#   NVIDIA_CTK_BINARY=BINARY sh tests/long/mounts.sh
# As root; needs Debian's archive. BINARY is the release build of this tree by default.
set -eu
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin:$HOME/.cargo/bin"
cd "$(dirname "$0")/../.."
oldest_crun=1.26

die() {
  printf 'mounts: %s\n' "$*" >&2
  exit 1
}

case ${1-} in
'')
  [ "$(id -u)" = 0 ] || die 'this test needs root'
  sh tests/fixtures/install.sh mmdebstrap unshare=util-linux
  binary=${NVIDIA_CTK_BINARY-}
  if [ -z "$binary" ]; then
    cargo build --release --locked
    binary=${CARGO_TARGET_DIR:-target}/release/nvidia-ctk
  fi
  tmp=$(mktemp -d)
  trap 'rm -rf "$tmp"' EXIT
  trap 'exit 130' HUP INT PIPE TERM
  if ! sh tests/fixtures/debian.sh make sid "$tmp/root" crun runc podman busybox-static gcc libc6-dev bash coreutils dash diffutils \
    findutils gawk grep libc-bin mount sed tar util-linux >"$tmp/log" 2>&1; then
    tail -n 5 "$tmp/log"
    echo 'SKIPPED mounts: the packages of Debian sid cannot be fetched'
    [ "${CI-}" != true ]
    exit
  fi
  install -D "$binary" "$tmp/root/work/nvidia-cdi-hook"
  sh tests/fixtures/debian.sh run "$tmp/root" "$PWD" sh tests/fixtures/private.sh sh tests/long/mounts.sh --inside
  exit
  ;;
--inside) ;;
*) die 'usage: sh tests/long/mounts.sh' ;;
esac

# From here on this is a machine of its own with Debian sid; all that is mounted ends with it. Cgroups do not.
trap 'rmdir /sys/fs/cgroup/*/nvidia-ctk-mounts /sys/fs/cgroup/nvidia-ctk-mounts 2>/dev/null' EXIT
umask 022
. tests/fixtures/bundle.sh
host=/work/host # stands for the host's files, which are a volume
checks=0 failed=0 hostile=0

# check DESCRIPTION COMMAND...: says what is wrong, and goes on
check() {
  checks=$((checks + 1)) description=$1
  shift
  if "$@" >/work/output 2>&1; then return; fi
  failed=$((failed + 1))
  printf 'FAILED %s: %s\n' "$case" "$description"
  sed 's/^/    /' /work/output
}

# Everything that can change. The time of the last change of an inode stands for extended attributes too, and for what is undone.
tree() {
  find "$1" -printf '%P %y %M %U:%G %n %s %TY-%Tm-%Td %TT %CT %l\n' | sort
  find "$1" -type f -exec sha256sum {} + | sort
}
keep() { tree "$1" >"$1.before"; }
is_unchanged() { tree "$1" | diff "$1.before" -; }

# new_host OWNER
new_host() {
  rm -rf $host
  mkdir -p $host/etc/ld.so.conf.d $host/etc/nvidia $host/lib
  cp -r /work/image/driver $host/driver
  cp -a /work/image/rootfs/etc $host/etc-of-image
  echo 'a cache' >$host/etc/ld.so.cache
  echo 'include /etc/ld.so.conf.d/*.conf' >$host/etc/ld.so.conf
  echo /lib >$host/etc/ld.so.conf.d/host.conf
  gcc -shared -fPIC -nostdlib -Wl,-soname,libhost.so.1 -o $host/lib/libhost.so.1.2 tests/fixtures/stub.c
  ln -s missing $host/lib/libx.so.1
  echo secret >$host/secret
  chmod 600 $host/secret
  chown -hR "$1:$1" $host
  find $host -exec touch -h -d 2001-02-03 {} +
  keep $host
}

# loads LIBRARY...: the container's loader finds them, by dlopen and in the list of its own ldconfig
loads() {
  for library; do shows "loaded $library, cuInit = 100" "	$library (libc6" || return; done
}
driver='libcuda.so.1 libcuda.so libnvidia-ml.so.1'
ask="ldconfig -p; for library in $driver libhost.so.1; do probe \$library; done; :"

# attack RUNTIME WAY PLACE RIGHTS HOOKS: the image has links to the host's tree; PLACE is what of its /etc is one
attack() {
  case="$1, $2, $3 in a volume ($4), $5" hostile=$((hostile + 1))
  new_host "$(owner "$2")"
  new_bundle
  own_dev
  volume $host /host "$4"
  volume $host/driver $folder ro
  mkdir -p $image/opt $image/host $image/usr/local/cuda/compat
  ln -s /host/secret $image/opt/mode
  ln -s /host/lib $image/opt/lib
  # Modes of these two are seen by this container alone.
  ln -s /proc/1/net/dev $image/opt/proc
  ln -s /sys/class/net/lo/mtu $image/opt/sys
  # Newer than the driver: its directory gets a line in ld.so.conf.d.
  cp /work/image/driver/libcuda.so.* $image/usr/local/cuda/compat/libcuda.so.580.1
  rm -r "${image:?}/$3"
  ln -s "/host/$3" "$image/$3"
  [ "$3" = etc ] || ln -s ../host/etc/nvidia $image/etc/nvidia
  if [ "$5" = apply ]; then
    hook apply --host-driver-version=575.57.08 --link=libhost.so.1.2::/opt/lib/libown.so --chmod=755:/opt/mode \
      --chmod=755:/opt/proc --chmod=755:/opt/sys --folder=$folder --folder=/host/lib --update-application-profile
  else
    hook enable-cuda-compat --host-driver-version=575.57.08
    hook create-symlinks
    hook create-symlinks --link=libhost.so.1.2::/opt/lib/libown.so
    hook chmod --mode=755 --path=/opt/mode --path=/opt/proc --path=/opt/sys
    hook update-ldcache --folder=$folder --folder=/host/lib
    hook update-application-profile
  fi
  check 'the container starts' start "$1" "$2" "stat -c %n:%a /proc/1/net/dev /sys/class/net/lo/mtu; $ask"
  check "the host's tree is unchanged" is_unchanged $host
  check 'modes in /proc and /sys are unchanged' shows /proc/1/net/dev:444 /sys/class/net/lo/mtu:644
  # shellcheck disable=SC2086 # a list
  [ "$3" = etc ] || check 'the libraries of volumes are found' loads $driver libhost.so.1
}

# driver_in_volume RUNTIME WAY DEV HOOKS: nothing is wrong, so nobody warns. DEV is the container's own or, as in a toolbox, the host's.
driver_in_volume() {
  case="$1, $2, driver in a volume, $3 /dev, $4"
  new_host "$(owner "$2")"
  new_bundle
  volume $host/driver $folder ro
  if [ "$3" = own ]; then own_dev; else volume /dev /dev rslave; fi
  if [ "$4" = apply ]; then
    hook apply --strict --link=libcuda.so.1::$folder/libcuda.so --link=../card0::/dev/dri/by-path/pci-card --chmod=755:/dev/dri \
      --folder=$folder
  else
    hook create-symlinks --strict --link=libcuda.so.1::$folder/libcuda.so --link=../card0::/dev/dri/by-path/pci-card
    hook create-symlinks --strict
    hook chmod --strict --mode=755 --path=/dev/dri
    hook update-ldcache --strict --folder=$folder
  fi
  check 'the container starts' start "$1" "$2" "$ask"
  check 'no hook warns' diff /dev/null $said
  check "the host's tree is unchanged" is_unchanged $host
  # shellcheck disable=SC2086 # a list
  check 'the driver is found' loads $driver
}

# etc_on_tmpfs RUNTIME: as with a Kubernetes emptyDir at /etc
etc_on_tmpfs() {
  case="$1, /etc on a tmpfs of the host"
  new_host 0
  new_bundle
  own_dev
  mkdir /work/etc
  mount -t tmpfs tmpfs /work/etc
  cp -a $image/etc/. /work/etc
  keep /work/etc
  volume /work/etc /etc rw
  volume $host/driver $folder ro
  hook apply --folder=$folder
  check 'the container starts' start "$1" root "$ask"
  check 'the volume is unchanged' is_unchanged /work/etc
  # shellcheck disable=SC2086 # a list
  check 'the driver is found' loads $driver
  umount /work/etc
  rmdir /work/etc
}

podman_() {
  PODMAN_IGNORE_CGROUPSV1_WARNING=1 podman --root /work/storage --runroot /run/storage --tmpdir /run/podman --storage-driver vfs \
    --cgroup-manager cgroupfs --events-backend none --hooks-dir /work/hooks.d "$@"
}

# in_podman RUNTIME DESCRIPTION [run's OPTION...] IMAGE: with the one hook that was named last
in_podman() {
  case="podman with $1, $2" runtime=$1
  shift 2
  new_host 0
  echo "{\"version\": \"1.0.0\", \"hook\": $hooks, \"when\": {\"always\": true}, \"stages\": [\"createContainer\"]}" \
    >/work/hooks.d/hook.json
  : >$said
  : >$answer
  check 'the container starts' podman_ --runtime "$runtime" run --rm --network none --cgroups no-conmon \
    --cgroup-parent /nvidia-ctk-mounts --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --volume $answer:/answer \
    --volume "$host/driver:$folder:ro" "$@" sh -c "exec >/answer 2>&1; $ask"
  check "the host's tree is unchanged" is_unchanged $host
  # shellcheck disable=SC2086 # a list
  check 'the driver is found' loads $driver
}

etc_in_podman() {
  new_bundle
  hook apply --folder=$folder
  in_podman "$1" 'VOLUME /etc' with-volume
  in_podman "$1" '-v vol:/etc' --volume etc:/etc plain
  check "the volume's cache is unchanged" cmp /work/storage/volumes/etc/_data/ld.so.cache $image/etc/ld.so.cache
  podman_ volume rm --force etc >/dev/null
  in_podman "$1" '-v dir:/etc:O' --volume $host/etc-of-image:/etc:O plain
}

toolbox() {
  new_bundle
  hook apply --strict --link=libcuda.so.1::$folder/libcuda.so --chmod=755:/dev/dri --folder=$folder
  in_podman "$1" 'a toolbox' --volume /dev:/dev:rslave plain
  check 'no hook warns' diff /dev/null $said
}

for program in crun runc podman; do $program --version | head -n 1; done
version=$(crun --version | sed -n 's/^crun version //p')
[ "$(printf '%s\n' $oldest_crun "$version" | sort -V | head -n 1)" = $oldest_crun ] ||
  die "crun $version is older than $oldest_crun: this would show nothing"
sh tests/fixtures/rootfs.sh /work/image
mkdir -p /dev/dri/by-path /work/hooks.d
ln -s ../card0 /dev/dri/by-path/pci-card
mknod -m 666 /dev/nvidia0 c 195 0
tar -C /work/image/rootfs -cf /work/image.tar .
podman_ import --quiet /work/image.tar plain >/dev/null
podman_ import --quiet --change 'VOLUME /etc' /work/image.tar with-volume >/dev/null

for runtime in crun runc; do
  for way in root userns rootless; do
    for by in apply single; do
      for rights in ro rw; do
        attack $runtime $way etc/ld.so.conf.d $rights $by
        attack $runtime $way etc $rights $by
      done
      driver_in_volume $runtime $way own $by
      driver_in_volume $runtime $way host $by
    done
  done
  etc_on_tmpfs $runtime
  etc_in_podman $runtime
  toolbox "$runtime"
done
printf 'hostile cases: %d\n%d checks, %d failed\n' $hostile $checks $failed
[ $failed = 0 ]
