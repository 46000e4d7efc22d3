#include "rotation/status_writer.h"

#include <nlohmann/json.hpp>

#include "tenancy/cluster_mark.h"

namespace quay_rotator::rotation {

namespace {

constexpr std::string_view field_manager_name = "quay-rotator";
constexpr int most_attempts = 5;

kube::Error malformed(const kube::ObjectKey& key, const base::Error& error) {
  kube::Error result;
  result.kind = kube::Error::Kind::malformed;
  result.message = key.text() + ": the API server's answer cannot be read: " + error.message;
  return result;
}

nlohmann::json patch_of(const kube::ObjectMeta& meta, nlohmann::json status) {
  return {{"metadata", {{"resourceVersion", meta.resource_version}}},
          {"status", std::move(status)}};
}

}  // namespace

StatusWriter::StatusWriter(kube::Client& client, runtime::Store<api::RobotTokenRotation>& rotations,
                           runtime::Store<api::QuayConnection>& connections)
    : client_(client), rotations_(rotations), connections_(connections) {}

kube::Expected<void> StatusWriter::write(api::RobotTokenRotation& rotation,
                                         const api::RobotTokenRotationStatus& status,
                                         const std::stop_token& stop) {
  if (rotation.status == status) return {};  // most often, and cheaper than JSON
  nlohmann::json change = api::status_patch(rotation.status, status);
  if (change.empty()) return {};
  const auto answer =
      client_.merge_patch(kube::rotations, rotation.meta.key, "status",
                          patch_of(rotation.meta, std::move(change)), field_manager_name, stop);
  if (!answer) {
    if (answer.error().kind == kube::Error::Kind::conflict) {
      auto current = read(rotation.meta.key, stop);
      // One that was made anew waits for the watch: only in its order does the cache know by then
      // whether an older resource has the robot.
      if (current && current->meta.uid == rotation.meta.uid) rotations_.put(std::move(*current));
    }
    return tl::unexpected(answer.error());
  }
  auto written = api::RobotTokenRotation::from_json(*answer);
  if (!written) return tl::unexpected(malformed(rotation.meta.key, written.error()));
  rotation = std::move(*written);
  rotations_.put(rotation);
  return {};
}

kube::Expected<void> StatusWriter::write(api::RobotTokenRotation& rotation, const Decide& decide,
                                         const std::stop_token& stop) {
  for (int attempt = 1;; ++attempt) {
    const std::optional<api::RobotTokenRotationStatus> status = decide(rotation);
    if (!status) return {};
    auto written = write(rotation, *status, stop);
    if (written || written.error().kind != kube::Error::Kind::conflict ||
        attempt == most_attempts) {
      return written;
    }
    auto current = read(rotation.meta.key, stop);
    if (!current) {
      if (current.error().kind == kube::Error::Kind::not_found) return {};
      return tl::unexpected(current.error());
    }
    // Deleted and made anew: what happened to the old one is not about the new one.
    if (current->meta.uid != rotation.meta.uid) return {};
    rotation = std::move(*current);
  }
}

kube::Expected<void> StatusWriter::mark(const api::RobotTokenRotation& rotation,
                                        const std::string& cluster, base::WallTime now,
                                        const std::stop_token& stop) {
  const nlohmann::json patch = tenancy::marking(rotation, cluster, now);
  if (patch.empty()) return {};
  const auto answer =
      client_.merge_patch(kube::rotations, rotation.meta.key, "", patch, field_manager_name, stop);
  if (!answer) return tl::unexpected(answer.error());
  auto written = api::RobotTokenRotation::from_json(*answer);
  if (!written) return tl::unexpected(malformed(rotation.meta.key, written.error()));
  rotations_.put(std::move(*written));
  return {};
}

kube::Expected<void> StatusWriter::write(const api::QuayConnection& connection,
                                         const api::QuayConnectionStatus& status,
                                         const std::stop_token& stop) {
  nlohmann::json change = api::status_patch(to_json(connection.status), to_json(status));
  if (change.empty()) return {};
  const auto answer =
      client_.merge_patch(kube::connections, connection.meta.key, "status",
                          patch_of(connection.meta, std::move(change)), field_manager_name, stop);
  if (!answer) return tl::unexpected(answer.error());
  if (auto written = api::QuayConnection::from_json(*answer)) connections_.put(std::move(*written));
  return {};
}

kube::Expected<api::RobotTokenRotation> StatusWriter::read(const kube::ObjectKey& key,
                                                           const std::stop_token& stop) {
  const auto answer = client_.get(kube::rotations, key, stop);
  if (!answer) return tl::unexpected(answer.error());
  auto object = api::RobotTokenRotation::from_json(*answer);
  if (!object) return tl::unexpected(malformed(key, object.error()));
  return std::move(*object);
}

}  // namespace quay_rotator::rotation
