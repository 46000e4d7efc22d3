#include "api/managed_secret.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "api/group.h"
#include "api/visitors.h"
#include "base/base64.h"
#include "base/json.h"
#include "base/secret_json.h"

namespace quay_rotator::api {
namespace {

using nlohmann::json;

constexpr std::size_t most_marks = 1024;
// Kubernetes' own limits. Anybody may have written the annotation, and it stays in memory.
constexpr std::size_t longest_namespace = 63;
constexpr std::size_t longest_name = 253;

// A robot's name and what may be known of its token.
struct Login {
  std::string user;
  base::Fingerprint token;
  bool operator==(const Login&) const = default;
};

// Reads a .dockerconfigjson of the one shape that this operator writes.
class DockerConfig : public base::JsonVisitor {
 public:
  void on_string(const base::JsonPath& path, std::string_view value) override {
    if (path.size() != 3) return refuse();
    const std::string& key = path[2];
    if (key == "username" && !username_) {
      if (!is_plain(value)) refuse();
      username_ = value;
    } else if (key == "password" && !password_) {
      password_ = base::Fingerprint::of(value);
    } else if (key == "auth" && !auth_) {
      const std::optional<base::SecretString> pair = base::base64_decode(value);
      const std::size_t colon = pair ? pair->reveal().find(':') : std::string_view::npos;
      if (colon == std::string_view::npos || !is_plain(pair->reveal().substr(0, colon))) {
        return refuse();
      }
      auth_ = Login{std::string(pair->reveal().substr(0, colon)),
                    base::Fingerprint::of(pair->reveal().substr(colon + 1))};
    } else {
      refuse();
    }
  }
  void on_other(const base::JsonPath& /*path*/) override { refuse(); }
  void on_begin(const base::JsonPath& path) override {
    if (path.size() > 2 || (!path.empty() && path[0] != "auths")) refuse();
    // Of two lists of logins every reader chooses for itself.
    if (path.size() == 1 && std::exchange(listed_, true)) refuse();
  }
  void on_end(const base::JsonPath& path) override {
    if (path.size() == 2) finish_entry(path[1]);
  }

  // 0 when it is not what we write.
  [[nodiscard]] std::uint64_t digest() {
    std::sort(registries_.begin(), registries_.end());
    const bool repeated =
        std::adjacent_find(registries_.begin(), registries_.end()) != registries_.end();
    if (refused_ || repeated || !login_) return 0;
    return credentials_digest(registries_, login_->user, login_->token);
  }

 private:
  void refuse() { refused_ = true; }
  // The digest joins its parts with zero bytes.
  static bool is_plain(std::string_view text) { return text.find('\0') == std::string_view::npos; }
  void finish_entry(const std::string& registry) {
    if (!is_plain(registry) || registry == "[]") refuse();  // "[]": an array's element
    std::optional<Login> login = auth_;
    if (username_.has_value() != password_.has_value()) refuse();
    if (username_ && password_) {
      login = Login{*username_, *password_};
      if (auth_ && *auth_ != *login) refuse();
    }
    if (!login || (login_ && *login_ != *login)) refuse();
    login_ = std::move(login);
    registries_.push_back(registry);
    username_.reset();
    password_.reset();
    auth_.reset();
  }

  bool refused_ = false;
  bool listed_ = false;  // `auths` began
  std::vector<std::string> registries_;
  std::optional<Login> login_;  // of the entries so far
  // Of the entry that is being read.
  std::optional<std::string> username_;
  std::optional<base::Fingerprint> password_;
  std::optional<Login> auth_;
};

std::uint64_t content_digest(const std::string& encoded) {
  const std::optional<base::SecretString> text = base::base64_decode(encoded);
  DockerConfig config;
  if (!text || !base::visit_json(text->reveal(), config)) return 0;
  return config.digest();
}

std::uint64_t mark(std::initializer_list<std::string_view> parts) {
  std::string text;
  // A zero byte is in none of them, so that parts cannot run into each other.
  for (const std::string_view part : parts) text.append(part).push_back('\0');
  return base::digest64(text);
}

// What is looked at of a Secret besides its content.
struct OwnerUid {
  std::string uid;
  bool operator==(const OwnerUid&) const = default;
};
template <class V>
void describe(V& v, kube::Is<OwnerUid> auto& owner) {
  v("uid", owner.uid);
}
struct SecretFields {
  std::string type;
  bool immutable = false;
  Texts labels;
  Texts annotations;
  std::vector<OwnerUid> owners;
};
template <class V>
void describe(V& v, kube::Is<SecretFields> auto& fields) {
  v("type", fields.type);
  v("immutable", fields.immutable);
  v("metadata.labels", fields.labels);
  v("metadata.annotations", fields.annotations);
  v("metadata.ownerReferences", fields.owners);
}

}  // namespace

std::string_view type_of(SecretShape shape) {
  switch (shape) {
    case SecretShape::docker_config:
      return "kubernetes.io/dockerconfigjson";
  }
  return "";
}

std::optional<SecretShape> shape_of(std::string_view type) {
  for (const SecretShape shape : {SecretShape::docker_config}) {
    if (type == type_of(shape)) return shape;
  }
  return std::nullopt;
}

bool names_rotation(const json& owner_reference) {
  const std::string group(api::rotations.group);
  return base::string_or(owner_reference, "kind", "").value_or("") == api::rotations.kind &&
         base::string_or(owner_reference, "apiVersion", "").value_or("").starts_with(group + "/");
}

bool names_controller(const json& owner_reference) {
  return base::bool_or(owner_reference, "controller", false).value_or(false);
}

kube::ObjectKey owner_named(std::string_view value, std::string_view name_space) {
  std::string_view name = value;
  if (const std::size_t slash = value.find('/'); slash != std::string_view::npos) {
    name_space = value.substr(0, slash);
    name = value.substr(slash + 1);
  }
  const bool named = !name_space.empty() && name_space.size() <= longest_namespace &&
                     !name.empty() && name.size() <= longest_name &&
                     name.find('/') == std::string_view::npos;
  return named ? kube::ObjectKey{std::string(name_space), std::string(name)} : kube::ObjectKey{};
}

std::uint64_t label_mark(std::string_view key, std::string_view value) {
  return mark({"label", key, value});
}

std::uint64_t annotation_mark(std::string_view key, std::string_view value) {
  return mark({"annotation", key, value});
}

std::uint64_t owner_mark(std::string_view uid) {
  return mark({"owner", uid});
}

std::uint64_t credentials_digest(std::vector<std::string> registries, std::string_view user,
                                 base::Fingerprint token) {
  std::sort(registries.begin(), registries.end());
  registries.erase(std::unique(registries.begin(), registries.end()), registries.end());
  std::string text = token.text();
  text.append(1, '\0').append(user);
  for (const std::string& registry : registries) text.append(1, '\0').append(registry);
  return std::max<std::uint64_t>(base::digest64(text), 1);  // 0 has a meaning of its own
}

base::Expected<ManagedSecret> ManagedSecret::from_json(const json& object) {
  const auto metadata = read_metadata(object);
  if (!metadata) return tl::unexpected(metadata.error());
  Reader reader(object);
  SecretFields fields;
  describe(reader, fields);
  if (reader.problem()) return tl::unexpected(base::Error{*reader.problem()});

  ManagedSecret secret;
  secret.meta = metadata->meta;
  secret.shape = shape_of(fields.type);
  secret.immutable = fields.immutable;
  for (const auto& [key, value] : fields.labels) secret.marks.push_back(label_mark(key, value));
  for (const auto& [key, value] : fields.annotations) {
    if (key == owner_annotation) {
      secret.owner = owner_named(value, secret.meta.key.name_space);
    } else if (key == owner_uid_annotation) {
      secret.owner_uid = owner_mark(value);
    } else {
      secret.marks.push_back(annotation_mark(key, value));
    }
  }
  for (const OwnerUid& owner : fields.owners) secret.marks.push_back(owner_mark(owner.uid));
  if (const json* owners = base::find(object, "metadata.ownerReferences")) {
    for (const json& owner : *owners) {
      if (names_rotation(owner)) {
        ++secret.rotations;
      } else if (names_controller(owner)) {
        secret.controlled = true;
      }
    }
  }
  std::sort(secret.marks.begin(), secret.marks.end());
  // Others may write any number; they stay in memory, and more than these are nobody's in earnest.
  if (secret.marks.size() > most_marks) secret.marks.resize(most_marks);
  if (const json* data = base::find(object, "data")) {
    const auto config = data->find(docker_config_key);
    if (config != data->end() && config->is_string()) {
      secret.content = content_digest(config->get_ref<const std::string&>());
    }
  }
  return secret;
}

template <class V>
void describe(V& v, kube::Is<ManagedSecret> auto& secret) {
  v.kept(secret.meta);
  v.kept(secret.owner.name_space, {.shared = true});
  v.kept(secret.owner.name);
  v.kept(secret.owner_uid, {.digest = true});
  v.kept(secret.shape);
  v.kept(secret.immutable);
  v.kept(secret.controlled);
  v.kept(secret.rotations);
  v.kept(secret.content, {.digest = true});
  v.kept(secret.marks, {.digest = true});
}

void ManagedSecret::pack(kube::Packer& packer) const {
  fields(packer, *this);
}

void ManagedSecret::unpack(kube::Unpacker& unpacker) {
  fields(unpacker, *this);
}

}  // namespace quay_rotator::api
