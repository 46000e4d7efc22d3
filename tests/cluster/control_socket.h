// JSON over HTTP on a unix socket: how the environment and the Quay simulator are controlled.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

namespace quay_rotator::cluster {

class ControlSocket {
 public:
  explicit ControlSocket(std::string path) : path_(std::move(path)) {}
  // The answer of a 2xx (null when it has no body); throws std::runtime_error with the server's
  // words otherwise.
  nlohmann::json call(const std::string& method, const std::string& target,
                      const nlohmann::json& body = nullptr) const;
  nlohmann::json get(const std::string& target) const { return call("GET", target); }
  nlohmann::json post(const std::string& target, const nlohmann::json& body = nullptr) const {
    return call("POST", target, body);
  }
  nlohmann::json put(const std::string& target, const nlohmann::json& body) const {
    return call("PUT", target, body);
  }
  nlohmann::json remove(const std::string& target) const { return call("DELETE", target); }

 private:
  std::string path_;
};

}  // namespace quay_rotator::cluster
