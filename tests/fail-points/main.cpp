// The shipped program, but it ends with SIGKILL after a named step of the rotation protocol:
// QUAY_ROTATOR_FAIL_POINT=regenerate, or regenerate:3 for the third time. With
// QUAY_ROTATOR_FAIL_POINT_FREEZES it is stopped there instead, until somebody sends SIGCONT; with
// QUAY_ROTATOR_FAIL_POINT_HANGS that thread alone does not go on, ever. Its --quay-timeout has no
// floor.
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <string>
#include <string_view>
#include <unistd.h>

#include "app/operator.h"

int main(int argc, char** argv) {
  const char* text = std::getenv("QUAY_ROTATOR_FAIL_POINT");
  const std::string fail_point = text ? text : "";
  const std::size_t colon = fail_point.find(':');
  const std::string step = fail_point.substr(0, colon);
  const int signal = std::getenv("QUAY_ROTATOR_FAIL_POINT_FREEZES") ? SIGSTOP : SIGKILL;
  const bool hangs = std::getenv("QUAY_ROTATOR_FAIL_POINT_HANGS") != nullptr;
  std::atomic<int> left = colon == std::string::npos ? 1 : std::stoi(fail_point.substr(colon + 1));
  return quay_rotator::app::run(argc, argv,
                                {[&](std::string_view name) {
                                   if (name != step || --left != 0) return;
                                   while (hangs) pause();
                                   std::raise(signal);
                                 },
                                 std::chrono::milliseconds(1)});
}
