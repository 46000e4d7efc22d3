// A kube-apiserver in memory, as far as this operator can tell: resource versions, conflicts,
// server-side apply, watches with bookmarks, lag and 410, and the faults that the seed draws.
//
// Lives in one world: one thread of control runs at a time, so nothing here locks.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include <nlohmann/json.hpp>

#include "kube/object.h"
#include "simulation/api_objects.h"
#include "simulation/network.h"
#include "support/virtual_executor.h"

namespace quay_rotator::simulation {

struct ApiFaults {
  NetworkFaults network;
  double too_many = 0;         // 429 with Retry-After
  double broken = 0;           // 500 before the write …
  double broken_after = 0;     // … and after it
  double late_write = 0;       // applied after the client has given up
  double page_expired = 0;     // 410 to a continue token; lists come in small pages meanwhile
  double watch_cut = 0;        // a watch's connection ends, at each event or bookmark
  double watch_mute = 0;       // … or falls silent
  base::Duration watch_lag{};  // an event is seen up to that much later
};

class SimulatedApiServer final : public Server {
 public:
  using Object = std::shared_ptr<const nlohmann::json>;
  // One object became another; at most one of the two is null.
  struct Change {
    std::string plural;
    kube::ObjectKey key;
    Object before;
    Object after;
    const base::Executor* caller = nullptr;  // of an operator; null: a person, or Kubernetes
    std::string manager;                     // the field manager, of an apply or patch
  };
  using ChangeListener = std::function<void(const Change&)>;
  // Every request of an operator before it is handled; dry runs that were accepted.
  using RequestListener =
      std::function<void(const Message&, const Address&, const base::Executor& caller)>;
  using DryRunListener = std::function<void(const kube::ObjectKey& secret)>;

  // `cluster`: the UID of its Namespace kube-system.
  SimulatedApiServer(testing::VirtualExecutor& world, std::uint64_t seed,
                     std::string cluster = "uid-of-the-cluster");

  // Whoever looks on. Each may be empty.
  ChangeListener on_change;
  RequestListener on_request;
  DryRunListener on_dry_run;

  // What a person with kubectl does, at once and without faults.
  void create(const kube::Resource& resource, nlohmann::json object);
  void edit(const kube::Resource& resource, const kube::ObjectKey& key,
            const std::function<void(nlohmann::json&)>& change);
  void remove(const kube::Resource& resource, const kube::ObjectKey& key);
  // As backups keep objects, with whose fields are whose, and make them anew where there is none.
  struct ObjectBackup {
    nlohmann::json object;
    Owners owners;
  };
  [[nodiscard]] std::optional<ObjectBackup> back_up(const kube::Resource& resource,
                                                    const kube::ObjectKey& key) const;
  void restore(const kube::Resource& resource, const ObjectBackup& backup);
  // Null when there is none.
  [[nodiscard]] Object find(const kube::Resource& resource, const kube::ObjectKey& key) const;
  [[nodiscard]] std::vector<Object> list(const kube::Resource& resource) const;

  ApiFaults faults;
  std::set<kube::ObjectKey> denied;   // an admission policy refuses writes of these Secrets
  bool quota_exceeded = false;        // no new Secrets
  std::set<std::string> unlisted;     // lists of these (plural, namespace or "") fail
  std::set<std::string> terminating;  // namespaces in which nothing new is made
  // While down every connection is refused and every watch ends.
  void set_down(bool down);
  // Watches from before now get 410.
  void compact();
  void cut_watches();
  // etcd as it is now, and put back to what it was then, versions included: what came since never
  // happened. Watches end, for the API server is started anew.
  struct Backup;
  [[nodiscard]] std::shared_ptr<const Backup> back_up() const;
  void restore(const Backup& backup);
  // All objects of another cluster but its Leases and what kube-system is; `statuses`: as etcd
  // holds them, otherwise as a backup does.
  void copy(const SimulatedApiServer& other, bool statuses);
  [[nodiscard]] const std::string& cluster() const { return cluster_; }
  // Watches that are open see events up to that much later, from now on.
  void lag_watches(base::Duration most);
  [[nodiscard]] std::uint64_t requests() const { return requests_; }

  Journey journey(const Message& message, Process& caller) override;
  Reply handle(const Message& message, Process& caller) override;
  void handle_late(const Message& message, Process& caller) override;

 private:
  using Text = std::shared_ptr<const std::string>;
  struct Stored {
    Object object;
    Text text;  // the object's, as most of its readers want it
    Owners owners;
  };
  struct Event {
    Change change;
    Text after;
    base::MonotonicTime time;
  };
  struct Watch;
  using Collection = std::map<kube::ObjectKey, Stored>;

  Reply get(const Address& address) const;
  Reply get_list(const Address& address, const Message& message, Process& caller);
  // What was there at exactly that version, of one name.
  Reply get_past(const Address& address, const kube::ObjectKey& key, std::uint64_t version) const;
  Reply watch(const Address& address, const Message& message, Process& caller);
  Reply post(const Address& address, const Message& message, const base::Executor& caller);
  Reply put(const Address& address, const Message& message, const base::Executor& caller);
  Reply merge(const Address& address, const Message& message, const base::Executor& caller);
  Reply apply_manifest(const Address& address, const Message& message, Process& caller);
  Reply del(const Address& address, const Message& message, const base::Executor& caller);
  tl::expected<std::optional<std::string>, http::Error> next_piece(Watch& watch, Process& caller,
                                                                   base::MonotonicTime silence,
                                                                   const std::stop_token& stop);

  // Stores and tells everybody, unless nothing changed; returns what is stored now. Null `object`:
  // deletes.
  Text commit(Change change, nlohmann::json* object, Owners owners);
  void add_event(const Change& change, Text text);
  void collect_garbage(const std::string& owner_uid);
  [[nodiscard]] const Stored* stored(const Address& address) const;
  [[nodiscard]] std::optional<Reply> refused_creation(const Address& address,
                                                      const Message& message, Process& caller);
  [[nodiscard]] std::uint64_t oldest_version() const { return version_ - events_.size() + 1; }

  testing::VirtualExecutor& world_;
  Dice dice_;
  std::string cluster_;
  bool down_ = false;
  std::map<std::string, Collection, std::less<>> collections_;  // by plural
  std::deque<Event> events_;                                    // the newest has version_
  std::vector<std::weak_ptr<Watch>> watches_;
  std::uint64_t version_ = 1000;
  // Versions that objects (plural, key) had in a history that was lost: none has one of its own
  // again. etcd does not promise that, and no precondition could tell the two states.
  std::set<std::tuple<std::string, kube::ObjectKey, std::uint64_t>> lost_;
  std::uint64_t next_uid_ = 1;
  std::uint64_t requests_ = 0;
  // What is left of lists that were begun, by continue token.
  std::map<std::string, std::vector<std::string>> pages_;
  std::vector<std::unique_ptr<base::Thread>> late_;  // each handles one late request
};

}  // namespace quay_rotator::simulation
