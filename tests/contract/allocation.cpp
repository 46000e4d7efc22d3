#include "contract/allocation.h"

#include <cstdlib>

#include <openssl/crypto.h>

namespace quay_rotator::contract {
namespace {

constexpr int never = -1;
thread_local int countdown = never;

bool fails() {
  if (countdown == never) return false;
  return countdown-- == 0;
}

void* allocate(std::size_t size, const char* /*file*/, int /*line*/) {
  return fails() ? nullptr : std::malloc(size);
}

void* reallocate(void* block, std::size_t size, const char* /*file*/, int /*line*/) {
  return fails() ? nullptr : std::realloc(block, size);
}

void release(void* block, const char* /*file*/, int /*line*/) {
  std::free(block);
}

}  // namespace

void let_allocations_fail() {
  CRYPTO_set_mem_functions(allocate, reallocate, release);
}

FailingAllocation::FailingAllocation(int nth) {
  countdown = nth;
}

FailingAllocation::~FailingAllocation() {
  countdown = never;
}

bool FailingAllocation::happened() const {
  return countdown == never;
}

}  // namespace quay_rotator::contract
