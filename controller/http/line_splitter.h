// Cuts a stream of pieces into lines, bounded.
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>

#include "base/secret_string.h"

namespace quay_rotator::http {

// Not synchronized. Lines end with "\n" or "\r\n"; the end is not part of the line. What it keeps
// between pieces is wiped: lines of a watch hold Secrets.
class LineSplitter {
 public:
  explicit LineSplitter(std::size_t max_line) : max_line_(max_line) {}
  // False when a line is longer than max_line (the stream is then useless) or `on_line` returned
  // false. A view passed to `on_line` lives for that call.
  bool feed(std::string_view piece, const std::function<bool(std::string_view)>& on_line);
  [[nodiscard]] bool overflowed() const { return overflowed_; }
  // What came after the last line end.
  [[nodiscard]] std::string_view rest() const { return rest_.reveal(); }

 private:
  std::size_t max_line_;
  base::SecretString rest_;
  bool overflowed_ = false;
};

}  // namespace quay_rotator::http
