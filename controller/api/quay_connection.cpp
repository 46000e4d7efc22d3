#include "api/quay_connection.h"

#include "api/status_patch.h"
#include "api/visitors.h"

namespace quay_rotator::api {

using nlohmann::json;

template <class V>
void describe(V& v, kube::Is<KeyReference> auto& reference) {
  v.kept(reference.kind);
  v("name", reference.name, {.required = true});
  v("key", reference.key);
}

template <class V>
void describe(V& v, kube::Is<QuayConnectionSpec> auto& spec) {
  v("url", spec.url, {.required = true});
  v("allowInsecure", spec.allow_insecure);
  v("credentialsSecretRef", spec.credentials, {.required = true});
  v("ca.secretRef", spec.ca_secret);
  v("ca.configMapRef", spec.ca_config_map);
  v("proxyURL", spec.proxy_url);
  v("rateLimit.requestsPerSecond", spec.requests_per_second);
  v("rateLimit.burst", spec.burst);
}

// What is beyond a field's type; found by describe.h.
void check(Reader& reader, QuayConnectionSpec& spec) {
  if (spec.credentials.key.empty()) spec.credentials.key = "token";
  for (auto* ca : {&spec.ca_secret, &spec.ca_config_map}) {
    if (*ca && (*ca)->key.empty()) (*ca)->key = "ca.crt";
  }
  if (spec.ca_config_map) spec.ca_config_map->kind = KeyReference::Kind::config_map;
  if (reader.has("ca") && spec.ca_secret.has_value() == spec.ca_config_map.has_value()) {
    reader.fail("ca", "expected exactly one of secretRef and configMapRef");
  }
  if (reader.has("rateLimit") && !(spec.requests_per_second > 0)) {
    reader.fail("rateLimit.requestsPerSecond", "expected a number above 0");
  }
  if (spec.burst < 1) reader.fail("rateLimit.burst", "expected an integer from 1 on");
}

template <class V>
void describe(V& v, kube::Is<QuayConnectionStatus> auto& status) {
  // All of it is found out anew: what makes no sense is none.
  v("observedGeneration", status.observed_generation, {.lenient = true});
  v("conditions", status.conditions, {.lenient = true});
}

template <class V>
void describe(V& v, kube::Is<QuayConnection> auto& connection) {
  v.kept(connection.meta);
  v.kept(connection.generation);
  v.kept(connection.deleting);
  v("spec", connection.spec, {.required = true});
  v("status", connection.status, {.lenient = true});
}

base::Expected<QuayConnection> QuayConnection::from_json(const json& object) {
  const auto metadata = read_metadata(object);
  if (!metadata) return tl::unexpected(metadata.error());
  QuayConnection connection;
  connection.meta = metadata->meta;
  connection.generation = metadata->generation;
  connection.deleting = metadata->deleting;
  Reader reader(object);
  describe(reader, connection);
  if (reader.problem()) return tl::unexpected(base::Error{*reader.problem()});
  return connection;
}

json to_json(const QuayConnectionStatus& status) {
  return Writer::json_of(status);
}

json status_patch(const QuayConnectionStatus& before, const QuayConnectionStatus& after) {
  return status_patch(to_json(before), to_json(after));
}

std::set<std::string> QuayConnection::described() {
  return Shape::of<QuayConnection>("");
}

void QuayConnection::pack(kube::Packer& packer) const {
  fields(packer, *this);
}

void QuayConnection::unpack(kube::Unpacker& unpacker) {
  fields(unpacker, *this);
}

}  // namespace quay_rotator::api
