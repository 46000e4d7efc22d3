// Certificates made on the spot, as good or as bad as a test wants them.
#pragma once

#include <string>

namespace quay_rotator::contract {

struct Identity {
  std::string certificate;  // PEM; with its chain when there is one
  std::string key;          // PEM
};

struct CertificateRequest {
  std::string common_name = "quay-rotator test";
  std::string alternative_names;  // OpenSSL's spelling: "DNS:a.test,IP:127.0.0.1"; empty: none
  bool expired = false;
  std::string key = "P-256";  // or "RSA"
};

Identity make_authority();
// A certificate (PEM) with an RSA key of that many bits, whose secret nobody knows.
std::string certificate_with_key(int modulus_bits, int exponent_bits);
// With a DSA key.
std::string certificate_with_dsa_key();
Identity issue(const Identity& authority, const CertificateRequest& request);
// Through as many CAs with as large keys as a client of ours verifies.
Identity issue_dearly(const Identity& authority, const CertificateRequest& request);

}  // namespace quay_rotator::contract
