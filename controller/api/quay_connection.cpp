#include "api/quay_connection.h"

#include <limits>

#include <nlohmann/json.hpp>

#include "api/field_reader.h"
#include "base/json.h"

namespace quay_rotator::api {
namespace {

using nlohmann::json;

KeyReference read_reference(FieldReader& object, KeyReference::Kind kind, const std::string& path,
                            std::string_view default_key) {
  return {kind, object.required_text(path + ".name"), object.text(path + ".key", default_key)};
}

QuayConnectionSpec read_spec(FieldReader& object) {
  QuayConnectionSpec spec;
  spec.url = object.required_text("spec.url");
  spec.allow_insecure = object.boolean("spec.allowInsecure", false);
  spec.credentials =
      read_reference(object, KeyReference::Kind::secret, "spec.credentialsSecretRef", "token");
  const bool ca_secret = object.has("spec.ca.secretRef");
  const bool ca_config_map = object.has("spec.ca.configMapRef");
  if (object.has("spec.ca") && ca_secret == ca_config_map) {
    object.fail("spec.ca", "expected exactly one of secretRef and configMapRef");
  } else if (ca_secret) {
    spec.ca = read_reference(object, KeyReference::Kind::secret, "spec.ca.secretRef", "ca.crt");
  } else if (ca_config_map) {
    spec.ca =
        read_reference(object, KeyReference::Kind::config_map, "spec.ca.configMapRef", "ca.crt");
  }
  spec.proxy_url = object.text("spec.proxyURL");
  if (object.has("spec.rateLimit")) {
    spec.requests_per_second = object.number("spec.rateLimit.requestsPerSecond", 0);
    if (!(spec.requests_per_second > 0)) {
      object.fail("spec.rateLimit.requestsPerSecond", "expected a number above 0");
    }
    const std::int64_t burst = object.integer("spec.rateLimit.burst", 10);
    if (burst < 1 || burst > std::numeric_limits<int>::max()) {
      object.fail("spec.rateLimit.burst", "expected an integer from 1 on");
    } else {
      spec.burst = static_cast<int>(burst);
    }
  }
  return spec;
}

}  // namespace

base::Expected<QuayConnection> QuayConnection::from_json(const json& object) {
  FieldReader reader(object);
  QuayConnection connection;
  const Metadata metadata = read_metadata(reader);
  connection.meta = metadata.meta;
  connection.generation = metadata.generation;
  connection.deleting = metadata.deleting;
  connection.spec = read_spec(reader);
  if (reader.problem()) return tl::unexpected(base::Error{*reader.problem()});
  // All of it is found out anew: one that makes no sense is none.
  connection.status.observed_generation =
      base::integer_or(object, "status.observedGeneration", 0).value_or(0);
  if (const json* conditions = base::find(object, "status.conditions")) {
    if (auto read = Conditions::from_json(*conditions)) {
      connection.status.conditions = std::move(*read);
    }
  }
  return connection;
}

json to_json(const QuayConnectionStatus& status) {
  json object = json::object();
  if (status.observed_generation != 0) object["observedGeneration"] = status.observed_generation;
  if (json conditions = status.conditions.to_json(); !conditions.empty()) {
    object["conditions"] = std::move(conditions);
  }
  return object;
}

template <class Archive>
void fields(Archive& archive, kube::Is<KeyReference> auto& reference) {
  archive(reference.kind, reference.name, reference.key);
}

template <class Archive>
void fields(Archive& archive, kube::Is<QuayConnection> auto& connection) {
  archive(connection.meta);
  archive(connection.generation, connection.deleting);
  auto& spec = connection.spec;
  archive(spec.url, spec.allow_insecure, spec.credentials, spec.ca, spec.proxy_url,
          spec.requests_per_second, spec.burst);
  archive(connection.status.observed_generation, connection.status.conditions);
}

void QuayConnection::pack(kube::Packer& packer) const {
  fields(packer, *this);
}

void QuayConnection::unpack(kube::Unpacker& unpacker) {
  fields(unpacker, *this);
}

}  // namespace quay_rotator::api
