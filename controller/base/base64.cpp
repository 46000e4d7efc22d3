#include "base/base64.h"

#include <string>
#include <utility>

#include <openssl/evp.h>

namespace quay_rotator::base {
namespace {

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

unsigned char* bytes_of(std::string& text) {
  return reinterpret_cast<unsigned char*>(text.data());
}

}  // namespace

SecretString base64_encode(std::string_view bytes) {
  // OpenSSL also writes a zero behind the end, where the string has one anyway.
  std::string text((bytes.size() + 2) / 3 * 4, '\0');
  EVP_EncodeBlock(bytes_of(text), bytes_of(bytes), static_cast<int>(bytes.size()));
  return SecretString(std::move(text));
}

std::optional<SecretString> base64_decode(std::string_view text) {
  // OpenSSL's own check lets white space at both ends and misplaced padding pass.
  const std::size_t end = text.find_last_not_of('=') + 1;
  const std::size_t padding = text.size() - end;
  if (text.size() % 4 != 0 || padding > 2 ||
      text.substr(0, end).find_first_not_of(
          "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") !=
          std::string_view::npos) {
    return std::nullopt;
  }
  std::string bytes(text.size() / 4 * 3, '\0');
  EVP_DecodeBlock(bytes_of(bytes), bytes_of(text), static_cast<int>(text.size()));
  bytes.resize(bytes.size() - padding);
  return SecretString(std::move(bytes));
}

}  // namespace quay_rotator::base
