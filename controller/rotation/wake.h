// Which change of what brings a resource's key into the queue, and how urgently. On the way it
// keeps what is known up to date that is derived from the caches: claims to robots, counts of
// Secrets, what has departed.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/managed_secret.h"
#include "api/quay_connection.h"
#include "api/robot_token_rotation.h"
#include "base/executor.h"
#include "base/fingerprint.h"
#include "connection/newcomers.h"
#include "kube/object.h"
#include "rotation/knowledge.h"
#include "rotation/view.h"
#include "runtime/metrics.h"
#include "runtime/store.h"
#include "runtime/work_queue.h"

namespace quay_rotator::rotation {

// All must outlive it.
struct WakeParts {
  runtime::Store<api::RobotTokenRotation>& rotations;
  runtime::Store<api::QuayConnection>& connections;
  runtime::Store<api::ManagedSecret>& secrets;
  Caches caches;  // of those stores
  Knowledge& knowledge;
  connection::Newcomers& newcomers;
  runtime::WorkQueue& queue;
  runtime::Lanes& lanes;
  runtime::Metrics& metrics;
  base::Executor& executor;
};

// Thread-safe. Adds its listeners to the stores: make it before the reflectors start.
class Wake {
 public:
  explicit Wake(WakeParts parts);

  // What identifies this cluster; to be called before the first look.
  void identify(const std::string& cluster);
  // How far the caches of a namespace have come ("" is all namespaces); may be called again.
  void see(const std::string& name_space, Sight::Extent extent);
  // What is missing of it does not come, for the reason `why`: told on its resources, as far as
  // they are known, until see() has told of everything.
  void cannot_see(const std::string& name_space, const std::string& why);

  // The organization's list says that Quay does not hold the token of the status; `listed` is what
  // it shows; nothing: no such robot.
  void note_drift(const kube::ObjectKey& rotation, std::optional<base::Fingerprint> listed);
  // There is something new in the findings about it.
  void note_news(const kube::ObjectKey& rotation);
  // Quay refuses what it would take to see that token: a drift, if others claim the robot too.
  void note_refusal(const kube::ObjectKey& rotation);

 private:
  template <class T>
  using Pointer = typename runtime::Store<T>::Pointer;
  using Rotation = Pointer<api::RobotTokenRotation>;
  using Connection = Pointer<api::QuayConnection>;
  using Secret = Pointer<api::ManagedSecret>;
  void on_rotation(const Rotation& before, const Rotation& after, runtime::ChangeCause cause);
  void on_connection(const Connection& before, const Connection& after, runtime::ChangeCause cause);
  void on_secret(const Secret& before, const Secret& after, runtime::ChangeCause cause);
  void on_departure(const api::RobotTokenRotation& last);
  void claim(const api::RobotTokenRotation& rotation, runtime::ChangeCause cause);
  void add(const std::vector<kube::ObjectKey>& rotations);
  void add(const Sight::Postponed& rotations);

  WakeParts parts_;
};

}  // namespace quay_rotator::rotation
