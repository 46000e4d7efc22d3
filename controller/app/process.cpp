#include "app/process.h"

#include <csignal>
#include <malloc.h>

#include <sys/prctl.h>
#include <sys/resource.h>

namespace quay_rotator::app {

namespace {

sigset_t termination_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

}  // namespace

void harden_process() {
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  prctl(PR_SET_DUMPABLE, 0);
  std::signal(SIGPIPE, SIG_IGN);
  const sigset_t signals = termination_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

void keep_heap_small() {
  constexpr int arenas = 2;
  constexpr int large = 64 << 10;
  mallopt(M_ARENA_MAX, arenas);
  // Set, they do not grow with what was freed.
  mallopt(M_MMAP_THRESHOLD, large);
  mallopt(M_TRIM_THRESHOLD, 2 * large);
}

void trim_heap() {
  malloc_trim(0);
}

void wait_for_termination() {
  const sigset_t signals = termination_signals();
  int signal = 0;
  sigwait(&signals, &signal);
}

}  // namespace quay_rotator::app
