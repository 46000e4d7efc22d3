// The program of the contract tests, and of the child processes that some of them start.
#include <string_view>

#include <gtest/gtest.h>

#include "contract/allocation.h"
#include "contract/child.h"
#include "http/tls.h"
#ifdef QUAY_ROTATOR_CPPREST
#include "http/cpprest_transport.h"
#endif

int main(int argc, char** argv) {
  quay_rotator::contract::let_allocations_fail();  // before OpenSSL's first
#ifdef QUAY_ROTATOR_CPPREST
  quay_rotator::http::initialize_cpprest();
#else
  quay_rotator::http::hide_system_certificates();
#endif
  if (argc > 1 && std::string_view(argv[1]) == quay_rotator::contract::child_flag) {
    return quay_rotator::contract::run_child(argc, argv);
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
