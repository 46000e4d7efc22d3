// The reflector's decisions: list, watch, relist, back off. Pure: no socket, no clock, no sleep.
//
// Mirrors client-go's reflector: the first list is paged with resourceVersion "", an expired
// continue token means one full unpaged list, a watch goes on from the last version it saw (events
// and bookmarks), 410 means relist, 429 and refused connections back off and keep the version.
//
// Unlike client-go it does not trust that history only goes on: etcd may have been put back to an
// older state, and a watch from a version that the server has not reached is silent. Before a watch
// goes on, however the last one ended, the server is asked whether it has reached the version;
// where it has not, or a list is older than what was seen, everything is listed to replace what is
// held. A server that has passed that version by then looks as if nothing had happened; so it is
// asked too what it had at exactly that version of the object that was told of last, which must be
// what was told. A kind of which nothing had been told since before the state that was put back is
// left to others that read single objects (on_lost_history), the Lease of every two seconds above
// all.
//
// Usage: perform next(), feed what happened to one of the on_… members, repeat.
//
// Delays grow from 0.8 s to 30 s and start over once a watch has lived for two minutes. Retry-After
// is honoured up to the same 30 s, and a random part on top. Not synchronized.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/time.h"
#include "kube/client.h"
#include "runtime/store.h"

namespace quay_rotator::runtime {

class ReflectorState {
 public:
  struct ListPage {  // fetch a page; `first`: throw away what an earlier attempt collected
    std::string continue_token;
    int limit = 500;
    bool first = true;
    History history = History::goes_on;
    bool operator==(const ListPage&) const = default;
  };
  struct Told {  // of an object
    kube::ObjectKey key;
    std::string resource_version;
    bool deleted = false;
    bool operator==(const Told&) const = default;
  };
  struct Check {  // ask whether the server has reached that version, and for `last` as it was then
    std::string resource_version;
    Told last;
    bool operator==(const Check&) const = default;
  };
  struct Watch {
    std::string resource_version;
    bool operator==(const Watch&) const = default;
  };
  struct Wait {  // then ask again
    base::Duration delay;
    bool operator==(const Wait&) const = default;
  };
  using Action = std::variant<ListPage, Check, Watch, Wait>;

  [[nodiscard]] Action next() const;

  // A page came; the store swaps its snapshot when complete() turns true.
  void on_page(const std::string& resource_version, const std::string& continue_token);
  void on_list_error(const kube::Error& error, std::uint64_t random);
  // It had an object of that version: true where none was newer, and on_told() is to follow.
  [[nodiscard]] bool is_news(std::string_view resource_version) const;
  // A list, or an event, told of an object.
  void on_told(Told object) { last_ = std::move(object); }
  // The server answered a check; it is at `resource_version`, and the object that was told of last
  // was at `last` (nothing: there was none).
  void on_checked(const std::string& resource_version, const std::optional<std::string>& last);
  void on_check_error(const kube::Error& error, std::uint64_t random);
  // An event or a bookmark with its object's version.
  void on_watch_version(const std::string& resource_version);
  // An ERROR event, carrying a Status with `code`, ended a watch that lived for `lived`.
  void on_watch_status(int code, base::Duration lived, std::uint64_t random);
  // The stream ended well after `lived`; `events` counts events and bookmarks.
  void on_watch_end(base::Duration lived, int events, std::uint64_t random);
  void on_watch_error(const kube::Error& error, base::Duration lived, std::uint64_t random);
  void on_waited();
  // Somebody else has proof (see kube::proves_lost_history).
  void on_lost_history();

  // The whole snapshot has been listed.
  [[nodiscard]] bool complete() const { return phase_ == Phase::watching; }
  // What is being listed replaces whatever is held.
  [[nodiscard]] History history() const { return history_; }

 private:
  enum class Phase { listing, watching };
  void back_off(std::uint64_t random, const std::optional<base::Duration>& retry_after = {});
  void relist();
  void start_over();
  void check_first();

  Phase phase_ = Phase::listing;
  std::string continue_token_;
  int limit_ = 500;
  std::string version_;
  std::optional<Told> last_;
  bool must_check_ = false;
  History history_ = History::goes_on;
  int failures_ = 0;
  base::Duration wait_{};
};

}  // namespace quay_rotator::runtime
