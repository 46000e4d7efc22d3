#include "runtime/store.h"

#include <algorithm>
#include <cstddef>

#include <nlohmann/json.hpp>

#include "base/json.h"

namespace quay_rotator::runtime {

base::Expected<kube::ObjectMeta> read_meta(const nlohmann::json& object) {
  auto name = base::required_string(object, "metadata.name");
  if (!name) return tl::unexpected(std::move(name.error()));
  auto name_space = base::string_or(object, "metadata.namespace", "");
  if (!name_space) return tl::unexpected(std::move(name_space.error()));
  auto uid = base::string_or(object, "metadata.uid", "");
  if (!uid) return tl::unexpected(std::move(uid.error()));
  auto version = base::required_string(object, "metadata.resourceVersion");
  if (!version) return tl::unexpected(std::move(version.error()));
  return kube::ObjectMeta{
      {std::move(*name_space), std::move(*name)}, std::move(*uid), std::move(*version)};
}

std::size_t PackedObjects::lower_bound(const kube::ObjectKey& key) const {
  const kube::Unpacker::Key wanted{key.name_space, key.name};
  const auto found = std::lower_bound(objects_.begin(), objects_.end(), wanted,
                                      [](const kube::Packed& object, const auto& than) {
                                        return kube::Unpacker::key(object.get()) < than;
                                      });
  return static_cast<std::size_t>(found - objects_.begin());
}

std::optional<std::size_t> PackedObjects::find(const kube::ObjectKey& key) const {
  const std::size_t place = lower_bound(key);
  if (place == objects_.size()) return std::nullopt;
  const kube::Unpacker::Key there = kube::Unpacker::key(objects_[place].get());
  if (there != kube::Unpacker::Key{key.name_space, key.name}) return std::nullopt;
  return place;
}

kube::ObjectMeta PackedObjects::meta(const kube::Packed& object) const {
  kube::ObjectMeta meta;
  kube::Unpacker(object.get(), texts_)(meta);
  return meta;
}

kube::Packed PackedObjects::put(kube::Packed object) {
  const kube::Unpacker::Key key = kube::Unpacker::key(object.get());
  const std::size_t place = lower_bound({std::string(key.name_space), std::string(key.name)});
  if (place < objects_.size() && kube::Unpacker::key(objects_[place].get()) == key) {
    kube::mark(object, kube::marked(objects_[place]));
    return std::exchange(objects_[place], std::move(object));
  }
  objects_.insert(objects_.begin() + static_cast<std::ptrdiff_t>(place), std::move(object));
  return nullptr;
}

kube::Packed PackedObjects::take(std::size_t place) {
  kube::Packed object = std::move(objects_[place]);
  objects_.erase(objects_.begin() + static_cast<std::ptrdiff_t>(place));
  return object;
}

void PackedObjects::release(kube::Packed object) {
  if (object) kube::release(std::move(object), texts_);
}

}  // namespace quay_rotator::runtime
