#include "rotation/teller.h"

#include <utility>

#include <nlohmann/json.hpp>

#include "tenancy/cluster_mark.h"

namespace quay_rotator::rotation {

runtime::Urgency urgency_of(const api::RobotTokenRotation& rotation) {
  return rotation.status.rotation ? runtime::Urgency::outage : runtime::Urgency::normal;
}

Teller::Teller(runtime::StatusWriter<api::RobotTokenRotation>& status, kube::EventRecorder& events,
               Memories& memories, base::Executor& executor, base::Log log)
    : status_(status),
      events_(events),
      memories_(memories),
      executor_(executor),
      log_(std::move(log)) {}

runtime::Next Teller::report(const api::RobotTokenRotation& rotation, const StatusUpdate& update,
                             const std::stop_token& stop) {
  api::RobotTokenRotation written = rotation;
  const auto answer = status_.write(written, update.status, stop);
  if (!answer) return refused(rotation.meta.key, "cannot write the status", answer.error());
  announce(written, update.notices, stop);
  return {};
}

runtime::Next Teller::mark(const api::RobotTokenRotation& rotation, const std::string& cluster,
                           base::WallTime now, const std::stop_token& stop) {
  const kube::ObjectKey& key = rotation.meta.key;
  const auto answer = status_.patch(key, tenancy::marking(rotation, cluster, now), stop);
  return answer ? runtime::Next{} : refused(key, "cannot mark the resource", answer.error());
}

runtime::Next Teller::refused(const kube::ObjectKey& rotation, const std::string& what,
                              const kube::Error& error) {
  if (error.kind == kube::Error::Kind::conflict || error.kind == kube::Error::Kind::not_found) {
    return {};
  }
  log_.warning(what, {{"resource", rotation.text()}, {"error", kube::explain(error)}});
  return runtime::Next::failed();
}

runtime::Next Teller::remark(const api::RobotTokenRotation& rotation, const StatusUpdate& update,
                             const std::stop_token& stop) {
  if (update.status == rotation.status) return {};
  const base::MonotonicTime now = executor_.now();
  base::MonotonicTime when{};
  memories_.change(rotation.meta.key, [&](Memory& memory) { when = memory.tell(now); });
  if (when > now) return runtime::Next::at(when, urgency_of(rotation));
  return report(rotation, update, stop);
}

void Teller::announce(const api::RobotTokenRotation& rotation, const std::vector<Notice>& notices,
                      const std::stop_token& stop) {
  for (const Notice& notice : notices) {
    events_.record(api::rotations, rotation.meta, notice.type, notice.reason, "Rotate", notice.note,
                   stop);
  }
}

}  // namespace quay_rotator::rotation
