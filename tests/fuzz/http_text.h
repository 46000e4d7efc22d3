// An HTTP answer as a text, so that a seed can be read and written by hand:
//   HTTP/1.1 401 Unauthorized
//   WWW-Authenticate: Bearer realm="…"
//
//   {"errors": …}
#pragma once

#include <string_view>

#include "support/fake_transport.h"

namespace quay_rotator::fuzz {

// Any text is an answer: a status that is none is 200, a line without a colon is no header.
testing::Answer read_answer(std::string_view text);

}  // namespace quay_rotator::fuzz
