#!/bin/bash
# Builds the Containerfile on a Debian 12 made by mmdebstrap, where nothing of this machine is, and
# compares the result with what `make image` made: the same files, byte for byte, as far as both have the
# same versions of Debian's packages. Needs root. CCACHE=folder lends it what was compiled before.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/step.sh
tests/packages.sh containerfile
[ "$(id -u)" = 0 ] || { echo "containerfile-check.sh: needs root" >&2; exit 1; }
image/build.sh
work=$(mktemp -d build/.containerfile.XXXX)
work=$PWD/$work
container=(buildah --root "$work/storage" --runroot "$work/run" --storage-driver "${STORAGE_DRIVER:-overlay}")
cleanup() {
  "${container[@]}" umount --all >/dev/null 2>&1 || true
  umount "$work/storage/overlay" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

step "Making a Debian 12" mmdebstrap --quiet --variant=minbase bookworm "$work/debian.tar" \
  "deb http://deb.debian.org/debian bookworm main" "deb http://deb.debian.org/debian bookworm-updates main" \
  "deb http://deb.debian.org/debian-security bookworm-security main"
import() {
  local from
  from=$("${container[@]}" from scratch) && "${container[@]}" add -q "$from" "$work/debian.tar" / >/dev/null &&
    "${container[@]}" commit -q --rm "$from" localhost/debian:12 >/dev/null
}
step "Importing it" import
mkdir -p "$work/ccache"
step "Building the Containerfile on it" "${container[@]}" build --isolation chroot --layers=false --pull-never \
  -f Containerfile --build-arg BASE=localhost/debian:12 --build-arg REVISION="$(git rev-parse HEAD)" \
  --volume "${CCACHE:-$work/ccache}:/root/.cache/ccache" -t localhost/quay-rotator . >"$work/log"

theirs=$("${container[@]}" from localhost/quay-rotator)
theirs=$("${container[@]}" mount "$theirs")
mkdir "$work/ours"
layer=$(find build/image/oci/blobs -size +1M)
tar -C "$work/ours" -xzf "$layer"
list() { (cd "$1" && find . -mindepth 1 -printf '%P %y %m %U %G %l\n' | LC_ALL=C sort); }
diff <(list "$work/ours") <(list "$theirs") || { echo "containerfile-check.sh: other files" >&2; exit 1; }
packages=$({ diff -rq "$work/ours/var/lib/dpkg/status.d" "$theirs/var/lib/dpkg/status.d" || true; } | sed 's/.*status.d\/\([^ ]*\) .*/\1/' | tr '\n' ' ')
different=$(diff -rq --no-dereference "$work/ours" "$theirs" | sed "s|^Files $work/ours\(/[^ ]*\) .*|\1|" | grep -v status.d || true)
cmp "$work/ours/usr/bin/quay-rotator" "$theirs/usr/bin/quay-rotator"
if [ -n "$packages" ]; then
  echo "Debian's versions here and there differ: $packages"
  echo "So do these files, and no other:" $different
elif [ -n "$different" ]; then
  echo "$different" >&2
  exit 1
fi
inspected=$("${container[@]}" inspect --type image localhost/quay-rotator)
for wanted in '"User": "65532:65532"' '"/usr/bin/quay-rotator"' '"org.opencontainers.image.title": "quay-rotator"' \
  "\"org.opencontainers.image.version\": \"$(sed -n 's/^project(quay-rotator VERSION \([^ ]*\) .*/\1/p' CMakeLists.txt)\"" \
  "\"org.opencontainers.image.revision\": \"$(git rev-parse HEAD)\""; do
  grep -qF "$wanted" <<<"$inspected" || { echo "containerfile-check.sh: the image lacks $wanted" >&2; exit 1; }
done
chroot --userspec=1000660000:0 "$theirs" /usr/bin/quay-rotator --version

step "Building the OLM bundle" "${container[@]}" build --isolation chroot -t localhost/bundle bundle >>"$work/log"
"${container[@]}" inspect --type image localhost/bundle | grep -qF '"operators.operatorframework.io.bundle.package.v1": "quay-rotator"'
bundle=$("${container[@]}" from localhost/bundle)
bundle=$("${container[@]}" mount "$bundle")
diff -r --exclude=Containerfile --exclude=policies.yaml bundle "$bundle"
echo "containerfile-check: the same image"
