#include "connection/material.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "kube/secret_document.h"
#include "quay/robots_api.h"

namespace quay_rotator::connection {

namespace {

tl::unexpected<Problem> problem(std::string_view reason, std::string message) {
  return tl::unexpected(Problem{std::string(reason), std::move(message)});
}

// What this server sends goes unverified, and uncounted until the transport looks, into a library:
// only an administrator may say that it is called.
std::string must_be_named(const http::Url& url) {
  return "only where an administrator names the host, which \"*\" does not do: ask for "
         "--allowed-quay-hosts=" +
         url.authority() + " (in the chart allowedQuayHosts)";
}

// `field` is what the user would correct, `missing` the reason when there is nothing to read.
MaterialExpected<base::SecretString> read_key(kube::Client& client, const std::string& name_space,
                                              const api::KeyReference& reference,
                                              std::string_view field, std::string_view missing,
                                              const std::stop_token& stop) {
  const bool config_map = reference.kind == api::KeyReference::Kind::config_map;
  const auto& resource = config_map ? kube::config_maps : kube::secrets;
  const kube::ObjectKey key{name_space, reference.name};
  const std::string what = std::string(resource.kind) + " " + key.text();

  auto answer = client.get(resource, key, stop);
  if (!answer) {
    const auto& error = answer.error();
    if (error.kind == kube::Error::Kind::not_found) {
      return problem(missing,
                     what + " does not exist: create it, or correct " + std::string(field));
    }
    if (error.kind == kube::Error::Kind::forbidden) return problem(missing, kube::explain(error));
    return problem("ApiServerUnavailable", error.message);
  }
  const kube::SecretDocument document(std::move(*answer));
  auto value =
      config_map ? document.config_map_value(reference.key) : document.secret_value(reference.key);
  if (!value) {
    // Which keys it has is not told: whoever reads the condition may not be allowed to read it.
    return problem(missing, what + " has no key \"" + reference.key + "\": add it, or correct " +
                                std::string(field));
  }
  return std::move(*value);
}

}  // namespace

MaterialExpected<http::Url> url_of(const api::QuayConnectionSpec& spec) {
  auto url = http::parse_url(spec.url);
  if (!url) return problem("InvalidURL", "spec.url: " + url.error().message);
  if (url->target != "/") {
    return problem("InvalidURL", "spec.url: expected only scheme, host and port, as in \"" +
                                     url->origin() + "\"; Quay's API is at the root");
  }
  if (url->scheme == "http" && !spec.allow_insecure) {
    return problem("InvalidURL",
                   "spec.url: http:// would send the API token and robot tokens in the clear: use "
                   "https://, or set allowInsecure: true");
  }
  return std::move(*url);
}

MaterialExpected<std::optional<http::ProxyAddress>> proxy_of(const api::QuayConnectionSpec& spec,
                                                             const http::Url& url,
                                                             const http::Environment& environment) {
  const bool from_spec = !spec.proxy_url.empty();
  const auto refused = [&](const std::string& why) {
    return problem(
        "ProxyInvalid",
        (from_spec ? "spec.proxyURL: " : "the proxy of the operator's environment: ") + why);
  };
  http::ProxyAddress proxy{spec.proxy_url, {}};
  if (!from_spec) {
    auto text = http::proxy_for(url, environment);
    if (!text) return std::nullopt;
    auto parts = http::read_proxy(*text);
    base::wipe(*text);
    if (!parts) return refused(parts.error().message);
    proxy = std::move(*parts);
  }
  if (const auto parsed = http::parse_url(proxy.url); !parsed) {
    return refused(parsed.error().message);
  }
  return proxy;
}

MaterialExpected<http::Reach> reach_of(const api::QuayConnectionSpec& spec, const http::Url& url,
                                       const std::optional<http::ProxyAddress>& proxy,
                                       const http::AllowedHosts& allowed) {
  const auto own = allowed.reach(url);
  if (!own) return problem("HostNotAllowed", "spec.url: " + own.error().message);
  if (url.scheme == "http" && !allowed.names(url)) {
    return problem("HostNotAllowed",
                   "spec.url: http:// is called " + must_be_named(url) + ", or use https://");
  }
  if (!proxy) return *own;
  if (spec.proxy_url.empty()) return http::Reach::everywhere;
  const auto parsed = http::parse_url(proxy->url);
  if (!parsed) return problem("ProxyInvalid", "spec.proxyURL: " + parsed.error().message);
  const auto through = allowed.reach(*parsed);
  if (!through) return problem("HostNotAllowed", "spec.proxyURL: " + through.error().message);
  if (!allowed.names(*parsed)) {
    return problem("HostNotAllowed", "spec.proxyURL: a proxy is used " + must_be_named(*parsed));
  }
  return *through;
}

MaterialExpected<base::SecretString> read_api_token(kube::Client& client,
                                                    const std::string& name_space,
                                                    const api::KeyReference& reference,
                                                    const std::stop_token& stop) {
  const auto text = read_key(client, name_space, reference, "spec.credentialsSecretRef",
                             "CredentialsNotFound", stop);
  if (!text) return tl::unexpected(text.error());
  auto token = quay::parse_api_token(text->reveal());
  if (!token) {
    return problem("CredentialsInvalid", "key \"" + reference.key + "\" of Secret " + name_space +
                                             "/" + reference.name + ": " + token.error().message);
  }
  return std::move(*token);
}

MaterialExpected<std::string> read_ca(kube::Client& client, const std::string& name_space,
                                      const api::KeyReference& reference,
                                      const std::stop_token& stop) {
  const auto text = read_key(client, name_space, reference, "spec.ca", "CANotFound", stop);
  if (!text) return tl::unexpected(text.error());
  return std::string(text->reveal());
}

}  // namespace quay_rotator::connection
