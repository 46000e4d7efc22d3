// The API server as the configuration names it now: whatever was read is read again.
//
// Certificates, keys and tokens are replaced under a program that runs. Every file (the kubeconfig
// itself, a CA, a client certificate and its key, a token) is looked at again a minute after the
// last time, and at once when the server has refused us or we its certificate; an exec plugin
// brings new ones when the old ones expire. Transports that were opened here go over to the new
// material with their next call; what is under way on the old one is let be. What cannot be read,
// or is nonsense, changes nothing and is logged.
//
// The server's address and the context are those of the start: caches belong to one cluster.
//
// Thread-safe. Must outlive its transports; what it is given must outlive it. Nothing waits in here
// but for what Credentials of an exec plugin wait for.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "base/executor.h"
#include "base/log.h"
#include "base/mutex.h"
#include "http/transport.h"
#include "kube/configuration.h"

namespace quay_rotator::kube {

class ApiServer final : public Credentials {
 public:
  // Reads the configuration anew.
  using Load = std::function<base::Expected<Configuration>()>;

  ApiServer(Configuration configuration, Load load, http::TransportFactory& transports,
            base::Executor& executor, base::Log log);

  // What stays as it was at the start.
  [[nodiscard]] const std::string& url() const { return url_; }
  [[nodiscard]] const std::string& name_space() const { return name_space_; }
  [[nodiscard]] const std::string& source() const { return source_; }

  // Errors: as of TransportFactory::open. Requests' targets are below the configuration's path.
  tl::expected<std::unique_ptr<http::Transport>, http::Error> open();

  base::Expected<base::SecretString> bearer_token() override;
  void invalidate() override;

 private:
  class FollowingTransport;
  // Changes with what a transport is made of: files, and certificates of a plugin.
  using Version = std::pair<std::uint64_t, std::uint64_t>;

  void look();
  void look_soon();
  void distrust();
  // Why what was read anew is not to be used; empty when it is.
  [[nodiscard]] std::string why_not(const Configuration& loaded) const;
  [[nodiscard]] std::shared_ptr<Credentials> credentials() const;
  [[nodiscard]] Version version() const;
  [[nodiscard]] http::Endpoint endpoint() const;

  const Load load_;
  http::TransportFactory& transports_;
  base::Executor& executor_;
  const base::Log log_;
  const std::string url_;
  const std::string name_space_;
  const std::string source_;

  mutable base::Mutex mutex_;
  Configuration configuration_ GUARDED_BY(mutex_);  // but for its credentials
  std::shared_ptr<Credentials> credentials_ GUARDED_BY(mutex_);
  std::uint64_t changes_ GUARDED_BY(mutex_) = 0;
  base::MonotonicTime looked_ GUARDED_BY(mutex_);
  base::MonotonicTime look_again_ GUARDED_BY(mutex_);
  std::string trouble_ GUARDED_BY(mutex_);
};

}  // namespace quay_rotator::kube
