// libFuzzer's side of a target.
#include <cstddef>
#include <cstdint>

#include "fuzz/target.h"

// libFuzzer calls it by this name, and says how many bytes there are.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  quay_rotator::fuzz::run({reinterpret_cast<const char*>(data), size});
  return 0;
}
