#!/bin/bash
# Checks what the compiler does not: format, clang-tidy, go vet, shellcheck. Fails on any finding and
# still runs the rest, so that one run tells everything.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/step.sh
tests/packages.sh build lint
GO=$(tests/go.sh)
failed=0

files() { git ls-files --cached --others --exclude-standard --deduplicate -- "$@"; }
check() { step "$@" || failed=1; }

cpp_format() { files '*.h' '*.cpp' | xargs -r clang-format --dry-run --Werror; }
check "Format of C++ (clang-format)" cpp_format

go_format() {
  local wrong
  wrong=$(files '*.go' | xargs -r "$(dirname "$GO")/gofmt" -l)
  [ -z "$wrong" ] || { echo "gofmt would change: $wrong" >&2; return 1; }
}
check "Format of Go (gofmt)" go_format
check "Go (go vet)" "$GO" vet -C tests ./...

shell() { files '*.sh' .ci/run | xargs -r shellcheck -x -P SCRIPTDIR -S warning; }
check "Shell scripts (shellcheck)" shell

[ -e build/build.ninja ] || step "Configuring with CMake" cmake --preset release >/dev/null
# clang-tidy reads how each file is compiled; generated headers are not needed.
cmake --build build --target rebuild_cache >/dev/null
check "C++ (clang-tidy on what has changed; findings in build/tidy.log)" tests/tidy.sh

[ $failed = 0 ] && echo "lint: nothing found"
exit $failed
