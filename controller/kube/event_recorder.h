// Events (events.k8s.io/v1) on an object: what `kubectl describe` shows at its end.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/executor.h"
#include "base/mutex.h"
#include "kube/client.h"
#include "kube/object.h"

namespace quay_rotator::kube {

enum class EventType { normal, warning };

// Thread-safe. Sends in the caller's thread; a failure is logged and otherwise ignored: an event is
// never worth a rotation. The same warning (object, reason, note) is sent at most once in ten
// minutes; a repetition within that time makes no request.
class EventRecorder {
 public:
  EventRecorder(Client& client, base::Executor& executor, base::Log log,
                const std::string& instance);
  void record(const Resource& resource, const ObjectMeta& object, EventType type,
              std::string_view reason, std::string_view action, std::string_view note,
              const std::stop_token& stop);

 private:
  bool is_repetition(std::string key);

  Client& client_;
  base::Executor& executor_;
  base::Log log_;
  std::string instance_;
  base::Mutex mutex_;
  std::map<std::string, base::MonotonicTime> sent_
      GUARDED_BY(mutex_);  // warnings of the last ten minutes
  base::MonotonicTime next_sweep_ GUARDED_BY(mutex_){};
};

}  // namespace quay_rotator::kube
