// Writes the status of one kind of resource: the smallest patch, nothing when nothing changed,
// always with a precondition.
//
// T, as in Store, also has `status`, whose changes a function status_patch(before, after), found by
// its type, makes a merge patch of.
#pragma once

#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "kube/client.h"
#include "runtime/store.h"

namespace quay_rotator::runtime {

// A merge patch of the status that is refused unless the object is as `meta` says.
nlohmann::json conditional_status(const kube::ObjectMeta& meta, nlohmann::json change);
kube::Error malformed(const kube::ObjectKey& key, const base::Error& error);

// Thread-safe. What it wrote goes into the cache at once. Errors are the API server's; `malformed`
// where it answers with what cannot be read as a T.
template <class T>
class StatusWriter {
 public:
  using Status = decltype(T::status);

  // All must outlive it. `on_lost_history`: an object that is read after a conflict is older than
  // it was (see kube::proves_lost_history), and the cache does not know. May be empty.
  StatusWriter(kube::Client& client, const kube::Resource& resource, Store<T>& cache,
               std::function<void()> on_lost_history = {})
      : client_(client),
        resource_(resource),
        cache_(cache),
        on_lost_history_(std::move(on_lost_history)) {}

  // Writes only if the object is still at `object`'s resourceVersion; on success `object` is what
  // was written. A conflict brings the cache up to date.
  kube::Expected<void> write(T& object, const Status& status, const std::stop_token& stop) {
    auto written = attempt(object, status, stop);
    if (!written && written.error().kind == kube::Error::Kind::conflict) {
      (void)read_again(object.meta, stop);
    }
    return written;
  }

  // As write, but when somebody else has written in between, `decide` is asked again with what is
  // there now; it returns nothing when that is no longer ours to write (a success).
  using Decide = std::function<std::optional<Status>(const T& current)>;
  kube::Expected<void> write(T& object, const Decide& decide, const std::stop_token& stop) {
    constexpr int most_attempts = 5;
    for (int attempts = 1;; ++attempts) {
      const std::optional<Status> status = decide(object);
      if (!status) return {};
      auto written = attempt(object, *status, stop);
      if (written || written.error().kind != kube::Error::Kind::conflict) return written;
      auto current = read_again(object.meta, stop);
      if (attempts == most_attempts) return written;
      if (!current) {
        if (current.error().kind == kube::Error::Kind::not_found) return {};
        return tl::unexpected(current.error());
      }
      // Deleted and made anew: what happened to the old one is not about the new one.
      if (current->meta.uid != object.meta.uid) return {};
      object = std::move(*current);
    }
  }

  // Changes the object itself by a merge patch that holds its own precondition; an empty one is not
  // sent.
  kube::Expected<void> patch(const kube::ObjectKey& key, const nlohmann::json& change,
                             const std::stop_token& stop) {
    if (change.empty()) return {};
    auto written = send(key, "", change, stop);
    if (!written) return tl::unexpected(written.error());
    return {};
  }

 private:
  kube::Expected<void> attempt(T& object, const Status& status, const std::stop_token& stop) {
    if (object.status == status) return {};  // most often, and cheaper than JSON
    nlohmann::json change = status_patch(object.status, status);
    if (change.empty()) return {};
    auto written =
        send(object.meta.key, "status", conditional_status(object.meta, std::move(change)), stop);
    if (!written) return tl::unexpected(written.error());
    object = std::move(*written);
    return {};
  }

  // After a conflict.
  kube::Expected<T> read_again(const kube::ObjectMeta& refused, const std::stop_token& stop) {
    auto current = read(refused, stop);
    // One that was made anew waits for the watch: only in its order does the cache know by then
    // what else has changed.
    if (current && current->meta.uid == refused.uid) cache_.put(*current);
    return current;
  }

  static constexpr std::string_view field_manager = "quay-rotator";

  kube::Expected<T> send(const kube::ObjectKey& key, std::string_view subresource,
                         const nlohmann::json& change, const std::stop_token& stop) {
    auto object =
        parse(key, client_.merge_patch(resource_, key, subresource, change, field_manager, stop));
    if (object) cache_.put(*object);
    return object;
  }

  // What is there instead of `refused`, whose version a write has not found.
  kube::Expected<T> read(const kube::ObjectMeta& refused, const std::stop_token& stop) {
    auto current = parse(refused.key, client_.get(resource_, refused.key, stop));
    if (!current || !on_lost_history_) return current;
    const std::string& version = current->meta.resource_version;
    if (kube::proves_lost_history(refused.resource_version, version)) {
      // Once everything was listed anew, whoever still works on a copy from before proves no more.
      const auto held = cache_.find(refused.key);
      if (held && kube::proves_lost_history(held->meta.resource_version, version)) {
        on_lost_history_();
      }
    }
    return current;
  }

  static kube::Expected<T> parse(const kube::ObjectKey& key,
                                 const kube::Expected<nlohmann::json>& answer) {
    if (!answer) return tl::unexpected(answer.error());
    auto object = T::from_json(*answer);
    if (object) return std::move(*object);
    return tl::unexpected(malformed(key, object.error()));
  }

  kube::Client& client_;
  kube::Resource resource_;
  Store<T>& cache_;
  std::function<void()> on_lost_history_;
};

}  // namespace quay_rotator::runtime
