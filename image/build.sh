#!/bin/bash
# Makes the container image without any daemon: an OCI layout and an archive of it, with one index over
# all platforms. The same commit gives the same digest, in any folder.
#   image/build.sh [-o FOLDER] [amd64] [arm64]     default: build/image, this machine's platform
# FOLDER/oci            the layout; its only reference is the version
# FOLDER/quay-rotator-VERSION.oci.tar
# FOLDER/digest         of the index: what a cluster pins
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/step.sh
output=build/image
if [ "${1:-}" = -o ]; then output=$2 && shift 2; fi
here=$(dpkg --print-architecture)
platforms=("${@:-$here}")

version=$(sed -n 's/^project(quay-rotator VERSION \([^ ]*\) .*/\1/p' CMakeLists.txt)
revision=unknown
if git rev-parse -q --verify HEAD >/dev/null 2>&1; then
  revision=$(git rev-parse HEAD)
  [ -z "$(git status --porcelain --untracked-files=no)" ] || revision+=-dirty
  SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
fi
epoch=${SOURCE_DATE_EPOCH:-0}
created=$(date --utc --date=@"$epoch" +%Y-%m-%dT%H:%M:%SZ)

tests/packages.sh build image
mkdir -p "$output"
work=$(mktemp -d "$output/.work.XXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/oci/blobs/sha256"

# JSON by hand: there is little of it, and tools that write it compress layers worse.
type=application/vnd.oci.image
add() { # FILE: moves it in; "digest":…,"size":…
  local digest size
  digest=$(sha256sum <"$1" | cut -d ' ' -f 1) size=$(wc -c <"$1")
  mv "$1" "$work/oci/blobs/sha256/$digest"
  printf '"digest":"sha256:%s","size":%d' "$digest" "$size"
}
archive() { # FOLDER: the same tar for the same content
  LC_ALL=C tar -C "$1" --sort=name --format=ustar --mtime=@"$epoch" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX -c .
}

entries=
for platform in "${platforms[@]}"; do
  case $platform in
    "$here")
      build=build tree=/
      tests/prepare.sh program
      ;;
    arm64)
      build=build/arm64 tree=$(image/sysroot.sh arm64)
      image/cross.sh arm64 quay-rotator
      ;;
    *) echo "build.sh: no way from $here to $platform" >&2; exit 2 ;;
  esac
  step "Collecting what the image for $platform holds" image/rootfs.sh $build "$tree" "$work/rootfs"
  if [ "$tree" = / ]; then
    mapfile -t inside < <(ls "$work/rootfs/var/lib/dpkg/status.d")
    newer=$(apt-get -qq --simulate -o Debug::NoLocking=true install --only-upgrade "${inside[@]}" 2>/dev/null | sed -n 's/^Inst \([^ ]*\) .*/ \1/p' | tr -d '\n') || true
    [ -z "$newer" ] || echo "Debian has newer versions of:$newer. Before publishing: apt-get update && apt-get install --only-upgrade$newer" >&2
  fi
  archive "$work/rootfs" >"$work/layer"
  rm -rf "$work/rootfs"
  content=sha256:$(sha256sum <"$work/layer" | cut -d ' ' -f 1)
  libdeflate-gzip -12 -c <"$work/layer" >"$work/layer.gz"
  echo "$platform: $(($(wc -c <"$work/layer.gz") / 1000)) kB compressed" >&2
  layer=$(add "$work/layer.gz")
  cat >"$work/config" <<END
{
  "created": "$created",
  "architecture": "$platform",
  "os": "linux",
  "config": {
    "User": "65532:65532",
    "Entrypoint": ["/usr/bin/quay-rotator"],
    "Labels": {
      "org.opencontainers.image.title": "quay-rotator",
      "org.opencontainers.image.description": "Keeps Quay robot tokens fresh and writes them into pull Secrets",
      "org.opencontainers.image.version": "$version",
      "org.opencontainers.image.revision": "$revision",
      "org.opencontainers.image.created": "$created",
      "org.opencontainers.image.source": "${SOURCE_URL:-https://quayrotator.dev}",
      "org.opencontainers.image.licenses": "Apache-2.0"
    }
  },
  "rootfs": {"type": "layers", "diff_ids": ["$content"]},
  "history": [{"created": "$created", "created_by": "image/build.sh"}]
}
END
  cat >"$work/manifest" <<END
{
  "schemaVersion": 2,
  "mediaType": "$type.manifest.v1+json",
  "config": {"mediaType": "$type.config.v1+json",$(add "$work/config")},
  "layers": [{"mediaType": "$type.layer.v1.tar+gzip",$layer}]
}
END
  entries+=${entries:+,}"{\"mediaType\":\"$type.manifest.v1+json\",$(add "$work/manifest"),\"platform\":{\"architecture\":\"$platform\",\"os\":\"linux\"}}"
done

printf '{"schemaVersion":2,"mediaType":"%s.index.v1+json","manifests":[%s]}' $type "$entries" >"$work/index"
digest=sha256:$(sha256sum <"$work/index" | cut -d ' ' -f 1)
printf '{"imageLayoutVersion":"1.0.0"}' >"$work/oci/oci-layout"
printf '{"schemaVersion":2,"manifests":[{"mediaType":"%s.index.v1+json",%s,"annotations":{"org.opencontainers.image.ref.name":"%s","io.containerd.image.name":"docker.io/library/quay-rotator:%s"}}]}' \
  $type "$(add "$work/index")" "$version" "$version" >"$work/oci/index.json"
archive "$work/oci" >"$work/quay-rotator-$version.oci.tar"
echo "$digest" >"$work/digest"

rm -rf "$output/oci" "$output"/quay-rotator-*.oci.tar
mv "$work/oci" "$work/quay-rotator-$version.oci.tar" "$work/digest" "$output"
echo "Built $output/oci and $output/quay-rotator-$version.oci.tar: $digest"
