#include "app/process.h"

#include <csignal>
#include <initializer_list>
#include <malloc.h>

#include <sys/prctl.h>
#include <sys/resource.h>

namespace quay_rotator::app {

namespace {

// nohup ignores SIGHUP before it starts a program, which is to stay so.
bool is_ignored(int signal) {
  struct sigaction action {};
  return sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

sigset_t termination_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGQUIT}) sigaddset(&signals, signal);
  if (!is_ignored(SIGHUP)) sigaddset(&signals, SIGHUP);
  return signals;
}

// Whose default would end the process at once.
void ignore_signals() {
  for (const int signal : {SIGPIPE, SIGXFSZ, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGPOLL,
                           SIGSTKFLT, SIGPWR}) {
    std::signal(signal, SIG_IGN);
  }
  for (int signal = SIGRTMIN; signal <= SIGRTMAX; ++signal) std::signal(signal, SIG_IGN);
}

}  // namespace

void harden_process() {
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  prctl(PR_SET_DUMPABLE, 0);
  ignore_signals();
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

const char* wait_for_termination() {
  const sigset_t signals = termination_signals();
  int signal = 0;
  sigwait(&signals, &signal);
  return signal == SIGTERM  ? "SIGTERM"
         : signal == SIGINT ? "SIGINT"
         : signal == SIGHUP ? "SIGHUP"
                            : "SIGQUIT";
}

}  // namespace quay_rotator::app
