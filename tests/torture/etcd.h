// The etcd of the environment, through its JSON gateway: how it runs out of space, and back.
#pragma once

#include <cstddef>
#include <string>

#include <nlohmann/json_fwd.hpp>

namespace quay_rotator::torture {

// Not synchronized. Every call throws std::runtime_error when etcd answers something unexpected.
class Etcd {
 public:
  // `url` is http://host:port.
  explicit Etcd(const std::string& url);

  // Writes until etcd refuses to: the alarm NOSPACE is raised, and stays.
  void overflow();
  // What an administrator does about it: deletes, compacts, defragments, disarms the alarm.
  void recover();
  // Forgets old revisions, so that a long run does not fill it by itself.
  void compact();

 private:
  nlohmann::json call(const std::string& path, const nlohmann::json& body, int& status) const;
  nlohmann::json call(const std::string& path, const nlohmann::json& body) const;
  // False when the quota is exceeded.
  bool put(std::size_t bytes);

  std::string host_;
  std::string port_;
  int keys_ = 0;
};

}  // namespace quay_rotator::torture
