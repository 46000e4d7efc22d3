#include "base/fingerprint.h"

#include <array>

#include <openssl/evp.h>
#include <openssl/sha.h>

namespace quay_rotator::base {
namespace {

constexpr std::string_view prefix = "sha256:";
constexpr std::string_view hex_digits = "0123456789abcdef";
constexpr std::size_t digit_count = 16;

// Looked up once: OpenSSL 3 spends more on that than on the digest of a short text.
const EVP_MD* sha256() {
  static EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return algorithm != nullptr ? algorithm : EVP_sha256();
}

std::string hex(std::uint64_t bits) {
  std::string digits;
  for (unsigned shift = 64; shift != 0;) {
    shift -= 4;
    digits += hex_digits[bits >> shift & 0xFU];
  }
  return digits;
}

}  // namespace

std::string digest_text(std::string_view text) {
  return hex(digest64(text));
}

std::uint64_t digest64(std::string_view text) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  EVP_Digest(text.data(), text.size(), digest.data(), nullptr, sha256(), nullptr);
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < sizeof bits; ++i) bits = bits << 8U | digest[i];
  return bits;
}

Fingerprint Fingerprint::of(std::string_view token) {
  Fingerprint fingerprint;
  fingerprint.bits_ = digest64(token);
  return fingerprint;
}

std::optional<Fingerprint> Fingerprint::parse(std::string_view text) {
  if (!text.starts_with(prefix) || text.size() != prefix.size() + digit_count) return std::nullopt;
  Fingerprint fingerprint;
  for (const char c : text.substr(prefix.size())) {
    const std::size_t digit = hex_digits.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    fingerprint.bits_ = fingerprint.bits_ << 4U | digit;
  }
  return fingerprint;
}

std::string Fingerprint::text() const {
  return std::string(prefix) + hex(bits_);
}

}  // namespace quay_rotator::base
