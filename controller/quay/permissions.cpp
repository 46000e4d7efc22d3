#include "quay/permissions.h"

#include <utility>

#include "base/public_text.h"

namespace quay_rotator::quay {

namespace {

constexpr std::size_t most_differences = 10;
constexpr std::size_t most_words = 150;  // of one right, and of its roles

std::string cut_short(std::string text) {
  if (text.size() > most_words) text.replace(most_words, std::string::npos, "…");
  return text;
}

// " (read, write)"
std::string in_brackets(const std::set<std::string>& roles) {
  std::string text;
  for (const std::string& role : roles) text += (text.empty() ? "" : ", ") + role;
  return text.empty() ? "" : " (" + cut_short(std::move(text)) + ")";
}

}  // namespace

void Rights::add(std::string right, std::string_view role) {
  size_ += right.size() + role.size();
  if (size_ > most) return cut_off();
  auto& roles = rights_[std::move(right)];
  if (!role.empty()) roles.emplace(role);
}

std::vector<std::string> differences(std::string_view first_name, const Rights& first,
                                     std::string_view second_name, const Rights& second,
                                     const base::SecretString& api_token) {
  std::vector<std::string> found;
  std::size_t more = 0;
  const auto differ = [&](const std::string& sentence) {
    if (found.size() == most_differences) {
      ++more;
    } else {
      found.push_back(base::public_text(sentence, {api_token.reveal()},
                                        "a difference that is not shown: it holds a secret"));
    }
  };
  const auto compare = [&](std::string_view name, const Rights& rights, std::string_view other_name,
                           const Rights& others, bool common) {
    if (rights.cut_off_) differ(std::string(name) + " has more rights than can be compared");
    if (first.cut_off_ || second.cut_off_) return;
    for (const auto& [right, roles] : rights.rights_) {
      const auto other = others.rights_.find(right);
      const std::string words = cut_short(right);
      if (other == others.rights_.end()) {
        differ("only " + std::string(name) + " " + words + in_brackets(roles));
      } else if (common && roles != other->second) {
        differ(std::string(name) + " " + words + in_brackets(roles) + ", " +
               std::string(other_name) + in_brackets(other->second));
      }
    }
  };
  compare(first_name, first, second_name, second, true);
  compare(second_name, second, first_name, first, false);
  if (more > 0) found.push_back("and " + std::to_string(more) + " more");
  return found;
}

}  // namespace quay_rotator::quay
