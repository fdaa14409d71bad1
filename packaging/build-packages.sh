#!/bin/sh
# The .deb and .rpm packages, two of each, from one binary:
#
#     packaging/build-packages.sh [BINARY [DIRECTORY]]
#
#     nvidia-ctk         takes the place of NVIDIA's nvidia-container-toolkit and nvidia-container-toolkit-base
#     nvidia-ctk-hooks   stands beside it: no name in PATH, only the hooks and their hooks.d files
#
# BINARY is one that build-release.sh made, with what that wrote beside it, and by default it is made; it must be able to run here.
# DIRECTORY is target/dist by default, and gets SHA256SUMS too. The packages hold what the binary's own `install` puts in place, and
# one script, for their removal. The same binary and commit give the same bytes.
# Needs dpkg-deb and rpmbuild; build-release.sh says what it needs.
set -eu
export LC_ALL=C
umask 022

cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
binary=${1:-}
dist=${2:-$target/dist}
if [ -z "$binary" ]; then
	binary=$target/dist/nvidia-ctk
	RELEASE_STD=source packaging/build-release.sh --with-sbom "$(realpath -m "$binary")" >&2
fi
mkdir -p "$dist"
binary=$(realpath "$binary")
dist=$(realpath "$dist")
grep -qs "$(sha256sum <"$binary" | cut -d ' ' -f 1)" "$binary.cdx.json" || {
	echo "$binary.cdx.json does not list what is linked into $binary: make both with packaging/build-release.sh --with-sbom $binary" >&2
	exit 1
}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH

version=$("$binary" --version)
version=${version##* }
case $(od -An -tx1 -j18 -N1 "$binary") in # e_machine
*3e) deb=amd64 rpm=x86_64 ;;
*b7) deb=arm64 rpm=aarch64 ;;
*) echo "$binary: no packages are made for its machine" >&2 && exit 1 ;;
esac

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT PIPE TERM
mkdir "$tmp/rpm"

summary='Prepares containers for NVIDIA GPUs'
about() {
	cat <<-TEXT
		One static program in place of the NVIDIA Container Toolkit's nvidia-ctk and
		nvidia-cdi-hook: OCI hooks that set modes, make links and write ld.so.cache in
		a container that is being created, and commands for the host.
	TEXT
	case $1 in
	nvidia-ctk) cat <<-TEXT ;;
		It takes the place of nvidia-container-toolkit and of
		nvidia-container-toolkit-base. Enroot (pyxis) and apptainer --nvccli call
		nvidia-container-cli, which is in libnvidia-container-tools: where they are in
		use, keep that from autoremove by apt-mark manual (or dnf mark install).
		TEXT
	*) echo 'This package has the hooks alone. It leaves an installed toolkit as it is.' ;;
	esac
}

# page NAME...: manual pages. Those that stand for another one become links, which compression does not break.
pages() {
	for page; do
		source=packaging/man/$page
		directory=$stage/usr/share/man/man${page##*.}
		mkdir -p "$directory"
		target=$(sed -n 's|^\.so man[0-9]/||p' "$source")
		if [ -n "$target" ]; then
			ln -s "$target.gz" "$directory/$page.gz"
		else
			gzip -9n <"$source" >"$directory/$page.gz"
		fi
	done
}

completions() {
	mkdir -p "$stage/usr/share/bash-completion/completions" "$stage/usr/share/zsh/vendor-completions" \
		"$stage/usr/share/fish/vendor_completions.d"
	for name in nvidia-ctk nvidia-cdi-hook; do
		cp "packaging/completions/$name.bash" "$stage/usr/share/bash-completion/completions/$name"
		cp "packaging/completions/_$name" "$stage/usr/share/zsh/vendor-completions/"
		cp "packaging/completions/$name.fish" "$stage/usr/share/fish/vendor_completions.d/"
	done
}

# before_removal NAME: a script. What stays enabled would be started again, a CDI spec whose hook is gone keeps containers from
# starting, and what `install --with-runtime-hook` added would lead to the next nvidia-ctk. Nothing that fails here keeps a package
# from being removed. A program of another package, which may lie there already, is not called: ours is the one that nvidia-cdi-hook
# is the same file as.
before_removal() {
	case $1 in
	nvidia-ctk)
		bin=/usr/bin hook=/usr/bin/nvidia-container-runtime-hook
		echo "systemctl --no-reload disable --now $(cd packaging/systemd && echo -- *) >/dev/null 2>&1 || :"
		echo "[ \"\$(readlink $hook)\" != nvidia-ctk ] || rm $hook || :"
		;;
	*) bin=/usr/libexec/nvidia-ctk ;;
	esac
	echo "[ ! $bin/nvidia-cdi-hook -ef $bin/nvidia-ctk ] || $bin/nvidia-ctk uninstall --bindir $bin --only-specs || :"
}

# before_replacement NAME: where NVIDIA's package takes this one's place, rpm puts its files there first, and calls %preun then.
before_replacement() {
	[ "$1" = nvidia-ctk ] || return 0
	echo '%triggerprein -- nvidia-container-toolkit-base'
	before_removal "$1"
}

# The release of NVIDIA's toolkit whose commands, options and files these are: the number that is provided, since what depends on the
# toolkit asks for one of NVIDIA's series (nvidia-docker2: from 1.x on; nvidia-container-runtime: that and below 2). Without the
# revision of NVIDIA's packages (1.20.0-1), which their own parts ask each other for.
toolkit=1.20.0

# relations NAME deb|rpm: whose work it does, and what has to be removed for it. dpkg removes them in this order, so what depends on
# another one comes first; nvidia-container-toolkit-operator-extensions has the names of the runtime with a mode in them.
# nvidia-container-runtime had the program of its name up to 3.5.0, and only asks for the toolkit since then; that name is provided by
# NVIDIA's RPMs too. An RPM of another series than 1 is not known to be obsolete. Each of our two packages has the other one's files.
relations() {
	set -- "$1-$2" nvidia-container-toolkit-operator-extensions nvidia-container-toolkit nvidia-container-toolkit-base
	case $1 in
	nvidia-ctk-deb)
		echo "Provides: $3 (= $toolkit), $4 (= $toolkit)"
		printf '%s: nvidia-container-runtime (<= 3.5.0-1), nvidia-ctk-hooks, '"$2, $3, $4\n" Conflicts Replaces
		;;
	nvidia-ctk-rpm)
		echo "Provides: $3 = $toolkit, $4 = $toolkit, nvidia-container-runtime"
		echo "Obsoletes: $2 < 2, $3 < 2, $4 < 2, nvidia-container-runtime <= 3.5.0-1"
		echo 'Conflicts: nvidia-ctk-hooks'
		;;
	*-deb) printf '%s: nvidia-ctk\n' Conflicts Replaces ;;
	*-rpm) echo 'Conflicts: nvidia-ctk' ;;
	esac
}

# package NAME: packs what is staged.
package() {
	doc=$stage/usr/share/doc/$1
	mkdir -p "$doc"
	cp "$binary.copyright" "$doc/copyright"
	cp "$binary.cdx.json" "$doc/nvidia-ctk.cdx.json"
	gzip -9n <CHANGELOG.md >"$doc/changelog.gz"
	find "$stage" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

	rm -rf "$tmp/deb"
	cp -a "$stage" "$tmp/deb"
	mkdir "$tmp/deb/DEBIAN"
	cat >"$tmp/deb/DEBIAN/control" <<-CONTROL
		Package: $1
		Version: $version
		Architecture: $deb
		Maintainer: The authors of nvidia-ctk <nvidia-ctk@localhost>
		Installed-Size: $(du -sk --apparent-size "$stage" | cut -f 1)
		$(relations "$1" deb)
		Section: admin
		Priority: optional
		Description: $summary
		$(about "$1" | sed 's/^/ /')
	CONTROL
	{
		# shellcheck disable=SC2016 # the argument is the script's
		printf '#!/bin/sh\n[ "$1" = remove ] || exit 0\n'
		before_removal "$1"
	} >"$tmp/deb/DEBIAN/prerm"
	chmod 755 "$tmp/deb/DEBIAN/prerm"
	dpkg-deb --root-owner-group --build "$tmp/deb" "$dist" >&2

	{
		cat <<-SPEC
			Name: $1
			Version: $version
			Release: 1
			Summary: $summary
			License: Apache-2.0
			AutoReqProv: no
			$(relations "$1" rpm)
			%description
			$(about "$1")
			%preun
			[ "\$1" = 0 ] || exit 0
			$(before_removal "$1")
			$(before_replacement "$1")
			%install
			cp -a '$stage/.' '%{buildroot}'
			cd '%{buildroot}/usr/share'
			[ ! -d zsh ] || mv zsh/vendor-completions zsh/site-functions
			%files
			%defattr(-, root, root)
		SPEC
		(cd "$stage" && find . ! -type d -printf '/%P\n' -o \( -name 'nvidia-ctk*' -o -name schemas \) -printf '%%dir /%P\n') |
			sed 's|/zsh/vendor-completions/|/zsh/site-functions/|' | sort
	} >"$tmp/spec"
	rpmbuild --quiet -bb --target "$rpm-linux" --define "_topdir $tmp/rpm" --define "_rpmdir $dist" \
		--define '_rpmfilename %{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm' --define '_build_id_links none' \
		--define '__os_install_post %{nil}' --define '_buildhost localhost' --define 'use_source_date_epoch_as_buildtime 1' \
		--define 'clamp_mtime_to_source_date_epoch 1' "$tmp/spec" >&2
	set -- "$1_${version}_$deb.deb" "$1-$version-1.$rpm.rpm"
	packaging/sums.sh "$dist" "$@"
	printf "$dist/%s\n" "$@"
}

stage=$tmp/nvidia-ctk
mkdir "$stage"
"$binary" install --root "$stage" >/dev/null
# shellcheck disable=SC2046 # one argument for each page
pages $(ls packaging/man)
completions
install -D -m 644 -t "$stage/usr/lib/systemd/system" packaging/systemd/*
# For programs that read what --json prints: not below /usr/share/doc, which a system may leave out.
install -D -m 644 -t "$stage/usr/share/nvidia-ctk/schemas" packaging/schemas/*
package nvidia-ctk

stage=$tmp/nvidia-ctk-hooks
mkdir "$stage"
"$binary" install --root "$stage" --bindir /usr/libexec/nvidia-ctk >/dev/null
# shellcheck disable=SC2046 # one argument for each page
pages nvidia-cdi-hook.8 $(cd packaging/man && grep -lx ".so man8/nvidia-cdi-hook.8" -- *.8 | grep -vx nvidia-ctk-hook.8)
package nvidia-ctk-hooks
