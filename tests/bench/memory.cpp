#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

#include "bench/bench.h"
#include "bench/tenants.h"
#include "cluster/cluster.h"
#include "contract/raw_server.h"

namespace quay_rotator::bench {

using cluster::cluster;
using contract::Connection;
using contract::RawServer;
using nlohmann::json;

namespace {

// Enough of each for every worker, whatever the share of a lane or a namespace.
constexpr int namespaces = 4;
constexpr int connections_each = 4;
constexpr int resources_each = 6;
constexpr double goal = 64;  // MiB
constexpr std::size_t list_size = 62U << 20U;

std::string name_space(int number) {
  return "hostile-" + std::to_string(number);
}

bool asks_for(const std::string& request, std::string_view what) {
  return request.substr(0, request.find(" HTTP/")).find(what) != std::string::npos;
}

bool is_list(const std::string& request) {
  return request.substr(0, request.find(" HTTP/")).ends_with("/robots");
}

constexpr const char* begin_chunks =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
constexpr const char* begin_broken_chunks =
    "HTTP/1.1 500 Broken\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";

// A Quay that has no robots, but for what `hostile` does instead: true when it did.
RawServer::Script quay(std::function<bool(Connection&, const std::string& request)> hostile) {
  return [hostile = std::move(hostile)](Connection& peer) {
    for (std::string request; !(request = peer.read_request()).empty();) {
      if (hostile(peer, request)) return;
      const bool list = is_list(request) || asks_for(request, "/user/robots?");
      if (!peer.write(list ? contract::answer(200, R"({"robots":[]})")
                           : contract::answer(404, R"({"error_type":"not_found"})"))) {
        return;
      }
    }
  };
}

// `size` bytes in pieces, and then silence until the peer goes.
bool pour(Connection& peer, const std::string& begin, const std::string& piece, std::size_t size,
          bool chunked) {
  bool open = peer.write(begin);
  for (std::size_t sent = 0; open && sent < size; sent += piece.size()) {
    open = chunked ? peer.write(contract::chunk(piece)) : peer.write(piece);
  }
  if (open) static_cast<void>(peer.wait_closed());
  return true;
}

std::string rows() {
  std::string text;
  for (int i = 0; text.size() < 30'000; ++i) {
    text += R"({"name":"elsewhere+robot-)" + std::to_string(i) + R"(","token":")" +
            std::string(64, 'T') + R"(","created":"Thu, 01 Jan 2026 00:00:00 -0000"},)";
  }
  return text;
}

// What the servers do next; each connection of theirs asks when it gets a request.
class Act {
 public:
  using Script = RawServer::Script;
  void set(Script script) {
    const std::lock_guard lock(mutex_);
    script_ = std::make_shared<const Script>(std::move(script));
  }
  void play(Connection& peer) {
    std::shared_ptr<const Script> script;
    {
      const std::lock_guard lock(mutex_);
      script = script_;
    }
    (*script)(peer);
  }

 private:
  std::mutex mutex_;
  std::shared_ptr<const Script> script_;
};

struct Attack {
  std::string what;
  RawServer::Script script;
  bool by_proxy = false;
};

std::vector<Attack> attacks() {
  const std::string filler(30'000, 'A');
  const std::string header = filler + "\r\nX-A: ";
  const auto on_list = [](const std::string& begin, const std::string& piece) {
    return quay([=](Connection& peer, const std::string& request) {
      return is_list(request) && pour(peer, begin, piece, list_size, true);
    });
  };
  // Not the lists, so that the connection counts as one that answers.
  const auto on_robots = [](const std::string& begin, const std::string& piece, std::size_t size) {
    return quay([=](Connection& peer, const std::string& request) {
      return !is_list(request) && !asks_for(request, "/user/robots?") &&
             pour(peer, begin, piece, size, false);
    });
  };
  const std::string chunks = begin_chunks;
  std::vector<Attack> all{
      {"robot lists of 62 MB: rows", on_list(chunks + contract::chunk(R"({"robots":[)"), rows())},
      {"robot lists of 62 MB: one key",
       on_list(chunks + contract::chunk(R"({"robots":[{")"), filler)},
      {"robot lists of 62 MB: one error message",
       on_list(begin_broken_chunks + contract::chunk(R"({"message":")"), filler)}};
  // The worst is what stops right before it would be cut off.
  for (const std::size_t size : {std::size_t{60U << 10U}, std::size_t{240U << 10U}, list_size}) {
    const std::string name =
        size == list_size ? "endless " : std::to_string(size >> 10U) + " KiB and silence, ";
    all.push_back({name + "bodies",
                   on_robots("HTTP/1.1 200 OK\r\nContent-Length: 65011712\r\n\r\n{\"name\":\"",
                             filler, size)});
    all.push_back({name + "headers", on_robots("HTTP/1.1 200 OK\r\nX-A: ", header, size)});
    all.push_back({name + "chunks", on_robots(chunks + "3e00000\r\n{\"name\":\"", filler, size)});
  }
  all.push_back({"endless headers of proxies",
                 [=](Connection& peer) {
                   if (peer.read_request().empty()) return;
                   pour(peer, "HTTP/1.1 200 OK\r\nX-A: ", header, list_size, false);
                 },
                 true});
  return all;
}

void resources(const std::string& connection_of, int n) {
  for (int r = 0; r < resources_each; ++r) {
    rotate({name_space(n), connection_of + "-" + std::to_string(r)}, connection_of);
  }
}

void connections_and_resources(const std::string& prefix, const std::string& url,
                               const json& more) {
  for (int n = 0; n < namespaces; ++n) {
    for (int c = 0; c < connections_each; ++c) {
      const std::string name = prefix + std::to_string(c);
      connect({name_space(n), name}, url, more);
      resources(name, n);
    }
  }
}

void delete_all(const std::string& kinds) {
  in_parallel(namespaces, [&](std::size_t n) {
    cluster().kubectl_ok({"delete", kinds, "--all", "-n", name_space(static_cast<int>(n))});
  });
}

void report(Bench& bench, const std::string& what, const Memory& memory) {
  if (memory.peak == 0) throw std::runtime_error("the operator has ended beside " + what);
  bench.table.add({.what = "memory beside " + what,
                   .size = bench.size(),
                   .figure = in_mebibytes(memory.peak) + ", then " + in_mebibytes(memory.resident),
                   .goal = "peak <= 64 MiB",
                   .met = memory.peak <= goal});
}

// What an operator needs that starts beside all that, and is left with after a while. Without a
// lease, which it could lose while a busy machine takes its time.
void measure_beside(Bench& bench, const std::string& what) {
  ShippedOperator running({.leader_elect = false});
  running.wait_until_synced();
  usleep(bench.quick ? 10'000'000 : 30'000'000);  // nothing tells that an attack is over
  report(bench, what, running.memory());
}

void report_servers(Bench& bench, const contract::Identity& authority) {
  contract::CertificateRequest request;
  request.alternative_names = "DNS:localhost,IP:127.0.0.1";
  contract::ServerOptions options;
  options.identity = contract::issue(authority, request);
  const auto act = std::make_shared<Act>();
  const auto play = [act](Connection& peer) { act->play(peer); };
  RawServer server(play, options);
  RawServer proxy(play);
  for (const Attack& attack : attacks()) {
    // New ones: whoever has met with failure before would wait first.
    delete_all("rtr,quayconnections");
    if (attack.by_proxy) {
      connections_and_resources("proxied-", "https://localhost:1",
                                {{"proxyURL", "http://localhost:" + std::to_string(proxy.port())}});
    } else {
      connections_and_resources("quay-", "https://localhost:" + std::to_string(server.port()),
                                json::object());
    }
    act->set(attack.script);
    const std::size_t before = server.requests().size() + proxy.requests().size();
    measure_beside(bench, attack.what);
    if (server.requests().size() + proxy.requests().size() == before) {
      throw std::runtime_error("nothing was asked of hostile servers");
    }
  }
  delete_all("rtr,quayconnections");
}

json labels(int count) {
  json all = json::object();
  for (int i = 0; i < count; ++i) all["l" + std::to_string(i)] = "";
  return all;
}

void create_secrets(const json& body, int count) {
  in_parallel(static_cast<std::size_t>(count), [&](std::size_t i) {
    json secret = manifest("v1", "Secret", "large-" + std::to_string(i));
    secret.update(body, true);
    create(kube::secrets, name_space(static_cast<int>(i) % namespaces), secret);
  });
}

// The Secrets that create_secrets() made are the connections' API tokens, and the resources'
// targets.
void use_secrets() {
  for (int n = 0; n < namespaces; ++n) {
    for (int c = 0; c < connections_each; ++c) {
      const std::string name = "large-" + std::to_string(c * namespaces + n);
      connect({name_space(n), name}, "https://localhost:1",
              {{"credentialsSecretRef", {{"name", name}}}});
      resources(name, n);
    }
  }
}

void report_secrets(Bench& bench) {
  constexpr int count = 120;
  const json ours{{"metadata", {{"labels", {{"app.kubernetes.io/managed-by", "quay-rotator"}}}}}};
  json large = ours;
  large["stringData"] = {{"token", std::string(1'000'000, 'A')}};
  create_secrets(large, count);
  measure_beside(bench, "120 Secrets of 1 MB with our label");
  use_secrets();
  measure_beside(bench, "API tokens' Secrets of 1 MB");
  delete_all("rtr,quayconnections,secrets");

  // With ten times as many the API server itself takes longer than anybody waits for it.
  json labelled = ours;
  labelled["metadata"]["labels"].update(labels(10'000));
  try {
    create_secrets(labelled, count);
  } catch (const std::runtime_error& error) {
    return Table::note(std::string("Secrets with 10,000 labels are not measured: ") + error.what());
  }
  measure_beside(bench, "120 Secrets with 10,000 labels");
  use_secrets();
  measure_beside(bench, "API tokens' Secrets with 10,000 labels");
}

}  // namespace

// Whatever servers answer and tenants write, and however many of them at once.
void measure_memory(Bench& bench) {
  const contract::Identity authority = contract::make_authority();
  for (int n = 0; n < namespaces; ++n) move_in(name_space(n), authority.certificate);
  report_servers(bench, authority);
  report_secrets(bench);
  for (int n = 0; n < namespaces; ++n) move_out(name_space(n));
}

}  // namespace quay_rotator::bench
