#!/bin/bash
# Builds what a target of the Makefile needs, packages included. A second run takes seconds.
#   tests/prepare.sh program    build/bin/quay-rotator
#   tests/prepare.sh simulate   build/bin/simulate
#   tests/prepare.sh mutants    build/bin/mutant-*
#   tests/prepare.sh micro      build/bin/micro
#   tests/prepare.sh instructions  build/bin/*instructions
#   tests/prepare.sh guest      … and what the demonstration runs in a cluster of yours: Go programs in build/bin
#   tests/prepare.sh demo       … and build/control-plane (a link into ~/.cache/quay-rotator)
#   tests/prepare.sh install-check  … and build/helm, build/helm3 and build/kube-apiserver (links, too)
#   tests/prepare.sh bench      … and build/bin/bench and micro
#   tests/prepare.sh test       … and every test
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/step.sh
what=${1:?program, simulate, mutants, micro, instructions, guest, demo, install-check, bench or test}

command -v flock >/dev/null || tests/packages.sh build # no Linux: it says what to do instead
mkdir -p build
exec 9>build/.lock # two at once: the second finds everything done
flock -n 9 || { echo "Another build is under way here, waiting for it" >&2; flock 9; }

# The control plane compiles for minutes on its own, so it starts first and runs beside the rest.
go_parts() {
  local part directory parts=(control-plane helm) programs=(./quay-sim ./environment/cmd/environment ./demo)
  case $what in
    guest) parts=() programs=(./quay-sim ./demo) ;;
    demo) parts=(demo) programs=(./quay-sim ./demo) ;;
    install-check) parts+=(helm3 kube-apiserver) ;;
  esac
  # Without cgo, as all of it: the same standard library is compiled once.
  CGO_ENABLED=0 "$GO" build -C tests -o ../build/bin/ "${programs[@]}"
  for part in "${parts[@]}"; do
    [[ $part == helm* || -z ${KUBEBUILDER_ASSETS:-} ]] || continue
    directory=$(tests/control-plane/build.sh "$part")
    ln -sfn "$directory" "build/${part/#demo/control-plane}"
  done
}
go=true # what is in Go too
case $what in program | simulate | mutants | micro | instructions) go=false ;; esac
if $go; then
  GO=$(tests/go.sh)
  export GO
  mkdir -p build/bin
  set -m # a process group of its own: it must not outlive an interrupted build
  go_parts >build/go.log 2>&1 9>&- &
  go_pid=$!
  set +m
  trap 'kill -- -$go_pid 2>/dev/null || true' EXIT
fi

groups=(build)
if $go; then groups+=(test); fi
tests/packages.sh "${groups[@]}"
[ -e build/build.ninja ] || step "Configuring with CMake" cmake --preset release >/dev/null
case $what in
  test) targets=(all) ;;
  simulate | mutants | micro) targets=("$what") ;;
  instructions) targets=(instructions operator-instructions request-instructions request-server) ;;
  bench) targets=(quay-rotator bench micro) ;;
  *) targets=(quay-rotator) ;;
esac
echo "==> Compiling ${targets[*]} (C++; ccache keeps what was compiled before)" >&2
ninja -C build "${targets[@]}" >&2

if $go; then
  if kill -0 "$go_pid" 2>/dev/null; then
    echo "==> Building the Go programs and the control plane (minutes, once)" >&2
    if [[ $what == demo ]]; then
      echo "    Meanwhile, from README.md, what you are going to see:" >&2
      sed -n '/^## Why not a CronJob/,/^## Five minutes/{/^## Five/!p}' README.md >&2
    fi
    tail -n +1 -f --pid="$go_pid" build/go.log >&2
  fi
  trap - EXIT
  wait "$go_pid" || { tail -n 40 build/go.log >&2; echo "FAILED: the Go programs" >&2; exit 1; }
fi
