#include "connection/service_account.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/json.h"

namespace quay_rotator::connection {

namespace {

using Kind = kube::Error::Kind;

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(' ');
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(' ') + 1 - begin);
}

bool same_host(std::string_view written, std::string_view quay) {
  return std::ranges::equal(written, quay, [](char a, char b) {
    return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
  });
}

std::string annotation_of(const nlohmann::json& object) {
  const nlohmann::json* annotations = base::find(object, "metadata.annotations");
  if (annotations == nullptr || !annotations->is_object()) return "";
  const auto value = annotations->find(consent_annotation);
  return value != annotations->end() && value->is_string() ? value->get<std::string>() : "";
}

Problem problem_of(const kube::Error& error, const kube::ObjectKey& account) {
  switch (error.kind) {
    case Kind::not_found:
      return {"ServiceAccountNotFound", "ServiceAccount " + account.text() +
                                            " does not exist: create it, or correct "
                                            "spec.strategy.federate.serviceAccount"};
    case Kind::forbidden:
    case Kind::invalid:
      return {"ServiceAccountForbidden",
              kube::explain(error) +
                  "; an administrator lets quay-rotator ask for tokens of "
                  "ServiceAccounts with the chart's federate.enabled"};
    default:
      return {"ApiServerUnavailable", kube::explain(error)};
  }
}

}  // namespace

bool consents(std::string_view annotation, std::string_view quay) {
  while (!annotation.empty()) {
    const std::size_t comma = annotation.find(',');
    if (same_host(trimmed(annotation.substr(0, comma)), quay)) return !quay.empty();
    if (comma == std::string_view::npos) break;
    annotation.remove_prefix(comma + 1);
  }
  return false;
}

MaterialExpected<std::string> audience_of(const api::Federate& federate, const std::string& quay,
                                          const std::set<std::string>& allowed) {
  if (federate.audience.empty() || federate.audience == quay) return quay;
  if (allowed.contains(federate.audience)) return federate.audience;
  return tl::unexpected(
      Problem{"AudienceNotAllowed",
              "spec.strategy.federate.audience: leave it out, which is " + quay +
                  ", or have the administrator allow it with --allowed-token-audiences"});
}

MaterialExpected<base::SecretString> ServiceAccountTokens::token(
    const api::RobotTokenRotation& rotation, const std::string& quay, const std::stop_token& stop) {
  const api::Federate& federate = rotation.spec.strategy.federate;
  const kube::ObjectKey account{rotation.meta.key.name_space, federate.service_account};
  const auto audience = audience_of(federate, quay, allowed_audiences_);
  if (!audience) return tl::unexpected(audience.error());
  const auto object = client_.get(kube::service_accounts, account, stop);
  if (!object) return tl::unexpected(problem_of(object.error(), account));
  if (!consents(annotation_of(*object), quay)) {
    return tl::unexpected(
        Problem{"ServiceAccountNotConsenting",
                "ServiceAccount " + account.text() + " does not allow its tokens to be sent to " +
                    quay + ": kubectl annotate serviceaccount -n " + account.name_space + " " +
                    account.name + " " + std::string(consent_annotation) + "=" + quay});
  }
  auto token = client_.create_token(account, *audience, identity_life, stop);
  if (!token) return tl::unexpected(problem_of(token.error(), account));
  return std::move(*token);
}

}  // namespace quay_rotator::connection
