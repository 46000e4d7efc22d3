#!/bin/bash
# Compiles for arm64 and runs under qemu: the unit and contract tests, SEEDS=40 simulated schedules, and
# the program out of the image with nothing but the image's files. PARTS=image does the last alone.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/step.sh
image/build.sh -o build/image-arm64 arm64
work=$(mktemp -d build/.arm64.XXXX)
trap 'rm -rf "$work"' EXIT
tar -C "$work" -xzf "$(find build/image-arm64/oci/blobs -size +1M)"
# qemu looks for the program's interpreter and libraries in the image first; nothing of ours is for arm64.
emulated() { qemu-aarch64-static -L "$work" "$work/usr/bin/quay-rotator" "$@"; }
[ "$(emulated --version)" ] && emulated --help | grep -q -- --leader-elect
echo "The image's program runs under qemu: $(emulated --version)"
[ "${PARTS:-}" != image ] || exit 0

mapfile -t units < <(ls tests/unit)
units=("${units[@]/#/unit-}")
image/cross.sh arm64 "${units[@]}" contract simulate
# qemu does not tell the kernel which memory is to be kept out of dumps.
GTEST_FILTER=-SecretString.IsKeptOutOfSwapAndCoreDumps \
  ctest --test-dir build/arm64 -R '^(unit-|contract)' --parallel 2 --output-on-failure --no-tests=error --timeout 600
qemu-aarch64-static -L "$(image/sysroot.sh arm64)" build/arm64/bin/simulate --seeds "${SEEDS:-40}" --fresh 0 --jobs 2
