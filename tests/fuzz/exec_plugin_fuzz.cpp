// What an exec plugin prints.
#include <string>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "fuzz/target.h"
#include "kube/exec_plugin.h"

namespace quay_rotator::fuzz {
namespace {

// A message quotes other fields, so only a token that is in no other counts.
void check_silence(std::string_view text, std::string_view message) {
  expect(!message.empty() && message.size() <= 1024, "a message is short");
  const auto document = base::parse_json(text);
  if (!document) return;
  const std::string token = base::string_or(*document, "status.token", "").value_or("");
  const std::size_t place = text.find(token);
  if (token.size() < 16 || text.find(token, place + 1) != std::string_view::npos) return;
  expect(message.find(token) == std::string_view::npos, "no message holds the token");
}

}  // namespace

void run(std::string_view text) {
  constexpr std::string_view version = "client.authentication.k8s.io/v1";
  const auto credential =
      kube::read_exec_credential(base::SecretString::copy_of(text), std::string(version));
  if (!credential) return check_silence(text, credential.error().message);
  const auto document = base::parse_json(text);
  expect(document && base::string_or(*document, "apiVersion", "").value_or("") == version,
         "a credential is of the version that was asked for");
  const auto given = [&document](const char* path) {
    return base::string_or(*document, path, "").value_or("");
  };
  expect(given("status.token") == credential->token.reveal(), "the token is the plugin's");
  expect(!credential->token.empty() || credential->certificate, "a credential is not empty");
  if (const auto& certificate = credential->certificate) {
    expect(given("status.clientCertificateData") == certificate->certificate &&
               given("status.clientKeyData") == certificate->key.reveal(),
           "a certificate is the plugin's, with its key");
  }
  if (!credential->expiry) return;
  constexpr base::WallTime now{std::chrono::seconds{1'772'366'400}};  // 2026-03-01
  const base::Duration delay = kube::renewal_delay(*credential->expiry, now);
  expect(delay >= std::chrono::minutes(1), "a plugin does not run all the time");
  expect(delay <= std::chrono::hours(24 * 366), "a token is renewed within a year");
  expect(delay == std::chrono::minutes(1) ||
             now + std::chrono::floor<base::WallTime::duration>(delay) <= *credential->expiry,
         "a token is renewed before it expires");
}

}  // namespace quay_rotator::fuzz
