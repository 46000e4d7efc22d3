#!/bin/bash
# Counts the operator's instructions with callgrind and compares them with baseline.txt.
#   tests/bench/instructions/run.sh [BUILD] [--update | --where] [ARGUMENTS of operator-instructions]
# --update writes the baseline; --where tells where the instructions go, in full.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bin=$(cd "${1:-build}" && pwd)/bin
mode=${2:-}
resources=1000
rotations=20
idle=10
requests=25
for argument in "${@:3}"; do
  case $argument in
    --resources=*) resources=${argument#*=} ;;
    --rotations=*) rotations=${argument#*=} ;;
    --idle-minutes=*) idle=${argument#*=} ;;
    *) echo "run.sh: unknown argument $argument" >&2; exit 2 ;;
  esac
done
dumps=$(mktemp -d)
trap 'rm -rf "$dumps"' EXIT

# The same count on every machine: libc and OpenSSL choose what every x86-64 of the last ten years
# has, one heap whichever thread asks, every symbol looked up before the start, no random addresses
# and nothing else in the environment, which lies on the stack.
libc=-AVX512F,-AVX2,-AVX,-AVX_Fast_Unaligned_Load,-BMI2,-ERMS,-FSRM,-XSAVEC,-XSAVE
libc=$libc,-SSSE3,-SSE4_1,-SSE4_2,-Fast_Unaligned_Copy
fixed=(setarch -R)
setarch -R true 2>/dev/null || fixed=() # some containers forbid it; it costs little exactness
counted() {
  local name=$1
  shift
  local valgrind=(valgrind --tool=callgrind --callgrind-out-file="$dumps/$name"
    --instr-atstart=no --compress-strings=no --compress-pos=no)
  env -i PATH=/usr/bin:/bin LD_BIND_NOW=1 \
    GLIBC_TUNABLES="glibc.malloc.arena_max=1:glibc.cpu.hwcaps=$libc" \
    OPENSSL_ia32cap='~0x5840180040000000:~0xffffffffffffffff' \
    "${fixed[@]}" "${valgrind[@]}" "$@" >"$dumps/$name.log" 2>&1 && return
  echo "run.sh: $name failed:" >&2
  grep -v 'unhandled amd64-linux syscall\|handler\|README_MISSING\|consider this a bug\|bug_reports' \
    "$dumps/$name.log" | tail -n 20 >&2
  return 1
}
dump_of() { # of a phase
  grep -l "^desc: Trigger: Client Request: $1\$" "$dumps"/* || { echo "no dump of $1" >&2; exit 1; }
}

counted lives --collect-atstart=no "$bin/operator-instructions" \
  --resources="$resources" --rotations="$rotations" --idle-minutes="$idle"

coproc server { exec "$bin/request-server" "$dumps/ca.pem"; }
# shellcheck disable=SC2154  # coproc sets it
trap 'kill "$server_PID" 2>/dev/null; rm -rf "$dumps"' EXIT
read -r port <&"${server[0]}"
counted requests "$bin/request-instructions" "https://127.0.0.1:$port" "$dumps/ca.pem" "$requests"

"$bin/instructions" --baseline="$here/baseline.txt" ${mode:+"$mode"} \
  "start, a resource=$resources:$(dump_of start)" \
  "rotation=$rotations:$(dump_of rotations)" \
  "idle, a minute=$idle:$(dump_of idle)" \
  "request, kept connection=$requests:$(dump_of kept)" \
  "request, TLS session resumed=$requests:$(dump_of resumed)" \
  "request, new transport=$requests:$(dump_of new)"
