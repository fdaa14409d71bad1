#!/bin/sh
# The packages, in a Debian that has nothing but apt: install, run, upgrade, remove, beside NVIDIA's and in its place, and back.
#   sh tests/long/packages.sh [BINARY]
# As root. BINARY is one that packaging/build-release.sh made of this tree: by default NVIDIA_CTK_BINARY, or else it is made.
set -eu
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin:$HOME/.cargo/bin"
cd "$(dirname "$0")/../.."

die() {
	printf 'packages: %s\n' "$*" >&2
	exit 1
}
[ "$(id -u)" = 0 ] || die 'this test needs root'
sh tests/fixtures/install.sh mmdebstrap rpm rpm2cpio=rpm cpio unshare=util-linux dpkg-deb=dpkg dpkg-scanpackages=dpkg-dev dnf createrepo_c=createrepo-c jq
binary=${1:-${NVIDIA_CTK_BINARY:-}}
if [ -z "$binary" ]; then
	sh tests/fixtures/cyclonedx.sh
	binary=$(realpath -m "${CARGO_TARGET_DIR:-target}")/dist/nvidia-ctk
	RELEASE_STD=source packaging/build-release.sh --with-sbom "$binary"
fi

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT PIPE TERM
root=$tmp/root

step() { printf '== %s\n' "$*"; }

step 'two builds give the same bytes'
packaging/build-packages.sh "$binary" "$tmp/packages" 2>"$tmp/error" || { cat "$tmp/error" >&2 && die 'there are no packages'; }
packaging/build-packages.sh "$binary" "$tmp/again" >/dev/null 2>&1
for package in "$tmp/packages"/*; do
	cmp "$package" "$tmp/again/${package##*/}"
done
[ "$(find "$tmp/packages" -name '*.deb' -o -name '*.rpm' | wc -l)" = 4 ] || die 'there are not four packages'

step 'what is in them, and on which terms'
sbom=$binary.cdx.json
target=$(jq -r '.metadata.properties[] | select(.name == "cdx:rustc:sbom:target:triple").value' "$sbom")
# tree EDGES: name and version of each crate but our own.
tree() {
	cargo tree --locked --edges "$1" --target "$target" --prefix none --no-dedupe --format '{p}' | cut -d ' ' -f 1,2 |
		grep -v '^nvidia-ctk ' | sort -u
}
tree normal >"$tmp/tree"
jq -r '.components[] | select(.purl | startswith("pkg:cargo/")) | "\(.name) v\(.version)"' "$sbom" | sort | diff "$tmp/tree" - ||
	die "$sbom has other crates"
jq -r '.components[].name, (.metadata.properties[] | select(.name == "nvidia-ctk:build:package").value)' "$sbom" >"$tmp/parts"
for part in 'musl-dev$' 'libgcc-[0-9]*-dev' 'rust-src$' 'rustc_'; do
	grep -q "^$part" "$tmp/parts" || die "$sbom does not name $part"
done
# What it refers to is in it.
jq -e '[.metadata.component, .components[] | ."bom-ref"] as $all | [.dependencies[] | .ref, .dependsOn[]?] - $all == []' "$sbom" >/dev/null ||
	die "$sbom refers to what it does not have"
(cd "$tmp/packages" && sha256sum --quiet --check SHA256SUMS)
[ "$(wc -l <"$tmp/packages/SHA256SUMS")" = 4 ] || die 'SHA256SUMS is not of the four packages'
for package in "$tmp/packages"/*; do
	mkdir "$tmp/unpacked"
	case $package in
	*.deb) dpkg-deb -x "$package" "$tmp/unpacked" ;;
	*.rpm) (cd "$tmp/unpacked" && rpm2cpio "$package" | cpio -id --quiet) ;;
	*) rmdir "$tmp/unpacked" && continue ;;
	esac
	doc=$(echo "$tmp/unpacked"/usr/share/doc/*)
	cmp "$sbom" "$doc/nvidia-ctk.cdx.json"
	case $package in
	*/nvidia-ctk-hooks*) ;;
	*) diff -r packaging/schemas "$tmp/unpacked/usr/share/nvidia-ctk/schemas" ;;
	esac
	{ tree normal,no-proc-macro | sed 's/ v/ /' && grep -E '^(musl-dev|rust-src|libgcc-[^_]*)$' "$tmp/parts"; } | while read -r part; do
		grep -q "^== ${part}[: ]" "$doc/copyright" || die "$package does not say on which terms $part comes"
	done
	for holder in 'Rich Felker' 'The Rust Project' 'GCC RUNTIME LIBRARY EXCEPTION'; do
		grep -q "$holder" "$doc/copyright" || die "$package does not have the terms of $holder"
	done
	rm -r "$tmp/unpacked"
done
mkdir "$tmp/other"
cp "$binary" "$sbom" "$tmp/other"
echo >>"$tmp/other/${binary##*/}"
! packaging/build-packages.sh "$tmp/other/${binary##*/}" "$tmp/other" >/dev/null 2>"$tmp/error" || die 'packages with the SBOM of another binary'
grep -q 'does not list what is linked into' "$tmp/error" || die "$(cat "$tmp/error")"

step 'units'
if command -v systemd-analyze >/dev/null; then
	dpkg-deb -x "$tmp/packages"/nvidia-ctk_*.deb "$tmp/units"
	sed -i "s|=/usr/bin/|=$tmp/units/usr/bin/|" "$tmp/units/usr/lib/systemd/system"/*.service
	systemd-analyze verify --man=no "$tmp/units/usr/lib/systemd/system"/* 2>&1 | tee "$tmp/verified"
	[ ! -s "$tmp/verified" ] || die 'systemd does not like a unit'
else
	echo 'SKIPPED units: no systemd-analyze'
fi

step 'no script but those before the removal'
for package in "$tmp/packages"/*.deb; do
	dpkg-deb -e "$package" "$tmp/control"
	[ "$(find "$tmp/control" -type f -printf '%f\n' | sort | tr '\n' ' ')" = 'control prerm ' ] || die "$package: $(ls "$tmp/control")"
	sh -n "$tmp/control/prerm"
	rm -r "$tmp/control"
done
for package in "$tmp/packages"/*.rpm; do
	rpm -qp --scripts --triggers "$package" | sed -n 's/ scriptlet (using [^)]*)//p' >"$tmp/scripts"
	case $package in
	*/nvidia-ctk-hooks-*) echo preuninstall: ;;
	*) printf '%s\n' preuninstall: 'triggerprein -- nvidia-container-toolkit-base' ;;
	esac | diff - "$tmp/scripts" || die "$package has other scripts"
	needs=$(rpm -qp --requires "$package" | grep -v '^rpmlib(' | sort -u)
	[ "$needs" = /bin/sh ] || die "$package needs $needs"
done

step 'a Debian with apt'
mmdebstrap --quiet --variant=apt trixie "$root"
echo 'deb [trusted=yes] file:/tmp/debs ./' >"$root/etc/apt/sources.list"
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
# All files but the package managers' own lists and logs.
files() {
	(cd "$root" && find . \( -path ./var/lib/dpkg -o -path ./var/lib/apt -o -path ./var/cache -o -path ./var/lib/rpm -o -path ./root/.rpmdb \
		-o -path ./var/lib/dnf -o -path ./var/log -o -path ./tmp \) -prune -o ! -type d -printf '%P %l %i %s\n' -o -name '*nvidia*' -print | sort)
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
inside nvidia-ctk install --with-runtime-hook >/dev/null
must -r nvidia-ctk
files | diff "$tmp/before" - || die 'the removal left or changed files'
grep -q '^--no-reload disable --now -- nvidia-ctk-' "$root/tmp/systemctl" || die 'the removal leaves units enabled'

# Stand-ins for NVIDIA's packages, in both formats: programs that say "toolkit" and write down what they are asked for, and the
# relations of the real ones, which come on standard input as in an RPM's spec. Debian's packages provide nothing.
#   stand_in NAME VERSION PROGRAM...
config=$root/etc/nvidia-container-runtime/config.toml
debs=$root/tmp/debs rpms=$tmp/rpms
mkdir -p "$debs"
stand_in() {
	name=$1 version=$2 stage=$tmp/stand-in
	shift 2
	cat >"$tmp/relations"
	# dpkg takes a package without a file of its own for one that another has replaced.
	mkdir -p "$stage/usr/bin" "$stage/usr/share"
	echo "$version" >"$stage/usr/share/$name"
	for program; do
		printf '#!/bin/sh\necho toolkit\n[ $# = 0 ] || echo "$@" >>/tmp/asked\n' >"$stage/usr/bin/$program"
		chmod 755 "$stage/usr/bin/$program"
	done

	{
		printf '%s\n' "Name: $name" "Version: ${version%-*}" "Release: ${version#*-}" 'Summary: stand-in' 'License: None' 'AutoReqProv: no'
		cat "$tmp/relations"
		printf '%s\n' %description stand-in %install "cp -a '$stage/.' '%{buildroot}'" %files
		(cd "$stage" && find . ! -type d -printf '/%P\n')
		# As from 1.14 on. Up to then it is the package's, and rpm renames it when that goes, to config.toml.rpmsave.
		if [ "$name" = nvidia-container-toolkit-base ]; then
			printf '%s\n' %post 'cd /etc && mkdir -p nvidia-container-runtime && cd nvidia-container-runtime' \
				"[ -e config.toml ] || echo '# as shipped' >config.toml"
		fi
	} >"$tmp/spec"
	rpmbuild --quiet -bb --target "$(uname -m)-linux" --define "_topdir $tmp/rpmbuild" --define "_rpmdir $rpms" \
		--define '_build_id_links none' --define '__os_install_post %{nil}' "$tmp/spec" >/dev/null 2>&1 || die "no RPM of $name"

	mkdir "$stage/DEBIAN"
	{
		printf '%s\n' "Package: $name" "Version: $version" "Architecture: $(dpkg --print-architecture)" \
			'Maintainer: Nobody <nobody@localhost>' 'Description: stand-in'
		sed '/^Provides:/d; s/ \([<>=]*\) \([0-9][^,]*\)/ (\1 \2)/g; s/(< /(<< /g
			s/^Requires:/Depends:/; s/^Obsoletes:\(.*\)/Breaks:\1\nReplaces:\1/' "$tmp/relations"
	} >"$stage/DEBIAN/control"
	# As up to 1.13. Later ones write it as RPMs do, and dpkg has no say in what becomes of it.
	if [ "$name" = nvidia-container-toolkit-base ]; then
		mkdir -p "$stage/etc/nvidia-container-runtime"
		echo '# as shipped' >"$stage/etc/nvidia-container-runtime/config.toml"
		echo /etc/nvidia-container-runtime/config.toml >"$stage/DEBIAN/conffiles"
	fi
	dpkg-deb --root-owner-group --build "$stage" "$debs" >/dev/null
	rm -r "$stage"
}
release=1.20.0-1
stand_in libnvidia-container1 $release </dev/null
stand_in libnvidia-container-tools $release nvidia-container-cli <<-RELATIONS
	Requires: libnvidia-container1 >= $release
RELATIONS
stand_in nvidia-container-toolkit-base $release nvidia-ctk nvidia-cdi-hook nvidia-container-runtime <<-RELATIONS
	Obsoletes: nvidia-container-runtime <= 3.5.0-1, nvidia-container-runtime-hook <= 1.4.0-2
	Provides: nvidia-container-runtime
RELATIONS
stand_in nvidia-container-toolkit $release nvidia-container-runtime-hook <<-RELATIONS
	Requires: nvidia-container-toolkit-base = $release, libnvidia-container-tools = $release, libnvidia-container-tools < 2.0.0
	Obsoletes: nvidia-container-runtime <= 3.5.0-1, nvidia-container-runtime-hook <= 1.4.0-2
	Provides: nvidia-container-runtime, nvidia-container-runtime-hook
RELATIONS
stand_in nvidia-container-toolkit-operator-extensions $release nvidia-container-runtime.cdi nvidia-container-runtime.legacy <<-RELATIONS
	Requires: nvidia-container-toolkit-base = $release
RELATIONS
stand_in nvidia-container-runtime 3.14.0-1 <<-RELATIONS
	Requires: nvidia-container-toolkit >= 1.14.0-1, nvidia-container-toolkit < 2.0.0
RELATIONS
stand_in nvidia-docker2 2.14.0-1 <<-RELATIONS
	Requires: nvidia-container-toolkit >= 1.14.0-1
RELATIONS
# Of the year 2021.
stand_in nvidia-container-toolkit 1.5.1-1 nvidia-container-toolkit </dev/null
stand_in nvidia-container-runtime 3.5.0-1 nvidia-container-runtime <<-RELATIONS
	Requires: nvidia-container-toolkit >= 1.5.0, nvidia-container-toolkit < 2.0.0
RELATIONS
stand_in nvidia-docker2 2.6.0-1 <<-RELATIONS
	Requires: nvidia-container-runtime >= 3.5.0
RELATIONS
# What an administrator may have made.
stand_in site-base 1-1 <<-RELATIONS
	Requires: nvidia-container-toolkit-base >= 1.17, nvidia-container-toolkit-base < 2.0.0
RELATIONS
stand_in shell 1-1 <<-RELATIONS
	Provides: /bin/sh
RELATIONS

step "beside NVIDIA's"
in_path() { (cd "$root" && find usr/bin usr/sbin -name 'nvidia*' | sort); }
must -i "/tmp/debs/nvidia-container-toolkit-base_${release}_$(dpkg --print-architecture).deb"
files >"$tmp/with-toolkit"
in_path >"$tmp/in-path"
must -i /tmp/nvidia-ctk-hooks.deb
[ "$(inside nvidia-ctk)" = toolkit ] || die "NVIDIA's nvidia-ctk is another one now"
in_path | diff "$tmp/in-path" - || die 'a name of ours is in PATH'
for hook in "$root"/usr/share/containers/oci/hooks.d/*nvidia-ctk*; do
	program=$(sed -n 's/.*"path": *"\([^"]*\)".*/\1/p' "$hook" | head -n 1)
	inside "$program" --help | grep -q "Usage: ${program##*/}" || die "$hook calls $program"
done
spec etc/cdi/nvidia.yaml /usr/libexec/nvidia-ctk/nvidia-cdi-hook apply
must -r nvidia-ctk-hooks
files | diff "$tmp/with-toolkit" - || die 'the removal left or changed files'
must -P nvidia-container-toolkit-base

# manager ARGUMENT...: apt-get or dnf in the root, with no repository but that of the stand-ins.
manager() {
	case $format in
	deb) inside DEBIAN_FRONTEND=noninteractive apt-get -qq -y "$@" ;;
	rpm) managed dnf --config "$tmp/dnf.conf" --releasever 1 -q -y --installroot "$root" "$@" ;;
	esac >"$tmp/manager.log" 2>&1 || { cat "$tmp/manager.log" >&2; die "$format: $*"; }
}
# managed PROGRAM ARGUMENT...: a package manager of this machine, for the root.
managed() {
	# shellcheck disable=SC2016 # the arguments are the inner shell's
	unshare --mount --propagation private sh -c 'mount -t proc proc "$0/proc" && exec "$@"' "$root" "$@"
}
rpm_() { managed rpm --root "$root" "$@"; }
mark() {
	case $format-$1 in
	deb-*) inside apt-mark "$@" >/dev/null ;;
	rpm-manual) manager mark install "$2" ;;
	rpm-auto) manager mark remove "$2" ;;
	esac
}
has() {
	# shellcheck disable=SC2016 # dpkg-query's own
	case $format in
	deb) [ "$(inside dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ] ;;
	rpm) rpm_ -q "$1" >/dev/null ;;
	esac
}
present() { for name; do has "$name" || die "$format: $name is not installed"; done; }
absent() { for name; do ! has "$name" || die "$format: $name is installed"; done; }
own_config() { [ "$(cat "$config")" = '# own' ] || die "$format: config.toml is not the administrator's any more"; }

own_runtime() {
	[ "$(readlink "$root/usr/bin/nvidia-container-runtime")" = nvidia-ctk ] || die "$format: nvidia-container-runtime is not ours"
}

# in_place_of_toolkit PACKAGE: ours.
in_place_of_toolkit() {
	step "$format: in the place of NVIDIA's"
	case $format in deb) is='=' ;; rpm) is=- ;; esac
	manager install nvidia-docker2 "nvidia-container-runtime${is}3.14.0-1" nvidia-container-toolkit-operator-extensions site-base
	present libnvidia-container-tools nvidia-container-toolkit nvidia-container-toolkit-base
	echo '# own' >"$config"
	manager install "$1"
	absent nvidia-container-toolkit nvidia-container-toolkit-base nvidia-container-toolkit-operator-extensions
	present nvidia-ctk nvidia-docker2 nvidia-container-runtime site-base
	own_config
	inside nvidia-ctk --version | grep -q '^nvidia-ctk version' || die "$format: nvidia-ctk is not ours"
	own_runtime
	[ ! -e "$root/usr/bin/nvidia-container-runtime-hook" ] || die "$format: NVIDIA's hook is still there"
	mark manual libnvidia-container-tools
	manager autoremove
	present libnvidia-container-tools libnvidia-container1
	mark auto libnvidia-container-tools
	manager autoremove
	absent libnvidia-container-tools libnvidia-container1

	step "$format: and back"
	spec etc/cdi/nvidia.yaml /usr/bin/nvidia-cdi-hook apply
	case $format in
	deb) manager install nvidia-container-toolkit ;;
	rpm) manager swap nvidia-ctk nvidia-container-toolkit ;;
	esac
	absent nvidia-ctk
	present nvidia-container-toolkit nvidia-container-toolkit-base nvidia-docker2 nvidia-container-runtime site-base
	own_config
	[ "$(inside nvidia-ctk)" = toolkit ] || die "$format: nvidia-ctk is not NVIDIA's"
	[ ! -e "$root/tmp/asked" ] || die "$format: our script calls NVIDIA's program"
	[ ! -e "$root/etc/cdi/nvidia.yaml" ] || die "$format: a CDI spec calls a hook that NVIDIA's program does not have"
	nothing_left

	step "$format: in the place of NVIDIA's of 2021"
	manager install "nvidia-docker2${is}2.6.0-1" "nvidia-container-runtime${is}3.5.0-1" "nvidia-container-toolkit${is}1.5.1-1"
	manager install "$1"
	absent nvidia-container-toolkit
	present nvidia-ctk nvidia-docker2
	# Ours provides that name as NVIDIA's RPMs do; apt takes the newer package, which is empty.
	[ "$format" = deb ] || absent nvidia-container-runtime
	own_runtime
	nothing_left
}
nothing_left() {
	case $format in
	deb) manager purge '.*nvidia.*' site-base ;;
	rpm) manager remove '*nvidia*' site-base ;;
	esac
	rm -rf "${config%/*}"
	files | diff "$tmp/before" - || die "$format: files are left or changed"
}

format=deb
(cd "$debs" && dpkg-scanpackages --multiversion . 2>/dev/null >Packages)
manager update
in_place_of_toolkit /tmp/nvidia-ctk.deb

step 'dpkg alone'
# shellcheck disable=SC2046 # one argument for each package
must -i $(cd "$root" && printf '/%s\n' tmp/debs/*"_${release}_"*.deb)
must -i /tmp/nvidia-ctk.deb
absent nvidia-container-toolkit nvidia-container-toolkit-base nvidia-container-toolkit-operator-extensions
nothing_left

step 'rpm'
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

format=rpm
createrepo_c --quiet "$rpms"
printf '%s\n' '[main]' reposdir=/nonexistent "cachedir=$tmp/dnf" plugins=0 gpgcheck=0 '[stand-ins]' "baseurl=file://$rpms" >"$tmp/dnf.conf"
manager install shell
files >"$tmp/before"
in_place_of_toolkit "$(echo "$tmp/packages"/nvidia-ctk-[0-9]*.rpm)"
echo OK
