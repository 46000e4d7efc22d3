// What may be said of a token: the first 64 bits of its SHA-256.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/secret_string.h"

namespace quay_rotator::base {

// A value; safe to log. `text()` is what status shows: "sha256:" and 16 hex digits.
class Fingerprint {
 public:
  static Fingerprint of(std::string_view token);
  static Fingerprint of(const SecretString& token) { return of(token.reveal()); }
  // Accepts exactly what text() makes.
  static std::optional<Fingerprint> parse(std::string_view text);

  [[nodiscard]] std::string text() const;
  [[nodiscard]] std::uint64_t bits() const { return bits_; }
  static Fingerprint of_bits(std::uint64_t bits) {
    Fingerprint fingerprint;
    fingerprint.bits_ = bits;
    return fingerprint;
  }
  auto operator<=>(const Fingerprint&) const = default;

 private:
  std::uint64_t bits_ = 0;
};

// First 64 bits of SHA-256, big endian: for digests that must be the same in every process.
std::uint64_t digest64(std::string_view text);
// The same as 16 hex digits.
std::string digest_text(std::string_view text);

}  // namespace quay_rotator::base
