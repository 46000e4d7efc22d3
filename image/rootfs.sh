#!/bin/bash
# Makes the image's root file system: the program and the files of Debian packages that it needs.
#   image/rootfs.sh BUILD TREE DESTINATION
# BUILD is the build folder with bin/quay-rotator; TREE the Debian that it was compiled for, / or a
# sysroot; DESTINATION must not exist. Times, owners and order are the archiver's business.
set -euo pipefail
export LC_ALL=C
build=$1 tree=${2%/} destination=$3
program=$build/bin/quay-rotator
admin=$tree/var/lib/dpkg
umask 022
mkdir "$destination" # on purpose without -p
mkdir -p "$destination"/{etc/ssl/certs,usr/bin,usr/lib/ssl,usr/share/doc/quay-rotator,var/lib/dpkg/status.d}
ln -s usr/lib "$destination/lib"

machine=$(readelf -h "$program" | sed -n 's/^ *Machine: *//p')
case $machine in
  *X86-64*) triple=x86_64-linux-gnu ;;
  AArch64) triple=aarch64-linux-gnu ;;
  *) echo "rootfs.sh: no image for '$machine'" >&2; exit 1 ;;
esac
strip=$triple-strip
command -v "$strip" >/dev/null || strip="strip"
libraries=/usr/lib/$triple

taken=() # paths in TREE, as they are without symbolic links
take() { # PATH [NAME]: a file of TREE, links followed, under its own or another name
  local real
  real=$(realpath -e "$tree$1")
  taken+=("${real#"$tree"}")
  install -D -m "$([ -x "$real" ] && echo 755 || echo 644)" "$real" "$destination${2:-$1}"
}

# The program and its libraries: what it needs, what those need, and the loader that finds them.
install -m 755 "$program" "$destination/usr/bin/quay-rotator"
"$strip" --strip-all "$destination/usr/bin/quay-rotator"
needed() { readelf -dW "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'; }
mapfile -t queue < <(needed "$program")
while [ ${#queue[@]} -gt 0 ]; do
  name=${queue[0]} queue=("${queue[@]:1}")
  [ ! -e "$destination$libraries/$name" ] || continue
  take "$libraries/$name"
  mapfile -t -O ${#queue[@]} queue < <(needed "$destination$libraries/$name")
done
loader=$(readelf -lW "$program" | sed -n 's/.*interpreter: \(.*\)\]/\1/p')
[ -e "$destination$libraries/${loader##*/}" ] || take "$libraries/${loader##*/}"
if [[ $loader == /lib64/* ]]; then
  mkdir "$destination/usr/lib64"
  ln -s usr/lib64 "$destination/lib64"
fi
ln -s "$(realpath -m --relative-to="/usr${loader%/*}" "$libraries/${loader##*/}")" "$destination$loader"

# The certificates of the package alone: a machine may have more, which are its own business.
while read -r certificate; do
  cat "$certificate"
  taken+=("${certificate#"$tree"}")
done < <(find "$tree/usr/share/ca-certificates/mozilla" -name '*.crt' | sort) >"$destination/etc/ssl/certs/ca-certificates.crt"
ln -s /etc/ssl/certs "$destination/usr/lib/ssl/certs" # where OpenSSL looks
ln -s /etc/ssl/certs/ca-certificates.crt "$destination/usr/lib/ssl/cert.pem"

# Time zones, without those that count leap seconds, a second copy of those that do not, and the texts that
# they were made of. Names that mean the same zone stay links.
zones=/usr/share/zoneinfo
mkdir -p "$destination$zones"
tar -C "$tree$zones" --exclude=./right --exclude=./posix --exclude=./localtime --exclude=./posixrules \
  --exclude='./*.tab' --exclude=./tzdata.zi --exclude=./leap-seconds.list --exclude=./leapseconds -c . |
  tar -C "$destination$zones" -xo --no-same-permissions
while read -r zone; do taken+=("$zone"); done < <(cd "$destination" && find ".$zones" -type f | sed 's/^\.//')

# Who we are (any other uid works as well), how names are found, and on what all of it is based, for scanners.
printf '%s\n' 'root:x:0:0:root:/:/sbin/nologin' 'nonroot:x:65532:65532:nonroot:/:/sbin/nologin' >"$destination/etc/passwd"
printf '%s\n' 'root:x:0:' 'nonroot:x:65532:' >"$destination/etc/group"
echo 'hosts: files dns' >"$destination/etc/nsswitch.conf"
take /usr/lib/os-release
ln -s ../usr/lib/os-release "$destination/etc/os-release"

# The packages of those files, by Debian's own records, against which the files are compared: what
# somebody changed on this machine does not get into an image. With merged /usr the records may say
# /lib for /usr/lib.
owners() { dpkg-query --admindir="$admin" -S "$@" 2>/dev/null | sed -n 's/: .*//p' | tr -d ' ' | tr ',' '\n' | sort -u; }
for path in "${taken[@]}"; do
  [[ $path != "$libraries"/* ]] || echo "${path#/usr}"
  echo "$path"
done >"$destination.paths"
mapfile -t paths <"$destination.paths"
rm "$destination.paths"
mapfile -t packages < <(owners "${paths[@]}")
for package in "${packages[@]}"; do # a name there has the architecture only where several can be installed
  cat "$admin/info/$package.md5sums" 2>/dev/null || cat "$admin/info/${package%:*}.md5sums"
done >"$destination.sums"
declare -A recorded=()
while read -r _ path; do recorded[/$path]=yes; done <"$destination.sums"
for path in "${taken[@]}"; do
  [ "${recorded[$path]:-${recorded[${path#/usr}]:-}}" ] || {
    echo "rootfs.sh: $tree$path belongs to no package" >&2
    exit 1
  }
done
(cd "$tree/" && md5sum --check --quiet --ignore-missing) <"$destination.sums" || {
  echo "rootfs.sh: files of this machine are not as their packages have them: apt-get install --reinstall helps" >&2
  exit 1
}
rm "$destination.sums"

# One file a package, where scanners of images without dpkg look for them.
format='Package: ${Package}\nStatus: install ok installed\nArchitecture: ${Architecture}\nVersion: ${Version}\nSource: ${source:Package} (${source:Version})\nMaintainer: ${Maintainer}\n'
for package in "${packages[@]}"; do
  dpkg-query --admindir="$admin" -W -f="$format" "$package" >"$destination/var/lib/dpkg/status.d/${package%%:*}"
done

# Licences of all that is inside: also of the headers that the compiler put into the program. Debian's
# texts refer to others, which come along.
mapfile -t headers < <(ninja -C "$build" -t deps | sed -n '/^controller\//,/^$/ s|^ *\(/.*\)|\1|p' | sort -u | xargs realpath -e | sort -u)
mapfile -t headers < <(printf '%s\n' "${headers[@]}" | sed -n "s|^$tree/usr/|/usr/|p")
mapfile -t compiled < <(owners "${headers[@]}")
declare -A known=()
for package in "${packages[@]}" "${compiled[@]}"; do
  name=${package%%:*} # of the same source, the same text: a link
  text=$(realpath -e "$tree/usr/share/doc/$name/copyright")
  sum=$(md5sum <"$text")
  mkdir -p "$destination/usr/share/doc/$name"
  copy=$destination/usr/share/doc/$name/copyright
  if [ "${known[$sum]:-}" ]; then
    ln -sf "../${known[$sum]}/copyright" "$copy"
  elif [ "$(wc -c <"$text")" -lt 250000 ]; then
    install -m 644 "$text" "$copy"
  else # Boost's 2 MB are lists of its files: holders and licences without them
    sed '/^Files:/,/^Copyright:/{/^Copyright:/!d}' "$text" | awk -v RS= -v ORS='\n\n' '!seen[$0]++' >"$copy"
  fi
  known[$sum]=${known[$sum]:-$name}
done
cp "$(dirname "$0")/../LICENSE" "$destination/usr/share/doc/quay-rotator/copyright"
grep -rohE '/usr/share/common-licenses/[A-Za-z]+(-[0-9]+(\.[0-9]+)?)?' "$destination/usr/share/doc" | sort -u | while read -r licence; do
  [ ! -e "$tree$licence" ] || install -D -m 644 "$(realpath -e "$tree$licence")" "$destination$licence"
done
