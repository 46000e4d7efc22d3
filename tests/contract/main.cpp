// The program of the contract tests, and of the child processes that some of them start.
#include <string_view>

#include <gtest/gtest.h>

#include "contract/child.h"
#include "http/cpprest_transport.h"

int main(int argc, char** argv) {
  quay_rotator::http::initialize_cpprest();
  if (argc > 1 && std::string_view(argv[1]) == quay_rotator::contract::child_flag) {
    return quay_rotator::contract::run_child(argc, argv);
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
