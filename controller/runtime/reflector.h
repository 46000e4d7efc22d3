// Keeps a store equal to what the API server holds: drives ReflectorState with a kube::Client.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/executor.h"
#include "base/log.h"
#include "kube/client.h"
#include "runtime/store.h"

namespace quay_rotator::runtime {

class Reflector;

struct ReflectorOptions {
  std::string name_space;  // "" watches all
  std::string label_selector;
  // Lists only when that one has its first snapshot or is in trouble; must outlive this one.
  const Reflector* after = nullptr;
  // It has found that the API server's history went back, and others may not have. Called from its
  // thread, must not block. May be empty.
  std::function<void()> on_lost_history = {};
};

// Owns its thread: starts in the constructor, stops and joins in the destructor. Everything that
// it is given must outlive it; `client` should be one of its own (a stuck watch must not hold up
// requests). An object that cannot be decoded is a warning in the log and stops nothing.
class Reflector {
 public:
  Reflector(const kube::Resource& resource, ReflectorOptions options, kube::Client& client,
            std::unique_ptr<StoreWriter> writer, base::Executor& executor, const base::Log& log);
  ~Reflector();

  // The store is what the API server holds: there was a first snapshot, and since then something
  // was heard of the API server in each five minutes. Thread-safe.
  [[nodiscard]] bool synced() const;
  // The last reason why listing or watching failed, in words; empty when all is well. After a
  // failed watch that means the next event or bookmark, which comes within a minute or so.
  // Thread-safe.
  [[nodiscard]] std::string trouble() const;
  // What keeps its thread from going on, whatever the API server does; empty when it gets on.
  // Thread-safe.
  [[nodiscard]] std::string stuck() const;
  // There is proof that the API server's history went back (kube::proves_lost_history): the watch
  // ends, and what is listed anew replaces everything. Thread-safe, does not block.
  void on_lost_history();

 private:
  struct Driver;
  std::unique_ptr<Driver> driver_;
  std::unique_ptr<base::Thread> thread_;
};

}  // namespace quay_rotator::runtime
