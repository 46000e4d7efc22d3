// Robots that wait to be adopted, and what a list of their organization tells of them: a burst of
// adoptions costs a request for each organization, not one for each robot.
//
// A list is read when several robots of an organization wait. While it is read, and for a moment
// after it, the others wait for it or the next one. Who waits alone, was looked for in vain or
// whose list failed is read by itself: a list of thousands is not read for one, and what is wrong
// with a robot only its own answer says.
//
// Tokens are kept of robots that wait and of no others, until they are taken, their resource needs
// them no more, or, from the next call on, they are `kept` old. A listed token is as old as its
// list: it is worth nothing before the registry has accepted it (see credential/adopt.h).
//
// Thread-safe; `executor` is asked for the time alone.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "api/robot_token_rotation.h"
#include "base/executor.h"
#include "base/mutex.h"
#include "base/secret_string.h"
#include "kube/object.h"
#include "quay/robots_api.h"

namespace quay_rotator::connection {

class Newcomers {
 public:
  static constexpr base::Duration pause = std::chrono::seconds(1);  // between two lists
  static constexpr base::Duration kept = std::chrono::seconds(10);
  static constexpr std::size_t longest_token = 256;  // Quay's have 64 characters

  // `wake` is called for whoever waits for a list when it is over.
  Newcomers(base::Executor& executor, std::function<void(const kube::ObjectKey&)> wake)
      : executor_(executor), wake_(std::move(wake)) {}

  // As the resource is now. Whether it waits is up to `may` (nothing forbids to adopt) and to
  // itself.
  void note(const api::RobotTokenRotation& rotation, bool may);
  void forget(const kube::ObjectKey& rotation);

  using Session = std::shared_ptr<const void>;  // a Session, told from others
  // A list that is being read; its end, however it comes, is the end of this object.
  class Listing final : public quay::TokenSeeker {
   public:
    ~Listing() override;
    Listing(const Listing&) = delete;
    Listing& operator=(const Listing&) = delete;
    bool wants(std::string_view full_name) override;
    void take(quay::RobotCredential credential) override;
    // All of it was read. Else it failed.
    void complete() { complete_ = true; }

   private:
    friend Newcomers;
    using Of = std::pair<kube::ObjectKey, std::string>;  // connection and organization
    Listing(Newcomers& newcomers, Of of) : newcomers_(newcomers), of_(std::move(of)) {}

    Newcomers& newcomers_;
    Of of_;
    bool complete_ = false;
  };
  // For a list that is read anyway. Null: nobody waits for it.
  std::unique_ptr<Listing> listen(const kube::ObjectKey& connection,
                                  const std::string& organization, const Session& session);

  // How a robot's first token is learnt.
  struct ReadRobot {};
  struct Wait {
    std::optional<base::MonotonicTime> until;  // or, with nothing, until `wake`
  };
  using ReadList = std::unique_ptr<Listing>;
  using Way = std::variant<ReadRobot, ReadList, Wait, quay::RobotCredential>;
  // By this session: what another one was told is no answer.
  Way way(const kube::ObjectKey& rotation, const Session& session);

 private:
  struct Robot {
    std::set<kube::ObjectKey> resources;
    std::optional<quay::RobotCredential> credential;
    bool sought = false;  // by the list that is being read
    bool alone = false;   // from now on: a list has told of it what it could
  };
  struct Group {
    std::map<std::string, Robot, std::less<>> robots;  // by their short name
    std::size_t open = 0;                              // of them that are not alone
    bool listing = false;
    bool holds = false;                         // tokens
    std::optional<base::MonotonicTime> listed;  // when the last list ended …
    bool failed = false;                        // … without an answer
    std::weak_ptr<const void> session;          // that read it
    std::vector<kube::ObjectKey> waiting;
  };
  using Of = Listing::Of;
  struct Place {
    Of of;
    std::string robot;
    bool operator==(const Place&) const = default;
  };
  void leave(const kube::ObjectKey& rotation) REQUIRES(mutex_);
  ReadList begin(const Of& of, Group& group, const Session& session) REQUIRES(mutex_);
  Robot* robot_of(const Of& of, std::string_view full_name) REQUIRES(mutex_);
  static void sweep(Group& group, base::MonotonicTime now);
  static void part(Group& group, Robot& robot);

  void end(const Of& of, bool complete);

  base::Executor& executor_;
  std::function<void(const kube::ObjectKey&)> wake_;
  base::Mutex mutex_;
  std::map<Of, Group> groups_ GUARDED_BY(mutex_);
  std::unordered_map<kube::ObjectKey, Place> places_ GUARDED_BY(mutex_);
};

}  // namespace quay_rotator::connection
