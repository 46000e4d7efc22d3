#include "base/secret_string.h"

#include <utility>

#include <openssl/crypto.h>

namespace quay_rotator::base {

void wipe(std::string& text) {
  // A shorter text may have left bytes behind its end, also in the buffer inside the object that
  // short strings live in: the whole capacity goes.
  text.resize(text.capacity());
  OPENSSL_cleanse(text.data(), text.size());
  text.clear();
}

SecretString::SecretString(std::string&& text) : text_(std::move(text)) {
  // A short string is copied by its move, and its bytes stay in the source.
  wipe(text);
}

SecretString SecretString::copy_of(std::string_view text) {
  SecretString copy;
  copy.append(text);
  return copy;
}

SecretString::SecretString(SecretString&& other) noexcept : SecretString(std::move(other.text_)) {}

SecretString& SecretString::operator=(SecretString&& other) noexcept {
  if (this != &other) {
    wipe(text_);
    text_ = std::move(other.text_);
    wipe(other.text_);
  }
  return *this;
}

SecretString::~SecretString() {
  wipe(text_);
}

void SecretString::append(std::string_view text) {
  const std::size_t size = text_.size() + text.size();
  if (size <= text_.capacity()) {
    text_.append(text);
    return;
  }
  std::string grown;
  grown.reserve(size > 2 * text_.size() ? size : 2 * text_.size());
  grown.append(text_).append(text);
  wipe(text_);
  // Longer than the buffer inside the object, so only the pointer moves.
  text_ = std::move(grown);
}

void SecretString::clear() {
  wipe(text_);
}

}  // namespace quay_rotator::base
