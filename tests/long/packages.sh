#!/bin/sh
# The packages, in a Debian that has nothing but the essential: install, run, upgrade, remove, beside NVIDIA's and in its place.
#   sh tests/long/packages.sh [BINARY]
# As root. BINARY is NVIDIA_CTK_BINARY or else the release build of this tree by default.
set -eu
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin:$HOME/.cargo/bin"
cd "$(dirname "$0")/../.."

die() {
	printf 'packages: %s\n' "$*" >&2
	exit 1
}
[ "$(id -u)" = 0 ] || die 'this test needs root'
sh tests/fixtures/install.sh mmdebstrap rpm rpm2cpio=rpm cpio unshare=util-linux dpkg-deb=dpkg
binary=${1:-${NVIDIA_CTK_BINARY:-}}
if [ -z "$binary" ]; then
	cargo build --release --locked
	binary=${CARGO_TARGET_DIR:-target}/release/nvidia-ctk
fi

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT PIPE TERM
root=$tmp/root

step() { printf '== %s\n' "$*"; }

step 'two builds give the same bytes'
packaging/build-packages.sh "$binary" "$tmp/packages" 2>/dev/null
packaging/build-packages.sh "$binary" "$tmp/again" >/dev/null 2>&1
for package in "$tmp/packages"/*; do
	cmp "$package" "$tmp/again/${package##*/}"
done
[ "$(find "$tmp/packages" -type f | wc -l)" = 4 ] || die 'there are not four packages'

step 'units'
if command -v systemd-analyze >/dev/null; then
	dpkg-deb -x "$tmp/packages"/nvidia-ctk_*.deb "$tmp/units"
	sed -i "s|=/usr/bin/|=$tmp/units/usr/bin/|" "$tmp/units/usr/lib/systemd/system"/*.service
	systemd-analyze verify --man=no "$tmp/units/usr/lib/systemd/system"/* 2>&1 | tee "$tmp/verified"
	[ ! -s "$tmp/verified" ] || die 'systemd does not like a unit'
else
	echo 'SKIPPED units: no systemd-analyze'
fi

step 'no script but that before the removal'
for package in "$tmp/packages"/*.deb; do
	dpkg-deb -e "$package" "$tmp/control"
	[ "$(find "$tmp/control" -type f -printf '%f\n' | sort | tr '\n' ' ')" = 'control prerm ' ] || die "$package: $(ls "$tmp/control")"
	sh -n "$tmp/control/prerm"
	rm -r "$tmp/control"
done
for package in "$tmp/packages"/*.rpm; do
	[ "$(rpm -qp --scripts --triggers "$package" | grep -c scriptlet)" = 1 ] || die "$package has other scripts"
	needs=$(rpm -qp --requires "$package" | grep -v '^rpmlib(' | sort -u)
	[ "$needs" = /bin/sh ] || die "$package needs $needs"
done

step 'a Debian with the essential packages'
mmdebstrap --quiet --variant=essential trixie "$root"
for package in "$tmp/packages"/*.deb; do
	name=${package##*/}
	cp "$package" "$root/tmp/${name%%_*}.deb"
done
# What an administrator wrote: no package may touch it.
mkdir -p "$root/etc/docker" "$root/etc/containerd" "$root/etc/cdi"
echo '{ "runtimes": {} }' >"$root/etc/docker/daemon.json"
echo 'version = 3' >"$root/etc/containerd/config.toml"
# spec NAME HOOK ARGUMENT: a CDI spec there.
spec() {
	printf '%s\n' 'cdiVersion: 0.6.0' 'kind: nvidia.com/gpu' 'devices:' '- name: "0"' '  containerEdits:' '    hooks:' \
		'    - hookName: createContainer' "      path: $2" "      args: [nvidia-cdi-hook, $3]" >"$root/$1"
}
spec etc/cdi/toolkit.yaml /usr/bin/nvidia-cdi-hook update-ldcache
# It says what it is called with.
printf '#!/bin/sh\necho "$@" >>/tmp/systemctl\n' >"$root/usr/bin/systemctl"
chmod 755 "$root/usr/bin/systemctl"

inside() {
	# shellcheck disable=SC2016 # the arguments are the inner shell's
	unshare --mount --propagation private sh -c '
		mount -t proc proc "$0/proc" && exec chroot "$0" /usr/bin/env -i PATH=/usr/sbin:/usr/bin "$@"
		' "$root" "$@"
}
# All files but dpkg's own lists and logs.
files() {
	(cd "$root" && find . \( -path ./var/lib/dpkg -o -path ./var/lib/rpm -o -path ./root/.rpmdb -o -path ./var/log -o -path ./tmp \) -prune -o ! -type d -printf '%P %l %i %s\n' \
		-o -name '*nvidia*' -print | sort)
}
dpkg_() { inside dpkg "$@" >"$tmp/dpkg.log" 2>&1; }
must() { dpkg_ "$@" || { cat "$tmp/dpkg.log" >&2; die "dpkg $*"; }; }
files >"$tmp/before"

step 'install and run'
must -i /tmp/nvidia-ctk.deb
mkdir "$tmp/reference"
"$binary" install --root "$tmp/reference" >/dev/null
(cd "$tmp/reference" && find . ! -type d) | while read -r file; do
	[ "$(readlink "$tmp/reference/$file" || sha256sum <"$tmp/reference/$file")" = \
		"$(readlink "$root/$file" || sha256sum <"$root/$file")" ] || die "$file is not what install puts there"
done
inside nvidia-ctk --version
inside /usr/libexec/nvidia-ctk-chmod --help | grep -q 'Usage: nvidia-ctk-chmod' || die 'the link to chmod does not work'
echo '{}' | inside nvidia-cdi-hook noop
said=$(inside nvidia-ctk install)
[ -z "$said" ] || die "install finds something to do after the package: $said"

step 'upgrade'
dpkg-deb -R "$tmp/packages"/nvidia-ctk_*.deb "$tmp/next"
sed -i 's/^Version: .*/Version: 99.0/' "$tmp/next/DEBIAN/control"
rm "$tmp/next/usr/libexec/nvidia-ctk-runtime-configure"
dpkg-deb --root-owner-group --build "$tmp/next" "$root/tmp/next.deb" >/dev/null
must -i /tmp/next.deb
[ ! -e "$root/usr/libexec/nvidia-ctk-runtime-configure" ] || die 'the upgrade left a file'
inside nvidia-ctk --version >/dev/null

step 'remove'
spec etc/cdi/nvidia.yaml /usr/bin/nvidia-cdi-hook apply
must -i /tmp/nvidia-ctk.deb
[ -e "$root/etc/cdi/nvidia.yaml" ] || die 'another version took the spec'
[ ! -e "$root/tmp/systemctl" ] || die 'another version stopped the units'
must -r nvidia-ctk
files | diff "$tmp/before" - || die 'the removal left or changed files'
grep -q '^--no-reload disable --now -- nvidia-ctk-' "$root/tmp/systemctl" || die 'the removal leaves units enabled'

# A stand-in with the files that NVIDIA's package has.
toolkit=$tmp/toolkit
mkdir -p "$toolkit/DEBIAN" "$toolkit/usr/bin"
for name in nvidia-ctk nvidia-cdi-hook nvidia-container-runtime; do
	printf '#!/bin/sh\necho toolkit\n' >"$toolkit/usr/bin/$name"
	chmod 755 "$toolkit/usr/bin/$name"
done
printf '%s\n' 'Package: nvidia-container-toolkit-base' 'Version: 1.20.0-1' "Architecture: $(dpkg --print-architecture)" \
	'Maintainer: Nobody <nobody@localhost>' 'Description: stand-in' >"$toolkit/DEBIAN/control"
dpkg-deb --root-owner-group --build "$toolkit" "$root/tmp/toolkit.deb" >/dev/null

step "beside NVIDIA's"
must -i /tmp/toolkit.deb
files >"$tmp/with-toolkit"
must -i /tmp/nvidia-ctk-hooks.deb
[ "$(inside nvidia-ctk)" = toolkit ] || die "NVIDIA's nvidia-ctk is another one now"
(cd "$root" && find usr/bin usr/sbin -name 'nvidia*' | sort) >"$tmp/in-path"
(cd "$toolkit" && find usr/bin -name 'nvidia*' | sort) | diff - "$tmp/in-path" || die 'a name of ours is in PATH'
for hook in "$root"/usr/share/containers/oci/hooks.d/*nvidia-ctk*; do
	program=$(sed -n 's/.*"path": *"\([^"]*\)".*/\1/p' "$hook" | head -n 1)
	inside "$program" --help | grep -q "Usage: ${program##*/}" || die "$hook calls $program"
done
spec etc/cdi/nvidia.yaml /usr/libexec/nvidia-ctk/nvidia-cdi-hook apply
must -r nvidia-ctk-hooks
files | diff "$tmp/with-toolkit" - || die 'the removal left or changed files'

step "in the place of NVIDIA's"
must -i /tmp/nvidia-ctk.deb
dpkg_ -s nvidia-container-toolkit-base && grep -q '^Status: install ok' "$tmp/dpkg.log" && die 'both are installed'
inside nvidia-ctk --version | grep -q '^nvidia-ctk version' || die "NVIDIA's nvidia-ctk is still there"
must -r nvidia-ctk
files | diff "$tmp/before" - || die 'the removal left or changed files'

step 'rpm'
rpm_() {
	# shellcheck disable=SC2016 # the arguments are the inner shell's
	unshare --mount --propagation private sh -c 'mount -t proc proc "$0/proc" && exec rpm --root "$0" "$@"' "$root" "$@"
}
for name in nvidia-ctk nvidia-ctk-hooks; do
	package=$(echo "$tmp/packages/$name"-[0-9]*.rpm)
	rpm_ --initdb
	# Its database does not know of the shell that dpkg installed.
	rpm_ --ignorearch --nodeps -i "$package"
	rpm_ --nodeps -V "$name"
	inside /usr/libexec/nvidia-ctk-ldcache --help >/dev/null
	case $name in nvidia-ctk) bin=/usr/bin ;; *) bin=/usr/libexec/nvidia-ctk ;; esac
	spec etc/cdi/nvidia.yaml "$bin/nvidia-cdi-hook" apply
	rpm_ -e "$name"
	files | diff "$tmp/before" - || die 'rpm left or changed files'
	# The other way to look into one.
	mkdir "$tmp/unpacked"
	(cd "$tmp/unpacked" && rpm2cpio "$package" | cpio -id --quiet)
	dpkg-deb -x "$tmp/packages/${name}"_*.deb "$tmp/deb"
	(cd "$tmp/deb" && find . ! -type d | sed 's|vendor-completions/|site-functions/|' | sort) >"$tmp/in-deb"
	(cd "$tmp/unpacked" && find . ! -type d | sort) | diff "$tmp/in-deb" - ||
		die 'the packages have other files'
	rm -r "$tmp/unpacked" "$tmp/deb"
done
rpm -qp --conflicts "$tmp/packages"/nvidia-ctk-[0-9]*.rpm | grep -qx nvidia-container-toolkit-base || die 'rpm: no conflict'
echo OK
