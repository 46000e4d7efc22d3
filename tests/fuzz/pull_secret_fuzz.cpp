// The Secret that a pod pulls with, as it is found: a line with `object` and then a whole Secret,
// or any other line and then the text of its .dockerconfigjson. It counts as current only when
// every reader would find the robot's token in it.
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "api/managed_secret.h"
#include "base/base64.h"
#include "base/json.h"
#include "fuzz/target.h"
#include "kube/object.h"
#include "kube/secret_document.h"
#include "target/decide.h"
#include "target/foreign_entries.h"
#include "target/render.h"

namespace quay_rotator::fuzz {
namespace {

using base::SecretString;
using nlohmann::json;

json secret_with(std::string_view data) {
  return {{"metadata", {{"name", "quay-pull"}, {"namespace", "team-a"}, {"uid", "1"}}},
          {"type", api::type_of(api::SecretShape::docker_config)},
          {"data", {{std::string(api::docker_config_key), data}}}};
}

// JSON can hold no other text, so Quay's never is.
bool is_utf8(const json& texts) {
  try {
    (void)texts.dump();
    return true;
  } catch (const json::exception&) {
    return false;
  }
}

std::uint64_t content_of(std::string_view config) {
  const auto secret =
      api::ManagedSecret::from_json(secret_with(base::base64_encode(config).reveal()));
  expect(secret.has_value(), "what is in a Secret makes nothing else of it unreadable");
  return secret->content;
}

// A plain reading of a .dockerconfigjson, as a client would do it: user and password by registry.
std::optional<std::map<std::string, std::pair<std::string, std::string>>> logins(
    std::string_view config) {
  const auto document = base::parse_json(config);
  if (!document) return std::nullopt;
  const json* auths = base::find(*document, "auths");
  if (auths == nullptr || !auths->is_object()) return std::nullopt;
  std::map<std::string, std::pair<std::string, std::string>> result;
  for (const auto& [registry, entry] : auths->items()) {
    if (!entry.is_object()) return std::nullopt;
    auto user = base::string_or(entry, "username", "").value_or("");
    auto password = base::string_or(entry, "password", "").value_or("");
    if (const auto auth = base::string_or(entry, "auth", ""); auth && !auth->empty()) {
      const auto pair = base::base64_decode(*auth);
      if (!pair) return std::nullopt;
      const std::size_t colon = pair->reveal().find(':');
      if (colon == std::string_view::npos) return std::nullopt;
      user = pair->reveal().substr(0, colon);
      password = pair->reveal().substr(colon + 1);
    }
    result[registry] = {user, password};
  }
  return result;
}

// What would be lost is told by names of registries and keys, and missed by nobody.
void check_entries(std::string_view config) {
  const auto found = logins(config);
  const auto entries = target::ForeignEntries::of(config, {"quay.example.com"});
  expect(entries.text().size() < 1024, "what would be lost is told in a few words");
  if (!found) return;
  for (const auto& [registry, login] : *found) {
    expect(!entries.empty() || registry.find("quay.example.com") != std::string::npos,
           "another registry's login is not overlooked");
  }
}

void check_config(std::string_view config) {
  check_entries(config);
  const std::uint64_t content = content_of(config);
  if (content == 0) return;  // not what we write
  const auto found = logins(config);
  expect(found && !found->empty(), "what counts as ours can be read by others");
  std::vector<std::string> registries;
  for (const auto& [registry, login] : *found) {
    expect(login == found->begin()->second, "every registry has the same login");
    registries.push_back(registry);
  }
  const auto& [user, password] = found->begin()->second;
  expect(content == api::credentials_digest(registries, user, base::Fingerprint::of(password)),
         "the digest is of what others read");
  // It joins its parts with zero bytes.
  expect(user.find('\0') == std::string::npos, "no user looks like a user and a registry");
  // In `auth` the name ends at the first colon; no robot's has one. And base64 hides any byte.
  if (user.find(':') != std::string::npos || !is_utf8({user, password})) return;
  expect(content_of(
             target::docker_config(registries, user, SecretString::copy_of(password)).reveal()) ==
             content,
         "what is written for a login counts as that login");
}

// What we write: the lines are a user, a token, and registries.
void check_writing(std::string_view text) {
  const std::string user(take_line(text));
  const std::string token(take_line(text));
  std::set<std::string> registries;
  while (!text.empty()) registries.emplace(take_line(text));
  // A robot's name has no colon.
  if (registries.empty() || user.find(':') != std::string::npos) return;
  if (!is_utf8({user, token, registries})) return;
  const SecretString config = target::docker_config({registries.begin(), registries.end()}, user,
                                                    SecretString::copy_of(token));
  const auto found = logins(config.reveal());
  expect(found && found->size() == registries.size(), "what we write can be read");
  for (const auto& [registry, login] : *found) {
    expect(registries.contains(registry) && login.first == user && login.second == token,
           "what we write is what others read");
  }
}

void check_object(std::string_view text) {
  auto object = kube::parse_object(text);
  if (!object || !object->is_object()) return;
  const auto cached = api::ManagedSecret::from_json(*object);
  target::DesiredSecret desired{
      {"team-a", "quay-pull"}, {"quay.example.com"}, {}, {}, {{"team-a", "puller"}, "1"}, true};
  const auto live = target::ExistingSecret::of(*object, desired);
  const auto by_live = target::decide_write(desired, &live);
  if (!by_live) expect(!by_live.error().message.empty(), "a refusal says why");
  for (const bool owned : {true, false}) {
    desired.owned = owned;
    if (!cached || !target::knows_enough(*cached, desired)) continue;
    expect(!target::owners_to_keep(*object, owned ? "1" : ""),
           "what the cache is enough for names no former owner");
    const auto known = target::ExistingSecret::of(*cached, desired);
    const auto by_cache = target::decide_write(desired, &known);
    expect(by_live.has_value() == by_cache.has_value() && (!by_live || *by_live == *by_cache),
           "the cache and the API server say the same about a Secret");
  }
  const kube::SecretDocument document(std::move(*object));
  for (const std::string_view key : {api::docker_config_key, std::string_view("token")}) {
    (void)document.secret_value(key);
    (void)document.config_map_value(key);
  }
}

// Whatever stands in the data: no message shows it.
void check_silence(std::string_view text) {
  json object = secret_with(std::string(marker) + std::string(text));
  object["metadata"].erase("name");
  const auto secret = api::ManagedSecret::from_json(object);
  expect(!secret && secret.error().message.find(marker) == std::string::npos,
         "no message shows what is in a Secret");
}

}  // namespace

void run(std::string_view text) {
  check_writing(text);
  check_silence(text);
  if (take_line(text) == "object") {
    check_object(text);
  } else {
    check_config(text);
  }
}

}  // namespace quay_rotator::fuzz
