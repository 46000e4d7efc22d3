// What a QuayConnection names, checked and read: its URL, API token and CA.
#pragma once

#include <optional>
#include <stop_token>
#include <string>

#include <tl/expected.hpp>

#include "api/quay_connection.h"
#include "base/secret_string.h"
#include "http/allowed_hosts.h"
#include "http/proxy.h"
#include "http/url.h"
#include "kube/client.h"

namespace quay_rotator::connection {

// Why a connection cannot be used, before Quay is asked anything.
struct Problem {
  std::string reason;  // ConnectionNotFound, InvalidURL, HostNotAllowed, CredentialsNotFound,
                       // CredentialsInvalid, CANotFound, CAInvalid, ProxyInvalid,
                       // ApiServerUnavailable
  std::string message;
};

template <class T>
using MaterialExpected = tl::expected<T, Problem>;

// InvalidURL: no URL, a path, or http without allowInsecure.
MaterialExpected<http::Url> url_of(const api::QuayConnectionSpec& spec);

// spec.proxyURL, which can have no user, else the environment's; nothing: direct. ProxyInvalid.
MaterialExpected<std::optional<http::ProxyAddress>> proxy_of(const api::QuayConnectionSpec& spec,
                                                             const http::Url& url,
                                                             const http::Environment& environment);

// How far the server that is connected to (the proxy, where there is one) may lead: a proxy of the
// environment is the administrator's, all else the tenant's. HostNotAllowed, also for plain http
// and for a proxy of the tenant's whose host no administrator has named.
MaterialExpected<http::Reach> reach_of(const api::QuayConnectionSpec& spec, const http::Url& url,
                                       const std::optional<http::ProxyAddress>& proxy,
                                       const http::AllowedHosts& allowed);

// Reads a Secret of `name_space`. CredentialsNotFound (no Secret, no such key, not allowed),
// CredentialsInvalid, ApiServerUnavailable.
MaterialExpected<base::SecretString> read_api_token(kube::Client& client,
                                                    const std::string& name_space,
                                                    const api::KeyReference& reference,
                                                    const std::stop_token& stop);

// PEM from a Secret or ConfigMap of `name_space`, not yet parsed. CANotFound,
// ApiServerUnavailable.
MaterialExpected<std::string> read_ca(kube::Client& client, const std::string& name_space,
                                      const api::KeyReference& reference,
                                      const std::stop_token& stop);

}  // namespace quay_rotator::connection
