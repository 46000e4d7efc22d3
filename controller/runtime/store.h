// The cache: typed projections of the objects of one resource, kept by a reflector.
//
// Stale by design; whoever writes relies on preconditions, not on this. A write's answer may be
// put in at once (`put`), so that the writer sees its own writes; an older version never replaces a
// newer one. T has a member `kube::ObjectMeta meta` and a function
// `base::Expected<T> T::from_json(const nlohmann::json&)`; no JSON is kept.
//
// Thread-safe. Listeners run in the thread that changed the store, one change at a time, in the
// order of the changes. They must be quick, may read the store and must not change it; they are
// added before the reflector starts.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "base/error.h"
#include "kube/object.h"

namespace quay_rotator::runtime {

enum class ChangeCause { initial, live };

// What a reflector writes to. One thread only.
class StoreWriter {
 public:
  virtual ~StoreWriter() = default;
  // A relist of `name_space` ("" for all) collects into a new snapshot; what an earlier one
  // collected that did not end is thrown away …
  virtual void begin_snapshot(const std::string& name_space) = 0;
  // … object by object. One that cannot be decoded is an error for the log; its key is kept …
  virtual base::Expected<void> add_to_snapshot(const nlohmann::json& object) = 0;
  // … which then replaces the old one at once, in that namespace: what vanished is deleted, what is
  // newer than the list's `resource_version` stays.
  virtual void end_snapshot(const std::string& resource_version) = 0;
  // An object that cannot be decoded is an error, and what the store had stays.
  virtual base::Expected<void> upsert(const nlohmann::json& object) = 0;
  virtual base::Expected<void> erase(const nlohmann::json& object) = 0;
};

// The identity of an object as the API server sends it. Errors name the missing member.
base::Expected<kube::ObjectMeta> read_meta(const nlohmann::json& object);

template <class T>
class Store {
 public:
  using Pointer = std::shared_ptr<const T>;
  // At most one of `before` and `after` is null.
  using Listener =
      std::function<void(const Pointer& before, const Pointer& after, ChangeCause cause)>;

  void add_listener(Listener listener) { listeners_.push_back(std::move(listener)); }

  [[nodiscard]] Pointer find(const kube::ObjectKey& key) const {
    const std::lock_guard lock(mutex_);
    const auto found = objects_.find(key);
    return found == objects_.end() ? nullptr : *found;
  }
  [[nodiscard]] std::vector<Pointer> list() const {
    const std::lock_guard lock(mutex_);
    return {objects_.begin(), objects_.end()};
  }
  [[nodiscard]] std::size_t size() const {
    const std::lock_guard lock(mutex_);
    return objects_.size();
  }

  // Puts an object in unless the store holds the same or a newer version of it. An object that the
  // store saw deleted is not brought back by an older version either.
  void put(T object, ChangeCause cause = ChangeCause::live) {
    auto after = std::make_shared<const T>(std::move(object));
    const std::lock_guard one_change(change_mutex_);
    Pointer before;
    {
      const std::lock_guard lock(mutex_);
      const auto found = objects_.find(after->meta.key);
      if (found != objects_.end()) {
        if (compare(after, (*found)->meta.resource_version) <= 0) return;
        before = replace_at(found, after);
      } else {
        // The watch tells of a namespace in order: what is older than the last deletion there, and
        // not here, is gone.
        const auto erased = erased_at_.find(after->meta.key.name_space);
        if (erased != erased_at_.end() && compare(after, erased->second) <= 0) return;
        objects_.insert(after);
      }
    }
    notify(before, after, cause);
  }
  void erase(const kube::ObjectKey& key) {
    const std::lock_guard one_change(change_mutex_);
    Pointer before;
    {
      const std::lock_guard lock(mutex_);
      const auto found = objects_.find(key);
      if (found == objects_.end()) return;
      before = *found;
      objects_.erase(found);
    }
    notify(before, nullptr, ChangeCause::live);
  }

  // For the writer below.

  // The API server told of a deletion; `deleted` carries the deletion's version. An object of that
  // name that was created since stays.
  void erase_deleted(const kube::ObjectMeta& deleted) {
    const std::lock_guard one_change(change_mutex_);
    Pointer before;
    {
      const std::lock_guard lock(mutex_);
      erased_at_[deleted.key.name_space] = deleted.resource_version;
      const auto found = objects_.find(deleted.key);
      if (found == objects_.end()) return;
      if ((*found)->meta.uid != deleted.uid && compare(*found, deleted.resource_version) > 0)
        return;
      before = *found;
      objects_.erase(found);
    }
    notify(before, nullptr, ChangeCause::live);
  }

  struct Hash {
    using is_transparent = void;
    std::size_t operator()(const kube::ObjectKey& key) const noexcept {
      return std::hash<kube::ObjectKey>{}(key);
    }
    std::size_t operator()(const Pointer& object) const noexcept {
      return (*this)(object->meta.key);
    }
  };
  struct SameKey {
    using is_transparent = void;
    static const kube::ObjectKey& key_of(const kube::ObjectKey& key) { return key; }
    static const kube::ObjectKey& key_of(const Pointer& object) { return object->meta.key; }
    bool operator()(const auto& left, const auto& right) const {
      return key_of(left) == key_of(right);
    }
  };
  // By key, without a second copy of the key.
  using Objects = std::unordered_set<Pointer, Hash, SameKey>;

  // `listed` and what could not be decoded (`unreadable`) are all there is in `name_space` as of
  // `version`.
  void replace_all(const std::string& name_space, const Objects& listed,
                   const std::unordered_set<kube::ObjectKey>& unreadable,
                   const std::string& version, ChangeCause cause) {
    const std::lock_guard one_change(change_mutex_);
    std::vector<std::pair<Pointer, Pointer>> changes;
    {
      const std::lock_guard lock(mutex_);
      for (auto current = objects_.begin(); current != objects_.end();) {
        const kube::ObjectKey& key = (*current)->meta.key;
        if ((!name_space.empty() && key.name_space != name_space) || listed.contains(*current) ||
            unreadable.contains(key) ||
            kube::compare_resource_versions(version, (*current)->meta.resource_version) < 0) {
          ++current;
          continue;
        }
        erased_at_[key.name_space] = version;
        changes.emplace_back(*current, nullptr);
        current = objects_.erase(current);
      }
      for (const Pointer& after : listed) {
        const auto found = objects_.find(after);
        if (found == objects_.end()) {
          objects_.insert(after);
          changes.emplace_back(nullptr, after);
        } else if (compare(after, (*found)->meta.resource_version) > 0) {
          changes.emplace_back(replace_at(found, after), after);
        }
      }
    }
    for (const auto& [before, after] : changes) notify(before, after, cause);
  }

 private:
  static int compare(const Pointer& object, const std::string& version) {
    return kube::compare_resource_versions(object->meta.resource_version, version);
  }
  Pointer replace_at(typename Objects::iterator place, const Pointer& after) {
    auto node = objects_.extract(place);
    Pointer before = std::exchange(node.value(), after);
    objects_.insert(std::move(node));
    return before;
  }
  void notify(const Pointer& before, const Pointer& after, ChangeCause cause) const {
    for (const auto& listener : listeners_) listener(before, after, cause);
  }

  std::mutex change_mutex_;  // held over a change and its notification: keeps their order
  mutable std::mutex mutex_;
  Objects objects_;
  std::map<std::string, std::string> erased_at_;  // by namespace: version of the last deletion
  std::vector<Listener> listeners_;
};

// Decodes objects into a Store that it does not own. Several writers, each with a namespace of its
// own, may write to one store.
template <class T>
class TypedStoreWriter final : public StoreWriter {
 public:
  // Of the first snapshot, what `hurries` picks goes to the store as it comes; may be empty.
  explicit TypedStoreWriter(Store<T>& store, std::function<bool(const T&)> hurries = {})
      : store_(store), hurries_(std::move(hurries)) {}

  void begin_snapshot(const std::string& name_space) override {
    name_space_ = name_space;
    listed_.clear();
    unreadable_.clear();
  }
  base::Expected<void> add_to_snapshot(const nlohmann::json& object) override {
    auto meta = read_meta(object);
    if (!meta) return tl::unexpected(std::move(meta.error()));
    // What has not changed is neither decoded again nor held twice.
    auto known = store_.find(meta->key);
    if (known && known->meta.uid == meta->uid &&
        known->meta.resource_version == meta->resource_version) {
      listed_.insert(std::move(known));
      return {};
    }
    auto decoded = T::from_json(object);
    if (!decoded) {
      unreadable_.insert(meta->key);
      return tl::unexpected(base::Error{meta->key.text() + ": " + decoded.error().message});
    }
    if (cause_ == ChangeCause::initial && hurries_ && hurries_(*decoded)) {
      store_.put(*decoded, ChangeCause::initial);
    }
    listed_.insert(std::make_shared<const T>(std::move(*decoded)));
    return {};
  }
  void end_snapshot(const std::string& resource_version) override {
    store_.replace_all(name_space_, listed_, unreadable_, resource_version, cause_);
    cause_ = ChangeCause::live;
    listed_ = {};
    unreadable_ = {};
  }
  base::Expected<void> upsert(const nlohmann::json& object) override {
    auto meta = read_meta(object);
    if (!meta) return tl::unexpected(std::move(meta.error()));
    auto decoded = T::from_json(object);
    if (!decoded) {
      return tl::unexpected(base::Error{meta->key.text() + ": " + decoded.error().message});
    }
    store_.put(std::move(*decoded));
    return {};
  }
  base::Expected<void> erase(const nlohmann::json& object) override {
    auto meta = read_meta(object);
    if (!meta) return tl::unexpected(std::move(meta.error()));
    store_.erase_deleted(*meta);
    return {};
  }

 private:
  Store<T>& store_;
  std::function<bool(const T&)> hurries_;
  std::string name_space_;
  typename Store<T>::Objects listed_;
  std::unordered_set<kube::ObjectKey> unreadable_;
  ChangeCause cause_ = ChangeCause::initial;
};

}  // namespace quay_rotator::runtime
