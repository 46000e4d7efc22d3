// The resources that are looked after: with two Secrets each, spread evenly over ten namespaces
// with a QuayConnection each, and over five of Quay's organizations in each namespace.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "kube/object.h"

namespace quay_rotator::bench {

class Population {
 public:
  static constexpr std::size_t namespaces = 10;
  static constexpr std::size_t organizations_each = 5;

  // Quay holds the robots of `most` resources from the beginning.
  explicit Population(std::size_t most);

  [[nodiscard]] std::size_t size() const { return size_; }
  // Makes the resources up to that number; nobody has looked at the new ones yet.
  void create_up_to(std::size_t size);

  [[nodiscard]] static std::string name_space(std::size_t resource);
  [[nodiscard]] static kube::ObjectKey key(std::size_t resource);
  // "organization+robot"
  [[nodiscard]] static std::string robot(std::size_t resource);
  [[nodiscard]] static std::vector<kube::ObjectKey> secrets(std::size_t resource);
  // How many of Quay's organizations have a robot of theirs.
  [[nodiscard]] std::size_t organizations() const;

  // A person asks to rotate it now; each request is a new one.
  void request(std::size_t resource);
  void request(const std::vector<std::size_t>& resources);
  // `count` of them, others than the last time as long as there are any.
  std::vector<std::size_t> next(std::size_t count);
  // A connection's spec.rateLimit; null, as in the beginning, for none.
  static void limit_rate(std::size_t name_space, const nlohmann::json& limit);

  // Secrets that do not hold the token that Quay holds.
  [[nodiscard]] std::size_t wrong_secrets() const;

 private:
  std::size_t size_ = 0;
  std::size_t next_ = 0;
  std::size_t requests_ = 0;
};

// Each number below `count`, on several threads; the first exception is thrown on.
void in_parallel(std::size_t count, const std::function<void(std::size_t)>& act);

}  // namespace quay_rotator::bench
