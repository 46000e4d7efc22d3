#!/bin/bash
# clang-tidy on controller/, with the findings in build/tidy.log. Exit code 1 when there are any.
# A file in which nothing was found is not looked at again until it changes, or what it includes, how
# it is compiled, the checks or clang-tidy: ~/.cache/quay-rotator/tidy has one empty file for each.
# The tests are left out: they take three times as long as the program, and the compiler's warnings
# are errors for them as well.
set -euo pipefail
cd "$(dirname "$0")/.."
export good=${XDG_CACHE_HOME:-$HOME/.cache}/quay-rotator/tidy
mkdir -p "$good"
find "$good" -type f -mtime +90 -delete
checks=$(clang-tidy --version && cat .clang-tidy)
export checks

# "KEY FILE" for a compiler's command, unless that key is known to be good.
unknown() {
  local command=$1 key
  key=$({
    echo "$checks ${command//$PWD/}"
    cd build && eval "${command/ -c / -E -P -C }" # comments too: NOLINT is one
  } | sha256sum)
  key=${key%% *}
  [ -e "$good/$key" ] || echo "$key ${command##* -c }"
}
export -f unknown

commands=$(sed -n 's/^  "command": "\(.*\)",\?$/\1/p' build/compile_commands.json |
  sed 's/ -o [^ ]*//; s/\\\(["\\]\)/\1/g' | grep " -c $PWD/controller/")
list=$(tr '\n' '\0' <<<"$commands" | xargs -0 -n 1 -P "$(nproc)" bash -euo pipefail -c 'unknown "$0"')
: >build/tidy.log
[ -n "$list" ] || exit 0
mapfile -t files < <(cut -d ' ' -f 2 <<<"$list" | sort -u)
# clang does not know some of g++'s options and warnings.
if run-clang-tidy -quiet -j "$(nproc)" -p build -extra-arg=-Wno-unknown-warning-option -extra-arg=-Wthread-safety \
  "${files[@]/%/$}" >build/tidy.log 2>/dev/null; then
  (cd "$good" && cut -d ' ' -f 1 <<<"$list" | xargs touch)
  exit 0
fi
sed -i 's/\x1b\[[0-9;]*m//g' build/tidy.log
grep -E '(error|warning):' build/tidy.log | sort -u >&2
exit 1
