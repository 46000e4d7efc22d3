// The cache: typed projections of the objects of one resource, kept by a reflector.
//
// Stale by design; whoever writes relies on preconditions, not on this. A write's answer may be
// put in at once (`put`), so that the writer sees its own writes; an older version never replaces a
// newer one. T has a member `kube::ObjectMeta meta`, a function
// `base::Expected<T> T::from_json(const nlohmann::json&)`, and packs `meta` before all else (see
// kube/packing.h): that is how objects are kept. Whoever looks gets a copy.
//
// Thread-safe. Listeners run in the thread that changed the store, one change at a time, in the
// order of the changes. They must be quick, may read the store and must not change it; they are
// added before the reflector starts.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "base/error.h"
#include "base/mutex.h"
#include "kube/object.h"
#include "kube/packing.h"

namespace quay_rotator::runtime {

enum class ChangeCause { initial, live };

// How what is held relates to what is listed now.
enum class History {
  goes_on,    // what is newer than the list stays
  went_back,  // the API server lost what it had told: held versions mean nothing, only the list
              // does
};

// What a reflector writes to. One thread only.
class StoreWriter {
 public:
  virtual ~StoreWriter() = default;
  // A relist of `name_space` ("" for all) collects into a new snapshot; what an earlier one
  // collected that did not end is thrown away …
  virtual void begin_snapshot(const std::string& name_space, History history) = 0;
  // … object by object. One that cannot be decoded is an error for the log; its key is kept …
  virtual base::Expected<void> add_to_snapshot(const nlohmann::json& object) = 0;
  // … which then replaces the old one at once, in that namespace: what vanished is deleted, what is
  // newer than the list's `resource_version` stays unless history went back.
  virtual void end_snapshot(const std::string& resource_version) = 0;
  // An object that cannot be decoded is an error, and what the store had stays.
  virtual base::Expected<void> upsert(const nlohmann::json& object) = 0;
  virtual base::Expected<void> erase(const nlohmann::json& object) = 0;
};

// The identity of an object as the API server sends it. Errors name the missing member.
base::Expected<kube::ObjectMeta> read_meta(const nlohmann::json& object);

// Packed objects in the order of their keys. Not synchronized.
class PackedObjects {
 public:
  [[nodiscard]] std::size_t size() const { return objects_.size(); }
  [[nodiscard]] const kube::Packed& operator[](std::size_t place) const { return objects_[place]; }
  // Where that key is, or would be.
  [[nodiscard]] std::size_t lower_bound(const kube::ObjectKey& key) const;
  // Where that key is, if it is there.
  [[nodiscard]] std::optional<std::size_t> find(const kube::ObjectKey& key) const;
  [[nodiscard]] kube::ObjectMeta meta(const kube::Packed& object) const;
  // Puts it in the place of the object with its key, whose mark it gets and which is returned, or
  // in between.
  kube::Packed put(kube::Packed object);
  kube::Packed take(std::size_t place);
  // To be done with what was taken, or was not put here after all; null is nothing.
  void release(kube::Packed object);

  // Of this object and of any that is to be put here.
  kube::TextPool& texts() { return texts_; }
  [[nodiscard]] const kube::TextPool& texts() const { return texts_; }

 private:
  kube::TextPool texts_;
  std::vector<kube::Packed> objects_;
};

template <class T>
class Store {
 public:
  using Pointer = std::shared_ptr<const T>;
  // At most one of `before` and `after` is null.
  using Listener =
      std::function<void(const Pointer& before, const Pointer& after, ChangeCause cause)>;

  void add_listener(Listener listener) { listeners_.push_back(std::move(listener)); }

  // A copy.
  [[nodiscard]] Pointer find(const kube::ObjectKey& key) const {
    const base::Lock lock(mutex_);
    const auto found = objects_.find(key);
    return found ? unpack(objects_[*found].get()) : nullptr;
  }
  // Visits a copy of each object, or of each in that namespace, in the order of their keys. What
  // changes meanwhile is visited as it was or as it is. `visit` may use the store.
  void each(const std::function<void(const T&)>& visit, const std::string& name_space = "") const {
    constexpr std::size_t most = 64;  // at a time: others want the lock too
    const auto belongs = [&name_space](const T& object) {
      return name_space.empty() || object.meta.key.name_space == name_space;
    };
    std::vector<Pointer> some;
    for (kube::ObjectKey last{name_space, ""};; last = some.back()->meta.key) {
      some.clear();
      {
        const base::Lock lock(mutex_);
        std::size_t place = objects_.lower_bound(last);
        for (; place < objects_.size() && some.size() < most; ++place) {
          auto object = unpack(objects_[place].get());
          if (object->meta.key != last) some.push_back(std::move(object));
        }
      }
      for (const Pointer& object : some) {
        if (!belongs(*object)) return;
        visit(*object);
      }
      if (some.size() < most) return;
    }
  }
  [[nodiscard]] std::size_t size() const {
    const base::Lock lock(mutex_);
    return objects_.size();
  }

  // Puts an object in unless the store holds the same or a newer version of it. An object that the
  // store saw deleted is not brought back by an older version either.
  void put(T object, ChangeCause cause = ChangeCause::live) {
    const auto after = std::make_shared<const T>(std::move(object));
    const base::Lock one_change(change_mutex_);
    Pointer before;
    {
      const base::Lock lock(mutex_);
      if (const auto found = objects_.find(after->meta.key)) {
        if (!is_newer(after->meta, objects_[*found])) return;
        before = unpack(objects_[*found].get());
      } else if (is_gone(after->meta)) {
        return;
      }
      objects_.release(objects_.put(pack(*after)));
    }
    notify(before, after, cause);
  }
  void erase(const kube::ObjectKey& key) {
    erase_if(key, [](const kube::ObjectMeta&) { return true; });
  }

  // The API server has told of all changes in that namespace up to this version, and not only of
  // what was put in at once: whoever wrote that version knows what was written before it.
  [[nodiscard]] bool has_reached(const std::string& name_space, const std::string& version) const {
    const base::Lock lock(mutex_);
    for (const std::string& told_of : {name_space, std::string()}) {
      const auto reached = reached_.find(told_of);
      if (reached != reached_.end()) {
        return kube::compare_resource_versions(reached->second, version) >= 0;
      }
    }
    return false;
  }

  // For the writer below.

  void reach(const std::string& name_space, const std::string& version) {
    const base::Lock lock(mutex_);
    reached_[name_space] = version;
  }
  // A watch of `name_space` ("" for all) told of a deletion; `deleted` carries the deletion's
  // version. An object of that name that was created since stays.
  void erase_deleted(const kube::ObjectMeta& deleted, const std::string& name_space) {
    {
      const base::Lock lock(mutex_);
      erased_at_[name_space] = deleted.resource_version;
    }
    erase_if(deleted.key, [&deleted](const kube::ObjectMeta& held) {
      return held.uid == deleted.uid ||
             kube::compare_resource_versions(held.resource_version, deleted.resource_version) <= 0;
    });
  }

  // Marks what is in the namespace as not listed yet.
  void begin_snapshot(const std::string& name_space) {
    const base::Lock lock(mutex_);
    for (std::size_t place = 0; place < objects_.size(); ++place) {
      if (is_in(name_space, objects_[place])) kube::mark(objects_[place], false);
    }
  }
  // The object of that key, if there is one, is listed. True when it is of that very version.
  bool mark_listed(const kube::ObjectMeta& listed) {
    const base::Lock lock(mutex_);
    const auto found = objects_.find(listed.key);
    if (!found) return false;
    kube::mark(objects_[*found], true);
    const kube::ObjectMeta held = objects_.meta(objects_[*found]);
    return held.uid == listed.uid && held.resource_version == listed.resource_version;
  }
  kube::Packed pack_listed(const T& object) {
    const base::Lock lock(mutex_);
    return pack(object);
  }
  void drop(std::vector<kube::Packed> listed) {
    const base::Lock lock(mutex_);
    for (kube::Packed& object : listed) objects_.release(std::move(object));
  }
  // What is marked, and what changed (`listed`), is all there is in `name_space` as of `version`.
  void end_snapshot(const std::string& name_space, std::vector<kube::Packed> listed,
                    const std::string& version, ChangeCause cause, History history) {
    const bool goes_on = history == History::goes_on;
    const auto may_stay = [&](const kube::ObjectMeta& held) {
      return goes_on && kube::compare_resource_versions(version, held.resource_version) < 0;
    };
    const auto may_replace = [&](const kube::ObjectMeta& held, const kube::ObjectMeta& given) {
      const bool same = held.uid == given.uid && held.resource_version == given.resource_version;
      return !may_stay(held) && !(goes_on && same);
    };
    const base::Lock one_change(change_mutex_);
    std::vector<Change> changes;
    {
      const base::Lock lock(mutex_);
      if (history == History::went_back) erased_at_.erase(name_space);
      mark_all(listed);
      take_unlisted(name_space, version, may_stay, changes);
      for (kube::Packed& object : listed) put_listed(std::move(object), may_replace, changes);
    }
    for (Change& change : changes) {
      Pointer before;
      Pointer after;
      {
        const base::Lock lock(mutex_);
        before = unpack(change.before.get());
        after = unpack(change.after);
        objects_.release(std::move(change.before));
      }
      notify(before, after, cause);
    }
  }

 private:
  struct Change {
    kube::Packed before;
    const char* after = nullptr;  // in objects_, where it stays while change_mutex_ is held
  };

  kube::Packed pack(const T& object) REQUIRES(mutex_) {
    kube::Packer packer(objects_.texts());
    object.pack(packer);
    return packer.take();
  }
  [[nodiscard]] Pointer unpack(const char* packed) const REQUIRES(mutex_) {
    if (packed == nullptr) return nullptr;
    auto object = std::make_shared<T>();
    kube::Unpacker unpacker(packed, objects_.texts());
    object->unpack(unpacker);
    return object;
  }
  [[nodiscard]] bool is_newer(const kube::ObjectMeta& meta, const kube::Packed& held) const
      REQUIRES(mutex_) {
    return kube::compare_resource_versions(meta.resource_version,
                                           objects_.meta(held).resource_version) > 0;
  }
  static bool is_in(const std::string& name_space, const kube::Packed& object) {
    return name_space.empty() || kube::Unpacker::key(object.get()).name_space == name_space;
  }

  using Judge = std::function<bool(const kube::ObjectMeta& held)>;

  void erase_if(const kube::ObjectKey& key, const Judge& may) {
    const base::Lock one_change(change_mutex_);
    Pointer before;
    {
      const base::Lock lock(mutex_);
      const auto found = objects_.find(key);
      if (!found || !may(objects_.meta(objects_[*found]))) return;
      before = unpack(objects_[*found].get());
      objects_.release(objects_.take(*found));
    }
    notify(before, nullptr, ChangeCause::live);
  }
  // A watch tells in order: what is older than the last deletion that it told of, and not here, is
  // gone.
  [[nodiscard]] bool is_gone(const kube::ObjectMeta& meta) const REQUIRES(mutex_) {
    for (const std::string& watched : {std::string(), meta.key.name_space}) {
      const auto erased = erased_at_.find(watched);
      if (erased != erased_at_.end() &&
          kube::compare_resource_versions(meta.resource_version, erased->second) <= 0) {
        return true;
      }
    }
    return false;
  }
  void mark_all(const std::vector<kube::Packed>& listed) REQUIRES(mutex_) {
    for (const kube::Packed& object : listed) {
      const auto found = objects_.find(objects_.meta(object).key);
      if (found) kube::mark(objects_[*found], true);
    }
  }
  // What was not listed, and may not stay.
  void take_unlisted(const std::string& name_space, const std::string& version,
                     const Judge& may_stay, std::vector<Change>& changes) REQUIRES(mutex_) {
    for (std::size_t place = 0; place < objects_.size();) {
      const kube::Packed& object = objects_[place];
      const kube::ObjectMeta meta = objects_.meta(object);
      if (kube::marked(object) || !is_in(name_space, object) || may_stay(meta)) {
        ++place;
        continue;
      }
      erased_at_[name_space] = version;
      changes.push_back({objects_.take(place), nullptr});
    }
  }
  // The list is right about all that is as old as itself, even where its version is the lower one.
  void put_listed(kube::Packed object,
                  const std::function<bool(const kube::ObjectMeta& held,
                                           const kube::ObjectMeta& given)>& may_replace,
                  std::vector<Change>& changes) REQUIRES(mutex_) {
    const kube::ObjectMeta meta = objects_.meta(object);
    const auto found = objects_.find(meta.key);
    if (found && !may_replace(objects_.meta(objects_[*found]), meta)) {
      return objects_.release(std::move(object));
    }
    const char* after = object.get();
    changes.push_back({objects_.put(std::move(object)), after});
  }
  void notify(const Pointer& before, const Pointer& after, ChangeCause cause) const {
    for (const auto& listener : listeners_) listener(before, after, cause);
  }

  base::Mutex change_mutex_;  // held over a change and its notification: keeps their order
  mutable base::Mutex mutex_;
  PackedObjects objects_ GUARDED_BY(mutex_);
  // By the namespace that is watched ("": all): version of the last deletion that was told.
  std::map<std::string, std::string> erased_at_ GUARDED_BY(mutex_);
  std::map<std::string, std::string> reached_
      GUARDED_BY(mutex_);            // by a writer's namespace: what it has told of
  std::vector<Listener> listeners_;  // complete before the first change
};

// Decodes objects into a Store that it does not own. Several writers, each with a namespace of its
// own, may write to one store.
template <class T>
class TypedStoreWriter final : public StoreWriter {
 public:
  // Of the first snapshot, what `hurries` picks goes to the store as it comes; may be empty.
  explicit TypedStoreWriter(Store<T>& store, std::function<bool(const T&)> hurries = {})
      : store_(store), hurries_(std::move(hurries)) {}

  ~TypedStoreWriter() override { store_.drop(std::move(listed_)); }

  void begin_snapshot(const std::string& name_space, History history) override {
    name_space_ = name_space;
    history_ = history;
    store_.drop(std::exchange(listed_, {}));
    store_.begin_snapshot(name_space);
  }
  base::Expected<void> add_to_snapshot(const nlohmann::json& object) override {
    auto meta = read_meta(object);
    if (!meta) return tl::unexpected(std::move(meta.error()));
    // What has not changed is neither decoded again nor held twice.
    if (store_.mark_listed(*meta) && history_ == History::goes_on) return {};
    auto decoded = T::from_json(object);
    if (!decoded) {
      return tl::unexpected(base::Error{meta->key.text() + ": " + decoded.error().message});
    }
    if (cause_ == ChangeCause::initial && hurries_ && hurries_(*decoded)) {
      store_.put(*decoded, ChangeCause::initial);
    }
    listed_.push_back(store_.pack_listed(*decoded));
    return {};
  }
  void end_snapshot(const std::string& resource_version) override {
    store_.end_snapshot(name_space_, std::exchange(listed_, {}), resource_version, cause_,
                        history_);
    store_.reach(name_space_, resource_version);
    cause_ = ChangeCause::live;
  }
  base::Expected<void> upsert(const nlohmann::json& object) override {
    auto meta = read_meta(object);
    if (!meta) return tl::unexpected(std::move(meta.error()));
    auto decoded = T::from_json(object);
    if (!decoded) {
      return tl::unexpected(base::Error{meta->key.text() + ": " + decoded.error().message});
    }
    store_.put(std::move(*decoded));
    store_.reach(name_space_, meta->resource_version);
    return {};
  }
  base::Expected<void> erase(const nlohmann::json& object) override {
    auto meta = read_meta(object);
    if (!meta) return tl::unexpected(std::move(meta.error()));
    store_.erase_deleted(*meta, name_space_);
    store_.reach(name_space_, meta->resource_version);
    return {};
  }

 private:
  Store<T>& store_;
  std::function<bool(const T&)> hurries_;
  std::string name_space_;
  std::vector<kube::Packed> listed_;  // and not in the store in that version
  ChangeCause cause_ = ChangeCause::initial;
  History history_ = History::goes_on;
};

}  // namespace quay_rotator::runtime
