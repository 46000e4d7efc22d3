#include "rotation/teller.h"

#include <utility>

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
  if (answer) {
    announce(written, update.notices, stop);
    return {};
  }
  if (answer.error().kind == kube::Error::Kind::conflict ||
      answer.error().kind == kube::Error::Kind::not_found) {
    return {};  // the change that was faster brings the key back
  }
  log_.warning("cannot write the status",
               {{"resource", rotation.meta.key.text()}, {"error", kube::explain(answer.error())}});
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
