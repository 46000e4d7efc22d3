#!/usr/bin/env bash
# Builds the control plane of the tests, or another of the programs below, into a cache outside the build
# folder and prints the directory as the last line of its output. Progress goes to stderr.
#
#   build.sh [control-plane]   DIRECTORY/control-plane, DIRECTORY/kubectl
#   build.sh demo              the same as the demonstration needs it, quickly: unless the above is there
#                              already, without kube-controller-manager and not optimised
#   build.sh kube-apiserver    DIRECTORY/kube-apiserver, of the oldest Kubernetes that the chart takes
#   build.sh helm              DIRECTORY/helm, version 4
#   build.sh helm3             DIRECTORY/helm, version 3
#
# A build takes minutes, so it is kept by the hash of what it is made from: a second call is instant,
# and two at once wait for one build. GO names the go command; XDG_CACHE_HOME moves the cache.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

what=${1:-control-plane}
helm=helm.sh/helm/v4/cmd/helm@v4.3.1
[[ $what != helm3 ]] || helm=helm.sh/helm/v3/cmd/helm@v3.22.0
go=${GO:-go}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/quay-rotator

case $what in
kube-apiserver) cd oldest ;;&
control-plane | demo | kube-apiserver) key=$(cat go.mod go.sum ./*.go | sha256sum) ;;
helm | helm3) key=$(sha256sum <<<"$helm") ;;
*)
  echo "build.sh: unknown '$what', expected control-plane, demo, kube-apiserver, helm or helm3" >&2
  exit 2
  ;;
esac
directory=$cache/$what-${key:0:16}
[[ $what != demo || ! -d $cache/control-plane-${key:0:16} ]] || directory=$cache/control-plane-${key:0:16}

compile() { # writes into $1
  export CGO_ENABLED=0
  if [[ $what == helm* ]]; then
    GOBIN=$1 "$go" install -v -trimpath -ldflags "-s -w" "$helm"
    return
  fi
  local version package=k8s.io/component-base/version program=$what flags=()
  # Half the time; and the standard library, where much of the work is done, stays optimised.
  [[ $what == control-plane ]] || flags=(-gcflags='all=-N -l -dwarf=false' -gcflags=std=)
  [[ $what != demo ]] || program=control-plane flags+=(-tags demo)
  version=$(sed -n 's|^\tk8s.io/kubernetes v|v|p' go.mod)
  echo "in all: $("$go" list -deps "${flags[@]}" . | wc -l)" # has spaces, as packages have not
  "$go" build -v -trimpath "${flags[@]}" -o "$1/$program" -ldflags "-s -w -X $package.gitVersion=$version \
    -X $package.gitMajor=1 -X $package.gitMinor=$(cut -d. -f2 <<<"$version")" .
  [[ $program != control-plane ]] || ln -s control-plane "$1/kubectl"
}

if [[ ! -d $directory ]]; then
  mkdir -p "$cache"
  exec 9>"$cache/$what.lock"
  until flock -w 10 9; do
    echo "$what: $SECONDS s, waiting for another build of it" >&2
  done
fi
if [[ ! -d $directory ]]; then
  command -v "$go" >/dev/null || {
    echo "build.sh: no go command found; install Go 1.26 or name it with GO=" >&2
    exit 1
  }
  echo "$what: building it once (minutes, then it is kept in $directory)" >&2
  # The temporary directory becomes the final one only when complete. Left-overs of interrupted
  # builds go here, under the lock.
  rm -rf "$cache/$what.partial"
  mkdir "$cache/$what.partial"
  start=$SECONDS
  log=$cache/$what.log
  set -m # a process group of its own, so that an interrupted build ends whole
  compile "$cache/$what.partial" >"$log" 2>&1 9>&- &
  compiler=$!
  set +m
  trap 'kill -- -$compiler 2>/dev/null || true' EXIT
  while kill -0 $compiler 2>/dev/null; do
    sleep 0.5
    if (((SECONDS - start) / 10 > ${ticks:-0})); then
      ticks=$(((SECONDS - start) / 10))
      all=$(sed -n 's/^in all: / of /p' "$log")
      echo "$what: $((SECONDS - start)) s, $(grep -vc ' ' "$log")$all packages compiled, $(tail -n 1 "$log" | grep -v " ")" >&2
    fi
  done
  if ! wait $compiler; then
    echo "$what: the build failed, the end of $log:" >&2
    tail -n 20 "$log" >&2
    exit 1
  fi
  trap - EXIT
  mv "$cache/$what.partial" "$directory"
  echo "$what: built in $((SECONDS - start)) s" >&2
fi
echo "$directory"
