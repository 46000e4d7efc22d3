// The error of everything that has no richer one: a sentence for a person.
#pragma once

#include <string>

#include <tl/expected.hpp>

namespace quay_rotator::base {

// `message` says what was expected, what came, where, and what to do. It never holds a secret.
struct Error {
  std::string message;
};

template <class T>
using Expected = tl::expected<T, Error>;

}  // namespace quay_rotator::base
