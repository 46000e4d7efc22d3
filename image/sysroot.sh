#!/bin/bash
# Makes a Debian 12 of another platform to compile for, from its packages alone, and prints its folder:
# nothing of it is installed or run, and this machine's own packages stay as they are.
#   image/sysroot.sh arm64
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/step.sh
platform=$1
mapfile -t libraries < <(tests/packages.sh --list build | grep -e '-dev$')
packages=(libc6-dev libstdc++-12-dev ca-certificates tzdata base-files "${libraries[@]}")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/quay-rotator
mkdir -p "$cache"
exec 9>"$cache/sysroot-$platform.lock"
flock 9

# A package manager of its own for that platform, that knows no installed package.
apt=$cache/apt-$platform
mkdir -p "$apt"/{lists/partial,archives/partial}
: >"$apt/status"
options=(-qq -o Dir::State="$apt" -o Dir::State::lists="$apt/lists" -o Dir::State::status="$apt/status"
  -o Dir::Cache="$apt" -o Dir::Cache::archives="$apt/archives" -o APT::Architecture="$platform"
  -o APT::Architectures="$platform" -o APT::Install-Recommends=false -o Debug::NoLocking=true
  -o APT::Sandbox::User=)
step "Reading Debian's package lists for $platform" apt-get "${options[@]}" update >&2
wanted() { apt-get "${options[@]}" install -y --print-uris "${packages[@]}" | sort; }
uris=$(wanted)
tree=$cache/sysroot-$platform-$(cat image/sysroot.sh - <<<"$uris" | sha256sum | cut -c 1-16)
if [ ! -d "$tree" ]; then
  fetch() { apt-get "${options[@]}" install -y --download-only "${packages[@]}" >&2; }
  step "Fetching $(wc -l <<<"$uris") packages for $platform" fetch
  unpack() {
    local deb control name
    rm -rf "$cache"/sysroot-"$platform"-*
    mkdir -p "$tree.partial"/{usr/bin,usr/sbin,usr/lib,var/lib/dpkg/info}
    for name in bin sbin lib; do ln -s usr/$name "$tree.partial/$name"; done
    # The records by which dpkg-query tells whose a file is.
    echo 1 >"$tree.partial/var/lib/dpkg/info/format"
    for deb in "$apt"/archives/*.deb; do
      dpkg-deb --fsys-tarfile "$deb" | tar -C "$tree.partial" -x --keep-directory-symlink
      control=$(mktemp -d)
      dpkg-deb --control "$deb" "$control"
      name=$(dpkg-deb --field "$deb" Package)
      [ "$(dpkg-deb --field "$deb" Multi-Arch)" != same ] || name+=:$platform
      dpkg-deb --fsys-tarfile "$deb" | tar -t | sed 's|^\./|/|; s|/$||; s|^$|/.|' >"$tree.partial/var/lib/dpkg/info/$name.list"
      cp "$control/md5sums" "$tree.partial/var/lib/dpkg/info/$name.md5sums" 2>/dev/null || true
      { sed 's/^Package: .*/&\nStatus: install ok installed/' "$control/control"; echo; } >>"$tree.partial/var/lib/dpkg/status"
      rm -rf "$control"
    done
    # Absolute links would lead out of it.
    find "$tree.partial" -lname '/*' -printf '%p\n' | while read -r name; do
      ln -sfn "$(realpath -m --relative-to="$(dirname "$name")" "$tree.partial$(readlink "$name")")" "$name"
    done
    rm -rf "$apt/archives"
    mv "$tree.partial" "$tree"
  }
  step "Unpacking them" unpack
fi
echo "$tree"
