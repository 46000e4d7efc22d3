#!/bin/bash
# Builds what a target of the Makefile needs, packages included. A second run takes seconds.
#   tests/prepare.sh program    build/bin/quay-rotator
#   tests/prepare.sh simulate   build/bin/simulate
#   tests/prepare.sh mutants    build/bin/mutant-*
#   tests/prepare.sh micro      build/bin/micro
#   tests/prepare.sh instructions  build/bin/*instructions
#   tests/prepare.sh demo       … and what the demonstration runs: the Go programs in build/bin, and
#                               build/control-plane and build/helm (links into ~/.cache/quay-rotator)
#   tests/prepare.sh install-check  … and build/helm3
#   tests/prepare.sh bench      … and build/bin/bench and micro
#   tests/prepare.sh test       … and every test
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/step.sh
what=${1:?program, simulate, mutants, micro, instructions, demo, install-check, bench or test}

command -v flock >/dev/null || tests/packages.sh build # no Linux: it says what to do instead
mkdir -p build
exec 9>build/.lock # two at once: the second finds everything done
flock -n 9 || { echo "Another build is under way here, waiting for it" >&2; flock 9; }

# The control plane compiles for minutes on its own, so it starts first and runs beside the rest.
go_parts() {
  local directory
  "$GO" build -C tests -o ../build/bin/ ./quay-sim ./environment/cmd/environment ./demo
  if [ -z "${KUBEBUILDER_ASSETS:-}" ]; then
    directory=$(tests/control-plane/build.sh control-plane)
    ln -sfn "$directory" build/control-plane
  fi
  directory=$(tests/control-plane/build.sh helm) # renders the chart's RBAC
  ln -sfn "$directory" build/helm
  if [ "$what" = install-check ]; then
    directory=$(tests/control-plane/build.sh helm3)
    ln -sfn "$directory" build/helm3
  fi
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
  wait_for_go() { while kill -0 "$go_pid" 2>/dev/null; do sleep 0.2; done; }
  step "Building the Go programs and the control plane (minutes, once; see build/go.log)" wait_for_go
  trap - EXIT
  wait "$go_pid" || { tail -n 40 build/go.log >&2; echo "FAILED: the Go programs" >&2; exit 1; }
fi
