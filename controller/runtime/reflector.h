// Keeps a store equal to what the API server holds: drives ReflectorState with a kube::Client.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "base/executor.h"
#include "base/log.h"
#include "kube/client.h"
#include "runtime/store.h"

namespace quay_rotator::runtime {

struct ReflectorOptions {
  std::string name_space;  // "" watches all
  std::string label_selector;
};

// Owns its thread: starts in the constructor, stops and joins in the destructor. Everything that
// it is given must outlive it; `client` should be one of its own (a stuck watch must not hold up
// requests).
class Reflector {
 public:
  Reflector(const kube::Resource& resource, ReflectorOptions options, kube::Client& client,
            std::unique_ptr<StoreWriter> writer, base::Executor& executor, base::Log log);
  ~Reflector();

  // The first snapshot is in the store. Thread-safe.
  [[nodiscard]] bool synced() const { return synced_; }
  // The last reason why listing or watching failed, in words; empty when all is well. Thread-safe.
  [[nodiscard]] std::string trouble() const;

 private:
  void run(const std::stop_token& stop);
  void list_page(const std::string& continue_token, int limit, bool first,
                 const std::stop_token& stop);
  void watch(const std::string& resource_version, const std::stop_token& stop);
  void set_trouble(std::string text);

  struct Driver;
  const kube::Resource& resource_;
  ReflectorOptions options_;
  kube::Client& client_;
  std::unique_ptr<StoreWriter> writer_;
  base::Executor& executor_;
  base::Log log_;
  std::atomic<bool> synced_ = false;
  mutable std::mutex mutex_;
  std::string trouble_;
  std::unique_ptr<Driver> driver_;
  std::unique_ptr<base::Thread> thread_;
};

}  // namespace quay_rotator::runtime
