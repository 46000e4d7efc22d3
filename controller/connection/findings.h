// What the last look at each connection learnt that its resources must know: whether Quay can be
// asked about their robots at all. A connection that fails, an organization that is gone or a token
// that may not read it concern every resource that names them, long before their next rotation.
//
// Kept in memory only: a process that starts knows nothing until it has looked, and says nothing
// until then.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>

#include "base/mutex.h"
#include "kube/object.h"

namespace quay_rotator::connection {

struct Trouble {
  std::string reason;   // CamelCase, as a condition's
  std::string message;  // for people
  // Only a person can end it. Otherwise it passes by itself: Quay is away for a while, and what the
  // Secrets hold is as good as it was.
  bool lasting = true;
  bool operator==(const Trouble&) const = default;
};

// Thread-safe.
class Findings {
 public:
  // By organization ("": the user of the API token); nothing: it can be read.
  using Organizations = std::map<std::string, std::optional<Trouble>>;

  // `found` is all that a look at the connection learnt; what it does not name is not known. A
  // passing trouble is told from its second look on: most have passed by then. Returns the
  // organizations whose resources have news.
  std::set<std::string> note(const kube::ObjectKey& connection, Organizations found);
  void forget(const kube::ObjectKey& connection);

  struct Known {
    std::optional<Trouble> trouble;  // nothing: Quay tells its robots
  };
  // Nothing: the connection has not been looked at, or not with that organization.
  [[nodiscard]] std::optional<Known> of(const kube::ObjectKey& connection,
                                        const std::string& organization) const;

 private:
  struct Finding {
    std::optional<Trouble> trouble;
    int looks = 0;  // in a row with this trouble
    [[nodiscard]] bool told() const { return !trouble || trouble->lasting || looks > 1; }
  };
  mutable base::Mutex mutex_;
  std::map<kube::ObjectKey, std::map<std::string, Finding>> findings_ GUARDED_BY(mutex_);
};

}  // namespace quay_rotator::connection
