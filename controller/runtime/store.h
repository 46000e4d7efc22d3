// The cache: typed projections of the objects of one resource, kept by a reflector.
//
// Stale by design; whoever writes relies on preconditions, not on this. A write's answer may be
// put in at once (`put`), so that the writer sees its own writes; an older version never replaces a
// newer one. T has a member `kube::ObjectMeta meta` and a function
// `base::Expected<T> T::from_json(const nlohmann::json&)`.
//
// Thread-safe. Listeners run in the thread that changed the store, without a lock held, and must be
// quick; they are added before the reflector starts.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "base/error.h"
#include "kube/object.h"

namespace quay_rotator::runtime {

enum class ChangeCause { initial, live };

// What a reflector writes to.
class StoreWriter {
 public:
  virtual ~StoreWriter() = default;
  // A relist of `name_space` ("" for all) collects into a new snapshot …
  virtual void begin_snapshot(const std::string& name_space) = 0;
  // … object by object. One that cannot be decoded is an error for the log; its key is kept.
  virtual base::Expected<void> add_to_snapshot(const nlohmann::json& object) = 0;
  // … which then replaces the old one at once: what vanished is deleted.
  virtual void end_snapshot() = 0;
  virtual base::Expected<void> upsert(const nlohmann::json& object) = 0;
  virtual void erase(const nlohmann::json& object) = 0;
};

template <class T>
class Store {
 public:
  using Pointer = std::shared_ptr<const T>;
  // Exactly one of `before` and `after` may be null.
  using Listener =
      std::function<void(const Pointer& before, const Pointer& after, ChangeCause cause)>;

  void add_listener(Listener listener) { listeners_.push_back(std::move(listener)); }

  [[nodiscard]] Pointer find(const kube::ObjectKey& key) const {
    const std::lock_guard lock(mutex_);
    const auto found = objects_.find(key);
    return found == objects_.end() ? nullptr : found->second;
  }
  [[nodiscard]] std::vector<Pointer> list() const {
    const std::lock_guard lock(mutex_);
    std::vector<Pointer> all;
    all.reserve(objects_.size());
    for (const auto& [key, object] : objects_) all.push_back(object);
    return all;
  }
  [[nodiscard]] std::size_t size() const {
    const std::lock_guard lock(mutex_);
    return objects_.size();
  }

  // Puts an object in unless the store holds a newer version of it. An object that the store saw
  // deleted is not brought back by an older version either.
  void put(T object, ChangeCause cause = ChangeCause::live) {
    auto after = std::make_shared<const T>(std::move(object));
    Pointer before;
    {
      const std::lock_guard lock(mutex_);
      auto& slot = objects_[after->meta.key];
      if (slot && slot->meta.uid == after->meta.uid &&
          kube::compare_resource_versions(after->meta.resource_version,
                                          slot->meta.resource_version) <= 0) {
        return;
      }
      before = std::exchange(slot, after);
    }
    notify(before, after, cause);
  }
  void erase(const kube::ObjectKey& key) {
    Pointer before;
    {
      const std::lock_guard lock(mutex_);
      const auto found = objects_.find(key);
      if (found == objects_.end()) return;
      before = std::move(found->second);
      objects_.erase(found);
    }
    notify(before, nullptr, ChangeCause::live);
  }

 private:
  void notify(const Pointer& before, const Pointer& after, ChangeCause cause) const {
    for (const auto& listener : listeners_) listener(before, after, cause);
  }

  mutable std::mutex mutex_;
  std::unordered_map<kube::ObjectKey, Pointer> objects_;
  std::vector<Listener> listeners_;
};

}  // namespace quay_rotator::runtime
