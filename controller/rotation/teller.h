// Tells what has come of a look: in the resource's status and in Events.
#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include "api/robot_token_rotation.h"
#include "base/executor.h"
#include "base/log.h"
#include "kube/event_recorder.h"
#include "rotation/knowledge.h"
#include "rotation/status/update.h"
#include "runtime/status_writer.h"
#include "runtime/work_queue.h"

namespace quay_rotator::rotation {

// A ledger may mean an outage.
runtime::Urgency urgency_of(const api::RobotTokenRotation& rotation);

// Thread-safe. All that it is made of must outlive it.
class Teller {
 public:
  Teller(runtime::StatusWriter<api::RobotTokenRotation>& status, kube::EventRecorder& events,
         Memories& memories, base::Executor& executor, base::Log log);

  // Writes a status that needed no run and announces it.
  runtime::Next report(const api::RobotTokenRotation& rotation, const StatusUpdate& update,
                       const std::stop_token& stop);
  // As report(), but not twice without a pause: two processes that know different things, as when
  // one takes over from another, would write in turns for as long as that lasts.
  runtime::Next remark(const api::RobotTokenRotation& rotation, const StatusUpdate& update,
                       const std::stop_token& stop);
  // Marks the resource with this cluster, and with what is over (tenancy::marking).
  runtime::Next mark(const api::RobotTokenRotation& rotation, const std::string& cluster,
                     base::WallTime now, const std::stop_token& stop);
  // A status is there.
  void announce(const api::RobotTokenRotation& rotation, const std::vector<Notice>& notices,
                const std::stop_token& stop);

 private:
  // Of a write that the API server has refused. Where another writer was faster, its change brings
  // the key back.
  runtime::Next refused(const kube::ObjectKey& rotation, const std::string& what,
                        const kube::Error& error);

  runtime::StatusWriter<api::RobotTokenRotation>& status_;
  kube::EventRecorder& events_;
  Memories& memories_;
  base::Executor& executor_;
  base::Log log_;
};

}  // namespace quay_rotator::rotation
