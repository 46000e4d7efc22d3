// Finds tokens in what must not hold any: logs, statuses, Events, metrics, messages, files.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>

namespace quay_rotator::testing {

// Any eight characters in a row of a token betray it, as it is, in lower or in upper case (a host's
// name has one case), and so do any eight of the base64 of these (of either alphabet), wherever the
// token begins in what was encoded. Not synchronized.
class TokenSearch {
 public:
  // Tokens of fewer than eight characters cannot be told from other text: they are an error of the
  // test (std::invalid_argument).
  void add(std::string_view token);
  [[nodiscard]] bool betrayed_by(std::string_view text) const;
  // Where in the text the first trace begins, for a message; npos: there is none. Never show what
  // is there: a test's output is a log, too.
  [[nodiscard]] std::size_t find(std::string_view text) const;

 private:
  void add_spelling(std::string_view token);
  void add_runs(std::string_view text);

  std::unordered_set<std::uint64_t> runs_;
};

}  // namespace quay_rotator::testing
