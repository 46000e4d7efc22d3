#!/bin/bash
# Makes all files of a release in build/release, from a clean commit:
#   RELEASE_KEY=KEY release/release.sh VERSION [amd64] [arm64]
# RELEASE_KEY is a secret key that gpg knows (GNUPGHOME says where); SIGN=0 makes an unsigned release.
# The same commit gives the same files again; only signatures tell when they were made.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/step.sh
output=build/release
fail() { printf 'release: %s\n' "$@" >&2; exit 1; }

version=${1:-} && shift || true
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || fail "which version? make release VERSION=1.2.3"
[ $# -gt 0 ] || set -- amd64 arm64
platforms=("$@")

# Everything that says the version must say the same.
wrong=0
says() { # FILE WHAT SED-EXPRESSION
  local found
  found=$(sed -n "$3" "$1" | head -n 1)
  [ "$found" = "$version" ] || { echo "release: $2 in $1 is '$found', not $version: change it there" >&2; wrong=1; }
}
says CMakeLists.txt "VERSION of the project" 's/^project(quay-rotator VERSION \([^ ]*\) .*/\1/p'
says charts/quay-rotator/Chart.yaml appVersion 's/^appVersion: *"\{0,1\}\([^"]*\)"\{0,1\} *$/\1/p'
says Containerfile "the image's version" 's/.*image\.version="\([^"]*\)".*/\1/p'
says deploy/quay-rotator.yaml "the image's tag (make generate writes it)" 's/^ *image: "\{0,1\}quay-rotator:\([^"]*\)"\{0,1\} *$/\1/p'
says bundle/manifests/quay-rotator.clusterserviceversion.yaml "the version (make generate writes it)" 's/^  version: *//p'
says CHANGELOG.md "the newest section" 's/^## \[\([0-9][^]]*\)\].*/\1/p'
# The chart counts its own versions: one for each content, and appVersion is part of it.
chart_version() { sed -n 's/^version: *//p'; }
chart=$(chart_version <charts/quay-rotator/Chart.yaml)
sed -n "/^## \[$version\]/,/^## \[/p" CHANGELOG.md | grep -qF "with chart $chart." ||
  { echo "release: the section $version in CHANGELOG.md does not say 'with chart $chart.': say it in its first sentence" >&2; wrong=1; }
last=$(git describe --tags --abbrev=0 --match 'v[0-9]*' --exclude "v$version" 2>/dev/null || true)
if [ -n "$last" ]; then
  before=$(git show "$last:charts/quay-rotator/Chart.yaml" | chart_version)
  [ "$before" != "$chart" ] && printf '%s\n' "$before" "$chart" | sort -CV ||
    { echo "release: chart $chart is not later than the $before of $last: raise version in charts/quay-rotator/Chart.yaml" >&2; wrong=1; }
fi
[ $wrong = 0 ] || exit 1

clean() {
  local changed
  changed=$(git status --porcelain)
  [ -z "$changed" ] || fail "a release is made of a commit, and this tree has changes (commit or remove them):" "$changed"
}
clean
commit=$(git rev-parse HEAD)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH

sign=true
case ${SIGN:-1} in 0 | no) sign=false ;; esac
if $sign; then
  [ -n "${RELEASE_KEY:-}" ] ||
    fail "RELEASE_KEY names no key: give it the id of a secret key that gpg has, or say SIGN=0 for an unsigned release"
  tests/packages.sh release
  gpg --batch --list-secret-keys "$RELEASE_KEY" >/dev/null 2>&1 ||
    fail "gpg has no secret key '$RELEASE_KEY' in ${GNUPGHOME:-$HOME/.gnupg}"
fi

image/build.sh "${platforms[@]}"
clean
[ "$(git rev-parse HEAD)" = "$commit" ] || fail "another commit was checked out meanwhile"

work=$(mktemp -d build/.release.XXXX)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
name=quay-rotator-$version
cp "build/image/$name.oci.tar" "$work"
cp build/image/digest "$work/$name.digest"

# The chart as `helm package` makes it, but the same each time.
pack() { # FOLDER, with names of files below it on stdin
  LC_ALL=C tar -C "$1" --null --verbatim-files-from -T - --sort=name --format=ustar --mtime=@"$SOURCE_DATE_EPOCH" \
    --owner=0 --group=0 --numeric-owner --mode=u=rw,go=r -c | gzip -9 -n
}
git -C charts ls-files -z quay-rotator | pack charts >"$work/quay-rotator-$chart.tgz"

# The OLM bundle, with the image by its digest, as clusters without internet need it.
git archive HEAD bundle | tar -C "$work" -x
sed -i "s|: quay-rotator:$version\$|: quay-rotator@$(cat build/image/digest)|
  s|\(features.operators.openshift.io/disconnected\): .*|\1: \"true\"|" "$work"/bundle/manifests/*.clusterserviceversion.yaml
git ls-files -z bundle | pack "$work" >"$work/$name-bundle.tgz"
rm -r "$work/bundle"

together() { # FILE...: as one YAML stream
  local file
  for file in "$@"; do echo '---' && cat "$file"; done
}
together deploy/namespace.yaml deploy/quay-rotator.yaml >"$work/$name.yaml"
together crds/*.yaml >"$work/$name-crds.yaml"

# A bill of materials for each platform. Of what was compiled in, only the tree it was compiled against knows versions.
trees=()
for platform in "${platforms[@]}"; do
  tree=
  [ "$platform" = "$(dpkg --print-architecture)" ] || tree=$(image/sysroot.sh "$platform")
  trees+=("$platform=$tree/var/lib/dpkg")
done
GO=$(tests/go.sh)
step "Listing what the image holds" "$GO" run -C tests -trimpath ./release/sbom "$PWD/$work/$name.oci.tar" "$PWD/$work/$name" "${trees[@]}"

(cd "$work" && LC_ALL=C sha256sum -- *) >"$work.sums"
mv "$work.sums" "$work/SHA256SUMS"

# What was released once stays as it is.
if [ -e $output ]; then
  difference=$(diff $output/SHA256SUMS "$work/SHA256SUMS" 2>&1) && difference=$(cd $output && sha256sum --check --quiet SHA256SUMS 2>&1) ||
    fail "$output holds another release; move it away if this one is to take its place:" "$difference"
  rm -rf "$work" && work=$output
  trap - EXIT
fi
if $sign && ! gpg --batch --verify "$work/SHA256SUMS.asc" "$work/SHA256SUMS" 2>/dev/null; then
  signing=(gpg --batch --yes --local-user "$RELEASE_KEY" --digest-algo SHA512)
  "${signing[@]}" --armor --detach-sign --output "$work/SHA256SUMS.asc" "$work/SHA256SUMS"
  # What `helm verify` reads.
  { cat charts/quay-rotator/Chart.yaml; printf '\n...\nfiles:\n'
    sed -n "s/^\([0-9a-f]*\)  \(quay-rotator-$chart.tgz\)$/  \2: sha256:\1/p" "$work/SHA256SUMS"
  } | "${signing[@]}" --clearsign >"$work/quay-rotator-$chart.tgz.prov"
  gpg --batch --armor --export "$RELEASE_KEY" >"$work/release-key.asc"
fi
if [ "$work" != $output ]; then
  mv "$work" $output
  trap - EXIT
fi

echo "Made $output of $commit$($sign || echo ', unsigned'):"
(cd $output && wc -c -- * | sed '$d')
