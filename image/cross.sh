#!/bin/bash
# Compiles targets for another platform into build/PLATFORM, in a configuration without what only runs
# here (sanitizers, the cluster).
#   image/cross.sh arm64 TARGET...
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/step.sh
platform=$1
shift
tests/packages.sh build "$platform"
SYSROOT=$(image/sysroot.sh "$platform")
export SYSROOT
grep -qsF "CMAKE_SYSROOT:PATH=$SYSROOT" "build/$platform/CMakeCache.txt" || rm -rf "build/$platform"
[ -e "build/$platform/build.ninja" ] || step "Configuring with CMake for $platform" cmake --preset "$platform" >/dev/null
echo "==> Compiling $* for $platform" >&2
ninja -C "build/$platform" "$@" >&2
