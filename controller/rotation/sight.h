// How far this process sees: which cluster it is in, and how far the caches of each namespace have
// come. A namespace that cannot be read costs itself, not the others.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "api/robot_token_rotation.h"
#include "base/mutex.h"
#include "base/time.h"
#include "kube/object.h"
#include "runtime/work_queue.h"

namespace quay_rotator::rotation {

// Thread-safe.
class Sight {
 public:
  // see() will tell of so many namespaces; "" is all of them at once.
  explicit Sight(std::size_t namespaces) : namespaces_(namespaces) {}

  // What identifies this cluster.
  void identify(const std::string& cluster);
  [[nodiscard]] std::string cluster() const;
  // No other cluster does, as far as is known.
  [[nodiscard]] bool looked_after(const api::RobotTokenRotation& rotation) const;

  // With its connections a namespace's ledgers are settled, with everything all else is done there,
  // and missed due times are spread from then on. While another namespace is not known a robot's
  // owner may be in it: then only resources that were found to own theirs before this process
  // started regenerate.
  enum class Extent { connections, everything };
  using Postponed = std::map<kube::ObjectKey, runtime::Urgency>;
  struct Progress {
    bool complete = false;  // the namespace is, as of now
    Postponed postponed;    // to be looked at again
  };
  Progress see(const std::string& name_space, Extent extent, base::WallTime now);
  // What is missing of it does not come, for the reason `why`, until see() has told of everything.
  Postponed cannot_see(const std::string& name_space, const std::string& why);
  // Namespaces that cannot be read.
  [[nodiscard]] std::size_t unreadable() const;

  // Found when the process started, with a proof of its claim.
  void note_owner(const kube::ObjectKey& key);
  void forget(const kube::ObjectKey& key);

  // As far as one resource is concerned.
  struct View {
    bool connections = false;                // its namespace's are known
    std::optional<base::WallTime> complete;  // since when everything there is
    bool owners_known = false;               // it cannot be that another owns its robot unseen
    std::optional<std::string> unreadable;   // why its namespace cannot be read
    int version = 0;                         // grows with what is told
  };
  [[nodiscard]] View of(const kube::ObjectKey& key) const;
  // To be looked at again when more is told. False: that has happened since `version`.
  bool postpone(const kube::ObjectKey& key, runtime::Urgency urgency, int version);

 private:
  struct Seen {
    std::optional<base::WallTime> complete;
  };

  const std::size_t namespaces_;
  mutable base::Mutex mutex_;
  std::string cluster_ GUARDED_BY(mutex_);
  std::map<std::string, Seen> seen_ GUARDED_BY(mutex_);
  std::map<std::string, std::string> unreadable_ GUARDED_BY(mutex_);
  int version_ GUARDED_BY(mutex_) = 0;
  bool all_complete_ GUARDED_BY(mutex_) = false;
  std::set<kube::ObjectKey> owners_ GUARDED_BY(mutex_);  // until then
  Postponed postponed_ GUARDED_BY(mutex_);
};

}  // namespace quay_rotator::rotation
