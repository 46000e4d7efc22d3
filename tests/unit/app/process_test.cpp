#include "app/process.h"

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <string>

#include <gtest/gtest.h>

namespace quay_rotator::app {
namespace {

// In a child each: signals are the process's.
class ProcessDeathTest : public testing::Test {
 protected:
  void SetUp() override { testing::FLAGS_gtest_death_test_style = "threadsafe"; }
};

TEST_F(ProcessDeathTest, SignalsThatMeanNothingToItDoNotEndIt) {
  const auto take_them_all = [] {
    harden_process();
    for (const int signal : {SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGPOLL,
                             SIGSTKFLT, SIGPWR, SIGXFSZ, SIGRTMIN, SIGRTMAX}) {
      std::raise(signal);
    }
    std::_Exit(0);
  };
  EXPECT_EXIT(take_them_all(), testing::ExitedWithCode(0), "");
}

TEST_F(ProcessDeathTest, SignalsThatAskForAnEndAreWaitedFor) {
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGQUIT}) {
    const auto be_told = [signal] {
      harden_process();
      std::raise(signal);
      const std::string name = std::string("SIG") + sigabbrev_np(signal);
      std::_Exit(wait_for_termination() == name ? 0 : 1);
    };
    EXPECT_EXIT(be_told(), testing::ExitedWithCode(0), "") << signal;
  }
}

TEST_F(ProcessDeathTest, UnderNohupAHangUpIsNoEnd) {
  const auto hang_up = [] {
    std::signal(SIGHUP, SIG_IGN);
    harden_process();
    std::raise(SIGHUP);
    std::raise(SIGINT);
    std::_Exit(std::strcmp(wait_for_termination(), "SIGINT") == 0 ? 0 : 1);
  };
  EXPECT_EXIT(hang_up(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace quay_rotator::app
