#include "fuzz/http_text.h"

#include <charconv>
#include <string>

#include "fuzz/target.h"

namespace quay_rotator::fuzz {

testing::Answer read_answer(std::string_view text) {
  testing::Answer answer;
  const std::string_view first = take_line(text);
  if (const std::size_t space = first.find(' '); space != std::string_view::npos) {
    int status = 0;
    std::from_chars(first.data() + space + 1, first.data() + first.size(), status);
    if (status >= 200 && status <= 999) answer.status = status;  // all that a transport hands over
  }
  while (!text.empty()) {
    const std::string_view line = take_line(text);
    if (line.empty()) break;
    const std::size_t colon = line.find(": ");
    if (colon == std::string_view::npos) continue;
    answer.headers.push_back(
        {std::string(line.substr(0, colon)), std::string(line.substr(colon + 2))});
  }
  answer.body = std::string(text);
  return answer;
}

}  // namespace quay_rotator::fuzz
