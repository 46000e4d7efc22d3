#!/bin/bash
# Builds the fuzz targets with libFuzzer and runs each in turn: tests/fuzz/run.sh SECONDS [NOUN...]
# What they learn is kept in build/fuzz/corpus, so that the next run goes on from there; what ended
# one of them is kept in build/fuzz/findings. Exit code 1 when there is such a finding.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/step.sh
seconds=${1:?seconds for each target}
shift

tests/packages.sh build fuzz
mkdir -p build/fuzz
exec 9>build/fuzz/.lock # two at once: the second finds everything built
flock 9
[ -e build/fuzz/build.ninja ] || step "Configuring with CMake" cmake --preset fuzz >/dev/null
echo "==> Compiling the fuzz targets (clang; minutes at first, ccache keeps what was compiled)" >&2
ninja -C build/fuzz -j "$(nproc)" fuzz >&2
exec 9>&-

nouns=("$@")
[ ${#nouns[@]} -gt 0 ] || for source in tests/fuzz/*_fuzz.cpp; do
  nouns+=("$(basename "$source" _fuzz.cpp)")
done

# One target; its report goes to a log, and to standard error when it found something.
fuzz() {
  local noun=$1 log=build/fuzz/logs/$1.log
  nice -n 10 "build/fuzz/bin/fuzz-${noun//_/-}" -max_total_time="$seconds" -timeout=20 \
    -print_final_stats=1 -artifact_prefix="build/fuzz/findings/$noun/" \
    "build/fuzz/corpus/$noun" "tests/fuzz/corpus/$noun" >"$log" 2>&1 && return
  tail -n 30 "$log" >&2
  touch "build/fuzz/logs/$noun.found"
}
units() { find "build/fuzz/corpus/$1" -type f | wc -l; }
figure() { awk -v name="stat::$2:" '$1 == name { print $2 }' "build/fuzz/logs/$1.log"; }

mkdir -p build/fuzz/logs
declare -A before
at_once=$(nproc)
set -m # a process group for each target, to end its fuzzer too
trap 'kill -- $(jobs -p | sed s/^/-/) 2>/dev/null || true' EXIT
for i in "${!nouns[@]}"; do
  noun=${nouns[$i]}
  [ -d "tests/fuzz/corpus/$noun" ] || { echo "run.sh: no such target: $noun" >&2; exit 2; }
  mkdir -p "build/fuzz/corpus/$noun" "build/fuzz/findings/$noun"
  rm -f "build/fuzz/logs/$noun.found"
  before[$noun]=$(units "$noun")
  [ "$(jobs -rp | wc -l)" -lt "$at_once" ] || wait -n
  echo "==> Fuzzing $noun for $seconds s ($((i + 1)) of ${#nouns[@]}, $at_once at a time)" >&2
  fuzz "$noun" &
done
wait
set +m

rows=()
failed=()
executions=0
for noun in "${nouns[@]}"; do
  result=none
  if [ -e "build/fuzz/logs/$noun.found" ]; then
    result=FOUND
    failed+=("$noun")
  fi
  count=$(figure "$noun" number_of_executed_units)
  executions=$((executions + ${count:-0}))
  rows+=("$(printf '%-16s %12s %10s %10s   %s' "$noun" "${count:-0}" \
    "$(figure "$noun" average_exec_per_sec)" "$(($(units "$noun") - before[$noun]))" "$result")")
done

printf '\n%-16s %12s %10s %10s   %s\n' target executions exec/s "new units" findings
printf '%s\n' "${rows[@]}"
echo "$executions executions, ${#failed[@]} findings"
for noun in "${failed[@]}"; do
  # shellcheck disable=SC2012  # the names are ours
  newest=$(ls -t "build/fuzz/findings/$noun/"* 2>/dev/null | head -n 1)
  echo "FOUND in $noun; replay: build/fuzz/bin/fuzz-${noun//_/-} ${newest:-(see build/fuzz/logs/$noun.log)}"
done
[ ${#failed[@]} = 0 ]
