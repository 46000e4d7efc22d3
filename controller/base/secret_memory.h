// Where SecretString keeps its bytes: apart from the heap, left out of core dumps, and locked into
// memory as far as RLIMIT_MEMLOCK goes (beyond it, and where the system cannot, secrets are kept
// all the same). Pages are locked when they are first used, so nothing is resident that would not
// be. OpenSSL's secure heap has one size, locked and resident from the start, and nothing beyond
// it.
//
// One for the process, as the heap is: an allocator, not a state of the program. Thread-safe.
#pragma once

#include <cstddef>

namespace quay_rotator::base {

// What allocate_secret gives for `size` bytes: at least that.
std::size_t secret_capacity(std::size_t size);
// Throws std::bad_alloc.
char* allocate_secret(std::size_t size);
// `capacity` is what secret_capacity said. The caller has wiped it.
void release_secret(char* block, std::size_t capacity) noexcept;

}  // namespace quay_rotator::base
