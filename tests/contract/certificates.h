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
};

Identity make_authority();
Identity issue(const Identity& authority, const CertificateRequest& request);

}  // namespace quay_rotator::contract
