// Child processes: this program again, doing one thing and returning from main.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace quay_rotator::contract {

inline constexpr std::string_view child_flag = "--child";

// In the child: argv[2] is the role, argv[3] the transport, the rest the role's arguments.
int run_child(int argc, char** argv);

struct ChildResult {
  bool exited = false;  // by itself, with `status`
  int status = 0;
  std::string output;
};

// Runs the child to its end; one that takes longer than 20 s is killed (exited is false then).
ChildResult run_as_child(std::string_view role, const std::vector<std::string>& arguments,
                         const std::vector<std::string>& environment = {});

}  // namespace quay_rotator::contract
