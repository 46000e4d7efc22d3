#include "rotation/quotation.h"

#include <cstddef>
#include <string>
#include <unordered_set>
#include <utility>

#include "base/base64.h"

namespace quay_rotator::rotation {

namespace {

constexpr std::size_t enough = 8;

std::string folded(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c == '-') c = '+';
    if (c == '_') c = '/';
  }
  return result;
}

}  // namespace

std::vector<base::SecretString> written_forms(const base::SecretString& token,
                                              std::vector<base::SecretString> written) {
  std::vector<base::SecretString> forms = std::move(written);
  for (const std::string_view before : {"", "x", "xx"}) {
    auto shifted = base::SecretString::copy_of(before);
    shifted.append(token.reveal());
    const auto encoded = base::base64_encode(shifted.reveal());
    // The first and the last digits hold bits of what is beside it.
    const std::size_t size = encoded.size();
    if (size < 8) continue;
    forms.push_back(base::SecretString::copy_of(encoded.reveal().substr(4, size - 8)));
  }
  forms.push_back(token.clone());
  return forms;
}

bool quotes(std::string_view text, const std::vector<base::SecretString>& forms) {
  if (text.size() < enough) return false;
  const std::string folded_text = folded(text);
  std::unordered_set<std::string_view> pieces;
  for (std::size_t at = 0; at + enough <= folded_text.size(); ++at) {
    pieces.insert(std::string_view(folded_text).substr(at, enough));
  }
  for (const auto& form : forms) {
    const base::SecretString secret(folded(form.reveal()));
    const std::string_view whole = secret.reveal();
    for (std::size_t at = 0; at + enough <= whole.size(); ++at) {
      if (pieces.contains(whole.substr(at, enough))) return true;
    }
  }
  return false;
}

}  // namespace quay_rotator::rotation
