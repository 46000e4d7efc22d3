#include "kube/kubeconfig.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>
#include <yaml-cpp/yaml.h>

#include "base/base64.h"
#include "http/proxy.h"
#include "http/url.h"
#include "kube/credentials.h"
#include "kube/exec_plugin.h"

namespace quay_rotator::kube {
namespace {

using base::Error;
using base::SecretString;

// One entry of `clusters`, `users` or `contexts`: the mapping under `cluster`, `user`, `context`.
struct Entry {
  std::string file;
  std::string place;  // "users[admin].user"
  YAML::Node node;
};

struct Merged {
  std::string current_context;
  std::map<std::string, Entry> clusters;
  std::map<std::string, Entry> users;
  std::map<std::string, Entry> contexts;
};

// yaml-cpp throws; everything below that touches a node throws the same type with a place in it,
// and load_kubeconfig alone catches.
[[noreturn]] void refuse(const Entry& entry, std::string_view field, std::string_view what) {
  std::string message = entry.file + ": " + entry.place;
  if (!field.empty()) message.append(".").append(field);
  throw YAML::Exception(YAML::Mark::null_mark(), message.append(": ").append(what));
}

YAML::Node member(const Entry& entry, const char* field) {
  if (!entry.node.IsMap()) return YAML::Node(YAML::NodeType::Undefined);
  return entry.node[field];
}

bool has(const Entry& entry, const char* field) {
  const YAML::Node node = member(entry, field);
  return node.IsDefined() && !node.IsNull();
}

// "" when there is no such field.
std::string text(const Entry& entry, const char* field) {
  if (!has(entry, field)) return "";
  const YAML::Node node = member(entry, field);
  if (!node.IsScalar()) refuse(entry, field, "expected a text");
  return node.Scalar();
}

bool flag(const Entry& entry, const char* field) {
  const std::string value = text(entry, field);
  if (value.empty() || value == "false") return false;
  if (value != "true") refuse(entry, field, "expected true or false");
  return true;
}

std::string resolved(const Entry& entry, const std::string& path) {
  return (std::filesystem::path(entry.file).parent_path() / path).string();
}

// `field`-data in base64, else the file that `field` names, else nothing.
std::optional<SecretString> material(const Entry& entry, const std::string& field) {
  const std::string data_field = field + "-data";
  if (std::string data = text(entry, data_field.c_str()); !data.empty()) {
    std::erase_if(data, [](char c) { return c == '\n' || c == '\r' || c == ' '; });
    auto decoded = base::base64_decode(data);
    base::wipe(data);
    if (!decoded) refuse(entry, data_field, "not base64");
    return decoded;
  }
  const std::string path = text(entry, field.c_str());
  if (path.empty()) return std::nullopt;
  auto content = read_file(resolved(entry, path));
  if (!content) refuse(entry, field, content.error().message);
  return std::move(*content);
}

std::optional<std::string> public_material(const Entry& entry, const std::string& field) {
  const auto content = material(entry, field);
  if (!content) return std::nullopt;
  return std::string(content->reveal());
}

void collect(const YAML::Node& list, const std::string& file, const std::string& plural,
             const std::string& singular, std::map<std::string, Entry>& into) {
  if (!list.IsDefined() || list.IsNull()) return;
  const Entry whole{file, plural, list};
  if (!list.IsSequence()) refuse(whole, "", "expected a list");
  for (const YAML::Node& item : list) {
    const Entry named{file, plural + "[]", item};
    if (!item.IsMap()) refuse(named, "", "expected a mapping with name and " + singular);
    const std::string name = text(named, "name");
    const YAML::Node body = item[singular];
    std::string place = plural;
    place.append("[").append(name).append("].").append(singular);
    // An entry belongs to the first file that has it, whole.
    into.try_emplace(name, Entry{file, std::move(place), body.IsDefined() ? body : YAML::Node()});
  }
}

void merge(const std::string& file, Merged& merged) {
  const auto content = read_file(file);
  if (!content) throw YAML::Exception(YAML::Mark::null_mark(), content.error().message);
  std::string copy(content->reveal());
  YAML::Node document;
  try {
    document = YAML::Load(copy);
  } catch (const YAML::Exception& error) {
    base::wipe(copy);
    throw YAML::Exception(
        YAML::Mark::null_mark(),
        file + ": line " + std::to_string(error.mark.line + 1) + ": not YAML: " + error.msg);
  }
  base::wipe(copy);
  if (document.IsNull()) return;
  const Entry root{file, "kubeconfig", document};
  if (!document.IsMap()) refuse(root, "", "expected a mapping");
  if (merged.current_context.empty()) merged.current_context = text(root, "current-context");
  collect(document["clusters"], file, "clusters", "cluster", merged.clusters);
  collect(document["users"], file, "users", "user", merged.users);
  collect(document["contexts"], file, "contexts", "context", merged.contexts);
}

void refuse_unsupported(const Entry& entry, std::initializer_list<const char*> fields) {
  for (const char* field : fields) {
    if (!has(entry, field)) continue;
    const YAML::Node node = member(entry, field);
    if (node.IsScalar() && (node.Scalar().empty() || node.Scalar() == "false")) continue;
    refuse(entry, field, "is not supported by quay-rotator");
  }
}

void read_proxy(const Entry& cluster, http::Endpoint& endpoint) {
  constexpr const char* field = "proxy-url";
  std::string proxy = text(cluster, field);
  if (proxy.empty()) return;
  const std::size_t begin = proxy.find("://");
  const std::string scheme = begin == std::string::npos ? "" : proxy.substr(0, begin);
  if (scheme == "https" || scheme == "socks5" || scheme == "socks5h") {
    refuse(cluster, field,
           "a proxy of the scheme " + scheme +
               " is not supported by quay-rotator; expected http://host:port");
  }
  if (scheme != "http") refuse(cluster, field, "expected http://host:port");
  auto parts = http::read_proxy(proxy);
  base::wipe(proxy);
  if (!parts) refuse(cluster, field, parts.error().message);
  endpoint.proxy_authorization = std::move(parts->authorization);
  const auto url = http::parse_url(parts->url);
  if (!url) refuse(cluster, field, url.error().message);
  endpoint.proxy = url->origin();
}

void read_cluster(const Entry& cluster, Configuration& configuration) {
  refuse_unsupported(cluster, {"insecure-skip-tls-verify"});
  http::Endpoint& endpoint = configuration.endpoint;
  const std::string server = text(cluster, "server");
  if (server.empty()) refuse(cluster, "server", "is missing");
  const auto url = http::parse_url(server);
  if (!url) refuse(cluster, "server", url.error().message);
  if (url->target.find('?') != std::string::npos) {
    refuse(cluster, "server", "a query (?) makes no sense here");
  }
  configuration.path = url->target.substr(0, url->target.find_last_not_of('/') + 1);
  endpoint.origin = url->origin();
  endpoint.allow_insecure = url->scheme == "http";
  endpoint.ca_certificates = public_material(cluster, "certificate-authority");
  if (std::string name = text(cluster, "tls-server-name"); !name.empty()) {
    endpoint.server_name = std::move(name);
  }
  read_proxy(cluster, endpoint);
}

// A YAML value as the JSON that kubectl makes of it.
nlohmann::json to_json(const YAML::Node& node) {
  if (node.IsSequence()) {
    nlohmann::json list = nlohmann::json::array();
    for (const YAML::Node& item : node) list.push_back(to_json(item));
    return list;
  }
  if (node.IsMap()) {
    nlohmann::json map = nlohmann::json::object();
    for (const auto& pair : node) map[pair.first.Scalar()] = to_json(pair.second);
    return map;
  }
  if (!node.IsScalar()) return nullptr;
  const std::string& text = node.Scalar();
  if (node.Tag() == "!") return text;  // in quotation marks
  if (text == "true" || text == "false") return text == "true";
  auto number = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (number.is_number()) return number;
  return text;
}

// What an exec plugin may be told of the cluster: spec.cluster of its ExecCredential.
std::string cluster_info(const Entry& cluster, const http::Endpoint& endpoint) {
  nlohmann::json info{{"server", text(cluster, "server")}};
  if (endpoint.server_name) info["tls-server-name"] = *endpoint.server_name;
  if (const auto& certificates = endpoint.ca_certificates) {
    info["certificate-authority-data"] = base::base64_encode(*certificates).reveal();
  }
  if (const std::string proxy = text(cluster, "proxy-url"); !proxy.empty()) {
    info["proxy-url"] = proxy;
  }
  if (flag(cluster, "disable-compression")) info["disable-compression"] = true;
  const YAML::Node extensions = member(cluster, "extensions");
  if (extensions.IsDefined() && extensions.IsSequence()) {
    for (const YAML::Node& extension : extensions) {
      const Entry named{cluster.file, cluster.place + ".extensions[]", extension};
      if (text(named, "name") == "client.authentication.k8s.io/exec") {
        info["config"] = to_json(member(named, "extension"));
      }
    }
  }
  return info.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

ExecPlugin read_exec(const Entry& user, const Entry& cluster, const http::Endpoint& endpoint) {
  const Entry exec{user.file, user.place + ".exec", user.node["exec"]};
  if (!exec.node.IsMap()) refuse(exec, "", "expected a mapping");
  ExecPlugin plugin;
  plugin.api_version = text(exec, "apiVersion");
  if (plugin.api_version != "client.authentication.k8s.io/v1" &&
      plugin.api_version != "client.authentication.k8s.io/v1beta1") {
    refuse(exec, "apiVersion",
           "expected client.authentication.k8s.io/v1 or client.authentication.k8s.io/v1beta1");
  }
  plugin.command = text(exec, "command");
  if (plugin.command.empty()) refuse(exec, "command", "is missing");
  if (plugin.command.find('/') != std::string::npos) {
    plugin.command = resolved(exec, plugin.command);
  }
  if (text(exec, "interactiveMode") == "Always") {
    refuse(exec, "interactiveMode", "Always needs a terminal, which quay-rotator does not have");
  }
  plugin.install_hint = text(exec, "installHint");
  if (flag(exec, "provideClusterInfo")) {
    plugin.cluster = cluster_info(cluster, endpoint);
  }
  if (has(exec, "args")) {
    const YAML::Node arguments = member(exec, "args");
    if (!arguments.IsSequence()) refuse(exec, "args", "expected a list of texts");
    for (const YAML::Node& argument : arguments) {
      if (!argument.IsScalar()) refuse(exec, "args", "expected a list of texts");
      plugin.arguments.push_back(argument.Scalar());
    }
  }
  if (has(exec, "env")) {
    const YAML::Node list = member(exec, "env");
    if (!list.IsSequence()) refuse(exec, "env", "expected a list of name and value");
    for (const YAML::Node& item : list) {
      const Entry variable{exec.file, exec.place + ".env[]", item};
      const std::string name = text(variable, "name");
      if (name.empty()) refuse(variable, "name", "is missing");
      plugin.environment.emplace_back(name, text(variable, "value"));
    }
  }
  return plugin;
}

// What a plugin is run with, as one text. What it is told of the cluster changes no user.
SecretString summary_of(const ExecPlugin& plugin) {
  nlohmann::json all{{"version", plugin.api_version},
                     {"command", plugin.command},
                     {"arguments", plugin.arguments},
                     {"environment", plugin.environment}};
  return SecretString(all.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

void read_user(const Entry& user, const std::string& name, const Entry& cluster,
               Configuration& configuration, base::Executor& executor) {
  http::Endpoint& endpoint = configuration.endpoint;
  refuse_unsupported(user, {"username", "password", "auth-provider", "as", "as-uid", "as-groups",
                            "as-user-extra"});
  endpoint.client_certificate = public_material(user, "client-certificate");
  endpoint.client_key = material(user, "client-key");
  if (endpoint.client_certificate.has_value() != endpoint.client_key.has_value()) {
    refuse(user, endpoint.client_key ? "client-certificate" : "client-key", "is missing");
  }
  if (const std::string file = text(user, "tokenFile"); !file.empty()) {
    configuration.user = SecretString("file " + resolved(user, file));
    configuration.credentials = make_file_credentials(resolved(user, file), executor);
  } else if (std::string token = text(user, "token"); !token.empty()) {
    SecretString secret(std::move(token));
    configuration.user = SecretString(std::string("token "));
    configuration.user.append(secret.reveal());
    configuration.credentials = make_fixed_credentials(std::move(secret));
  } else if (has(user, "exec")) {
    ExecPlugin plugin = read_exec(user, cluster, endpoint);
    configuration.user = summary_of(plugin);
    configuration.credentials =
        make_exec_credentials(std::move(plugin), "user " + name + " of " + user.file, executor);
  } else {
    configuration.credentials = make_fixed_credentials({});
  }
}

std::string joined(const std::vector<std::string>& files) {
  std::string list;
  for (const std::string& file : files) list += (list.empty() ? "" : ", ") + file;
  return list;
}

const Entry& referred(const std::map<std::string, Entry>& entries, const Entry& context,
                      const char* field) {
  const std::string name = text(context, field);
  const auto found = entries.find(name);
  if (found == entries.end()) {
    refuse(context, field,
           name.empty() ? "is missing" : "there is no " + std::string(field) + " named " + name);
  }
  return found->second;
}

}  // namespace

base::Expected<Configuration> load_kubeconfig(const std::vector<std::string>& files,
                                              const std::optional<std::string>& context_name,
                                              base::Executor& executor) {
  try {
    Merged merged;
    for (const std::string& file : files) merge(file, merged);
    if (context_name) merged.current_context = *context_name;
    if (merged.current_context.empty()) {
      return tl::unexpected(Error{joined(files) +
                                  ": current-context is not set; choose one with kubectl config "
                                  "use-context NAME"});
    }
    const auto found = merged.contexts.find(merged.current_context);
    if (found == merged.contexts.end()) {
      return tl::unexpected(Error{joined(files) + ": there is no context named " +
                                  merged.current_context + ", which current-context asks for"});
    }
    const Entry& context = found->second;
    Configuration configuration;
    const Entry& cluster = referred(merged.clusters, context, "cluster");
    read_cluster(cluster, configuration);
    if (const std::string user = text(context, "user"); user.empty()) {
      configuration.credentials = make_fixed_credentials({});
    } else {
      read_user(referred(merged.users, context, "user"), user, cluster, configuration, executor);
    }
    configuration.name_space = text(context, "namespace");
    if (configuration.name_space.empty()) configuration.name_space = "default";
    configuration.context = merged.current_context;
    configuration.source = joined(files) + ", context " + merged.current_context;
    return configuration;
  } catch (const YAML::Exception& error) {
    return tl::unexpected(Error{error.msg});
  }
}

}  // namespace quay_rotator::kube
