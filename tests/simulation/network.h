// The way between a process and a server of the simulated world, and what happens on it.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "http/transport.h"
#include "simulation/fault.h"
#include "simulation/process.h"

namespace quay_rotator::simulation {

// What was sent, with the secrets readable.
struct Message {
  http::Method method = http::Method::get;
  std::string_view target;
  std::string_view authorization;
  std::string_view content_type;
  std::string_view body;
  base::Duration held{};  // how long its sender was frozen right before it was sent
};

struct Reply {
  // The next piece of a streamed body; nothing: its end. Waits on the asking process, and no longer
  // than `silence`: then there is an empty piece.
  using Source = std::function<tl::expected<std::optional<std::string>, http::Error>(
      base::MonotonicTime silence, const std::stop_token& stop)>;

  int status = 200;
  std::string body = {};
  std::vector<http::Header> headers = {};
  bool lost = false;       // the connection ends in place of this answer
  base::Duration delay{};  // the server takes that long to answer
  Source source = {};      // for stream(): instead of `body`
};

// What happens to one request on its way.
struct Journey {
  base::Duration there{};
  base::Duration back{};
  bool refused = false;     // no connection: certainly not sent
  bool lost_there = false;  // the connection ends before the server has read it
  bool lost_back = false;   // … after the server has done it
  bool late = false;        // … long before: the server gets to it when nobody waits any more
  bool arrives_without_sender =
      false;  // the sender dies meanwhile: the server does it all the same
};

// How often what happens, while it happens at all; each a probability.
struct NetworkFaults {
  double refused = 0;
  double lost_there = 0;
  double lost_back = 0;
  double slow = 0;  // a way of up to twice the usual deadlines
};

// The seed's source of chance for one part of the world.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : engine_(seed) {}
  bool chance(double probability) {
    return probability > 0 && static_cast<double>(engine_() >> 11U) * 0x1p-53 < probability;
  }
  std::uint64_t below(std::uint64_t limit) { return limit == 0 ? 0 : engine_() % limit; }
  base::Duration between(base::Duration least, base::Duration most) {
    return least + base::Duration(static_cast<base::Duration::rep>(
                       below(static_cast<std::uint64_t>((most - least).count()) + 1)));
  }

 private:
  std::mt19937_64 engine_;
};

// Handles one request at once: time passes only on the way.
class Server {
 public:
  virtual ~Server() = default;
  // Right before it is sent: how long its sender is frozen there.
  virtual base::Duration held(const Message& /*message*/) { return {}; }
  virtual Journey journey(const Message& message, Process& caller) = 0;
  virtual Reply handle(const Message& message, Process& caller) = 0;
  // Takes a copy, to handle it at a time of its own.
  virtual void handle_late(const Message& /*message*/, Process& /*caller*/) {}

  // A fault has met that request. May be empty.
  std::function<void(FaultKind, const Message&, Process& caller)> on_fault;

 protected:
  // `kinds`: the names of NetworkFaults' members, in their order.
  Journey draw_journey(Dice& dice, const NetworkFaults& faults,
                       const std::array<FaultKind, 4>& kinds, const Message& message,
                       Process& caller);
  bool strikes(Dice& dice, double rate, FaultKind kind, const Message& message, Process& caller) {
    if (!dice.chance(rate)) return false;
    if (on_fault) on_fault(kind, message, caller);
    return true;
  }
};

// A Transport of one process to one server. Neither is owned.
class Connection final : public http::Transport {
 public:
  Connection(Process& process, Server& server) : process_(process), server_(server) {}

  tl::expected<http::Response, http::Error> send(const http::Request& request,
                                                 const http::CallOptions& options) override;
  tl::expected<http::Response, http::Error> stream(
      const http::Request& request, const http::StreamOptions& options,
      const std::function<bool(std::string_view)>& on_data) override;

 private:
  tl::expected<Reply, http::Error> exchange(const http::Request& request, base::Duration deadline,
                                            const std::stop_token& stop);

  Process& process_;
  Server& server_;
};

}  // namespace quay_rotator::simulation
