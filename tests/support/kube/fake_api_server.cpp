#include "support/kube/fake_api_server.h"

#include <algorithm>
#include <sstream>

#include "api/group.h"

namespace quay_rotator::testing {

namespace {

struct Target {
  std::string path;  // "secrets/team-a/quay-pull"
  std::map<std::string, std::string> query;
};

std::string decoded(const std::string& text) {
  std::string plain;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '%') {
      plain += static_cast<char>(std::stoi(text.substr(at + 1, 2), nullptr, 16));
      at += 2;
    } else {
      plain += text[at];
    }
  }
  return plain;
}

Target target_of(const std::string& text) {
  Target target;
  const auto mark = text.find('?');
  std::vector<std::string> parts;
  std::istringstream path(text.substr(0, mark));
  for (std::string part; std::getline(path, part, '/');) parts.push_back(decoded(part));
  // "", "api", "v1", "namespaces", NAMESPACE, PLURAL, NAME; "", "apis", GROUP, "v1", …
  if (parts.at(1) == "apis") parts.erase(parts.begin() + 2);
  target.path = parts.at(5) + "/" + parts.at(4) + "/" + parts.at(6);
  std::istringstream query(mark == std::string::npos ? "" : text.substr(mark + 1));
  for (std::string pair; std::getline(query, pair, '&');) {
    const auto equals = pair.find('=');
    target.query[pair.substr(0, equals)] = decoded(pair.substr(equals + 1));
  }
  return target;
}

std::string plural_of(const nlohmann::json& object) {
  if (object.at("kind") == api::rotations.kind) return std::string(api::rotations.plural);
  return object.at("kind") == "Secret" ? "secrets" : "configmaps";
}

}  // namespace

Answer refusal(int code, const std::string& reason, const std::string& message) {
  Answer answer;
  answer.status = code;
  answer.headers = {{"Content-Type", "application/json"}};
  answer.body = nlohmann::json{{"kind", "Status"},
                               {"apiVersion", "v1"},
                               {"status", "Failure"},
                               {"message", message},
                               {"reason", reason},
                               {"code", code},
                               {"metadata", nlohmann::json::object()}}
                    .dump();
  return answer;
}

namespace {

int controllers_of(const nlohmann::json& object) {
  int count = 0;
  for (const auto& owner :
       object.value("/metadata/ownerReferences"_json_pointer, nlohmann::json::array())) {
    if (owner.value("controller", false)) ++count;
  }
  return count;
}

// As server-side apply merges them: by uid, and what this manager applied before goes.
nlohmann::json merged_owners(const nlohmann::json& old, const nlohmann::json& manifest,
                             const std::string& manager) {
  const auto pointer = "/metadata/ownerReferences"_json_pointer;
  const auto applied = old.at("metadata").at("managedFields").at(0);
  auto owners = manifest.value(pointer, nlohmann::json::array());
  auto uids = nlohmann::json::array();
  for (const auto& owner : owners) uids.push_back(owner.at("uid"));
  if (applied.at("manager") == manager) {
    for (const auto& uid : applied.value("owners", nlohmann::json::array())) uids.push_back(uid);
  }
  auto merged = nlohmann::json::array();
  for (const auto& owner : old.value(pointer, nlohmann::json::array())) {
    if (std::find(uids.begin(), uids.end(), owner.at("uid")) == uids.end()) merged.push_back(owner);
  }
  for (auto& owner : owners) merged.push_back(std::move(owner));
  return merged;
}

nlohmann::json managed_fields(const nlohmann::json& manifest, const std::string& manager) {
  nlohmann::json fields = {{"manager", manager}, {"operation", "Apply"}};
  for (const auto& owner :
       manifest.value("/metadata/ownerReferences"_json_pointer, nlohmann::json::array())) {
    fields["owners"].push_back(owner.at("uid"));
  }
  return nlohmann::json::array({fields});
}

Answer conflict(const std::string& manager) {
  auto answer = refusal(409, "Conflict", "Apply failed with 1 conflict: .data");
  auto status = nlohmann::json::parse(answer.body);
  status["details"] = {{"causes",
                        {{{"reason", "FieldManagerConflict"},
                          {"message", "conflict with \"" + manager + "\" using v1"},
                          {"field", ".data"}}}}};
  answer.body = status.dump();
  return answer;
}

}  // namespace

void FakeApiServer::put(nlohmann::json object, const std::string& manager) {
  auto& metadata = object["metadata"];
  metadata["uid"] = "uid-" + std::to_string(++made_);
  metadata["resourceVersion"] = std::to_string(++version_);
  metadata["managedFields"] = {{{"manager", manager}, {"operation", "Update"}}};
  const auto path = plural_of(object) + "/" + metadata.at("namespace").get<std::string>() + "/" +
                    metadata.at("name").get<std::string>();
  objects_[path] = std::move(object);
}

void FakeApiServer::edit(nlohmann::json object) {
  object["metadata"]["resourceVersion"] = std::to_string(++version_);
  const auto& metadata = object.at("metadata");
  const auto path = plural_of(object) + "/" + metadata.at("namespace").get<std::string>() + "/" +
                    metadata.at("name").get<std::string>();
  objects_[path] = std::move(object);
}

nlohmann::json FakeApiServer::object(const std::string& path) const {
  const auto found = objects_.find(path);
  return found == objects_.end() ? nlohmann::json() : found->second;
}

std::vector<std::string> FakeApiServer::calls() const {
  std::vector<std::string> calls;
  for (const auto& request : transport_.requests()) {
    const auto target = target_of(request.target);
    const bool merge = request.content_type == "application/merge-patch+json";
    auto call = (merge ? "MERGE" : std::string(http::method_name(request.method))) + " " +
                target.path.substr(target.path.find('/') + 1);
    if (target.query.contains("dryRun")) call += " dryRun";
    if (target.query.contains("force") && target.query.at("force") == "true") call += " force";
    calls.push_back(std::move(call));
  }
  return calls;
}

FakeResult FakeApiServer::answer(const SentRequest& request) {
  if (fault_) {
    if (auto fault = fault_(request)) return std::move(*fault);
  }
  const auto target = target_of(request.target);
  const auto found = objects_.find(target.path);
  if (request.method == http::Method::patch &&
      request.content_type == "application/merge-patch+json") {
    return merge(target.path, nlohmann::json::parse(request.body));
  }
  if (request.method == http::Method::patch) {
    return apply(target.path, nlohmann::json::parse(request.body), target.query);
  }
  if (found == objects_.end()) return refusal(404, "NotFound", target.path + " not found");
  if (request.method == http::Method::del) {
    const auto options =
        request.body.empty() ? nlohmann::json::object() : nlohmann::json::parse(request.body);
    const auto uid = options.value("/preconditions/uid"_json_pointer, std::string());
    if (!uid.empty() && uid != found->second.at("metadata").at("uid")) {
      return refusal(409, "Conflict", "the UID in the precondition does not match");
    }
    objects_.erase(found);
    Answer done;
    done.headers = {{"Content-Type", "application/json"}};
    done.body = R"({"kind":"Status","apiVersion":"v1","status":"Success"})";
    return done;
  }
  Answer answer;
  answer.headers = {{"Content-Type", "application/json"}};
  answer.body = found->second.dump();
  return answer;
}

Answer FakeApiServer::merge(const std::string& path, const nlohmann::json& patch) {
  const auto found = objects_.find(path);
  if (found == objects_.end()) return refusal(404, "NotFound", path + " not found");
  for (const auto& precondition : {"uid", "resourceVersion"}) {
    const auto& metadata = found->second.at("metadata");
    if (patch.at("metadata").value(precondition, metadata.at(precondition)) !=
        metadata.at(precondition)) {
      return refusal(409, "Conflict", "the object has been modified");
    }
  }
  auto& object = found->second;
  object.merge_patch(patch);
  if (object["metadata"]["ownerReferences"].empty()) object["metadata"].erase("ownerReferences");
  object["metadata"]["resourceVersion"] = std::to_string(++version_);
  Answer answer;
  answer.headers = {{"Content-Type", "application/json"}};
  answer.body = object.dump();
  return answer;
}

Answer FakeApiServer::apply(const std::string& path, const nlohmann::json& manifest,
                            const std::map<std::string, std::string>& query) {
  const auto found = objects_.find(path);
  const auto manager = query.at("fieldManager");
  const auto uid = manifest.at("metadata").value("uid", "");
  const auto version = manifest.at("metadata").value("resourceVersion", "");
  if (!version.empty() && found != objects_.end() &&
      found->second.at("metadata").at("resourceVersion") != version) {
    return refusal(409, "Conflict", "the object has been modified");
  }
  if (!uid.empty() && (found == objects_.end() || found->second.at("metadata").at("uid") != uid)) {
    return refusal(409, "Conflict", "Precondition failed: UID in precondition: " + uid);
  }
  nlohmann::json result = manifest;
  auto& metadata = result["metadata"];
  if (found == objects_.end()) {
    metadata["uid"] = "uid-" + std::to_string(made_ + 1);
    metadata["managedFields"] = managed_fields(manifest, manager);
  } else {
    const auto& old = found->second;
    const auto& managers = old.at("metadata").at("managedFields");
    if (query.count("force") == 0 && managers.at(0).at("manager") != manager) {
      return conflict(managers.at(0).at("manager").get<std::string>());
    }
    if (old.value("type", "") != result.at("type")) {
      return refusal(422, "Invalid", "type: Invalid value: \"x\": field is immutable");
    }
    result = old;
    for (const auto& map : {"labels", "annotations"}) {
      for (const auto& [key, value] : manifest.at("metadata").at(map).items()) {
        result["metadata"][map][key] = value;
      }
    }
    auto owners = merged_owners(old, manifest, manager);
    result["metadata"].erase("ownerReferences");
    if (!owners.empty()) result["metadata"]["ownerReferences"] = std::move(owners);
    result["data"].update(manifest.at("data"));
    result["metadata"]["managedFields"] = managed_fields(manifest, manager);
  }
  if (controllers_of(result) > 1) {
    return refusal(422, "Invalid",
                   "metadata.ownerReferences: Invalid value: Only one reference can have "
                   "Controller set to true");
  }
  const bool dry_run = query.count("dryRun") != 0;
  result["metadata"]["resourceVersion"] = std::to_string(version_ + 1);
  if (!dry_run) {
    ++version_;
    if (found == objects_.end()) ++made_;
    objects_[path] = result;
  }
  Answer answer;
  answer.status = found == objects_.end() ? 201 : 200;
  answer.headers = {{"Content-Type", "application/json"}};
  answer.body = result.dump();
  return answer;
}

}  // namespace quay_rotator::testing
