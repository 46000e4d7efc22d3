#include "base/secret_string.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <openssl/crypto.h>

#include "base/secret_memory.h"

namespace quay_rotator::base {

void wipe(std::string& text) {
  // A shorter text may have left bytes behind its end, also in the buffer inside the object that
  // short strings live in: the whole capacity goes.
  text.resize(text.capacity());
  OPENSSL_cleanse(text.data(), text.size());
  text.clear();
}

SecretString::SecretString(std::string&& text) {
  append(text);
  wipe(text);
}

SecretString SecretString::copy_of(std::string_view text) {
  SecretString copy;
  copy.append(text);
  return copy;
}

SecretString::SecretString(SecretString&& other) noexcept
    : bytes_(std::exchange(other.bytes_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      capacity_(std::exchange(other.capacity_, 0)) {}

SecretString& SecretString::operator=(SecretString&& other) noexcept {
  if (this != &other) {
    release();
    bytes_ = std::exchange(other.bytes_, nullptr);
    size_ = std::exchange(other.size_, 0);
    capacity_ = std::exchange(other.capacity_, 0);
  }
  return *this;
}

SecretString::~SecretString() {
  release();
}

void SecretString::append(std::string_view text) {
  if (text.empty()) return;
  const std::size_t size = size_ + text.size();
  if (size > capacity_) {
    const std::size_t wanted = std::max(size, 2 * size_);
    SecretString grown;
    grown.bytes_ = allocate_secret(wanted);
    grown.capacity_ = secret_capacity(wanted);
    if (size_ != 0) std::memcpy(grown.bytes_, bytes_, size_);
    grown.size_ = size_;
    // `text` may be a part of this string, which lives until the end of this function.
    std::memcpy(grown.bytes_ + size_, text.data(), text.size());
    grown.size_ = size;
    *this = std::move(grown);
    return;
  }
  std::memcpy(bytes_ + size_, text.data(), text.size());
  size_ = size;
}

void SecretString::clear() {
  // Whatever was ever written lies below size_: nothing else makes a string shorter.
  if (size_ != 0) OPENSSL_cleanse(bytes_, size_);
  size_ = 0;
}

void SecretString::release() noexcept {
  clear();
  if (bytes_ != nullptr) release_secret(bytes_, capacity_);
  bytes_ = nullptr;
  capacity_ = 0;
}

}  // namespace quay_rotator::base
