#include "torture/tcp_proxy.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <future>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace quay_rotator::torture {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

// Whether the other end has sent RST.
bool was_reset(tcp::socket& socket) {
  tcp_info info{};
  socklen_t size = sizeof info;
  return getsockopt(socket.native_handle(), IPPROTO_TCP, TCP_INFO, &info, &size) != 0 ||
         info.tcpi_state == TCP_CLOSE;
}

void close_with_reset(tcp::socket& socket) {
  error_code ignored;
  socket.set_option(asio::socket_base::linger(true, 0), ignored);
  socket.close(ignored);
}

}  // namespace

// Everything happens in its one thread.
struct TcpProxy::Network {
  // One direction of a connection: reads, writes, reads again; or waits for the end of a cut.
  struct Direction {
    tcp::socket& from;
    tcp::socket& to;
    bool to_server;
    std::array<char, 16384> buffer{};
    std::size_t pending = 0;  // read, not yet written
    bool ended = false;       // what was read is the end
    bool waiting = false;     // for the end of a cut
    bool done = false;        // the end is passed on
  };

  struct Connection : std::enable_shared_from_this<Connection> {
    Connection(Network& owner, tcp::socket accepted)
        : network(owner), client(std::move(accepted)), server(owner.context) {}

    Network& network;
    tcp::socket client;
    tcp::socket server;
    Direction up{client, server, true};
    Direction down{server, client, false};
    bool abandoned = false;

    void connect() {
      server.async_connect(network.target, [self = shared_from_this()](error_code error) {
        if (error || !self->client.is_open()) return self->reset();
        error_code ignored;
        self->client.set_option(tcp::no_delay(true), ignored);
        self->server.set_option(tcp::no_delay(true), ignored);
        self->read(self->up);
        self->read(self->down);
      });
    }
    void read(Direction& direction) {
      direction.from.async_read_some(
          asio::buffer(direction.buffer),
          [self = shared_from_this(), &direction](error_code error, std::size_t count) {
            if (error && error != asio::error::eof) return self->reset();
            direction.pending = count;
            direction.ended = error == asio::error::eof;
            self->forward(direction);
          });
    }
    void forward(Direction& direction) {
      direction.waiting = abandoned || network.is_cut(direction.to_server);
      if (direction.waiting) return;
      if (direction.ended) {
        error_code ignored;
        direction.to.shutdown(tcp::socket::shutdown_send, ignored);
        direction.done = true;
        if (up.done && down.done) reset();
        return;
      }
      asio::async_write(direction.to, asio::buffer(direction.buffer.data(), direction.pending),
                        [self = shared_from_this(), &direction](error_code error, std::size_t) {
                          if (error) return self->reset();
                          self->read(direction);
                        });
    }
    void heal(bool lost) {
      if (abandoned || !client.is_open()) return;
      if (!server.is_open()) return was_reset(client) ? reset() : connect();
      for (Direction* direction : {&up, &down}) {
        if (!direction->waiting) continue;
        if (lost || was_reset(direction->from)) return reset();
        forward(*direction);
      }
    }
    void reset() {
      if (abandoned) return;
      close_with_reset(client);
      close_with_reset(server);
    }
  };

  asio::io_context context;
  tcp::endpoint target;
  tcp::acceptor acceptor{context, {asio::ip::address_v4::loopback(), 0}};
  const std::uint16_t port = acceptor.local_endpoint().port();
  std::optional<Cut> cut;
  bool resetting = false;
  std::vector<std::shared_ptr<Connection>> connections;
  std::thread thread;

  explicit Network(std::uint16_t server_port)
      : target(asio::ip::address_v4::loopback(), server_port) {
    accept();
    thread = std::thread([this] { context.run(); });
  }
  ~Network() {
    context.stop();
    thread.join();
  }

  [[nodiscard]] bool is_cut(bool to_server) const {
    return cut && (*cut == Cut::both || (*cut == Cut::to_server) == to_server);
  }
  void accept() {
    acceptor.async_accept([this](error_code error, tcp::socket socket) {
      if (!error) {
        std::erase_if(connections, [](const auto& known) { return !known->client.is_open(); });
        connections.push_back(std::make_shared<Connection>(*this, std::move(socket)));
        if (resetting) connections.back()->reset();
        // During a cut its SYN is lost, or the answer to it: heal() connects.
        if (!resetting && !cut) connections.back()->connect();
      }
      accept();
    });
  }
  // Runs it in the thread and returns when it is done.
  template <class Act>
  void perform(Act act) {
    std::promise<void> done;
    asio::post(context, [&] {
      act();
      done.set_value();
    });
    done.get_future().wait();
  }
};

TcpProxy::TcpProxy(std::uint16_t server_port) : network_(std::make_unique<Network>(server_port)) {}
TcpProxy::~TcpProxy() = default;

std::uint16_t TcpProxy::port() const {
  return network_->port;
}

void TcpProxy::cut(Cut direction) {
  network_->perform([&] { network_->cut = direction; });
}

void TcpProxy::reset() {
  network_->perform([&] {
    network_->resetting = true;
    for (const auto& connection : network_->connections) connection->reset();
  });
}

void TcpProxy::abandon() {
  network_->perform([&] {
    for (const auto& connection : network_->connections) connection->abandoned = true;
  });
}

void TcpProxy::heal(bool lost) {
  network_->perform([&] {
    network_->cut.reset();
    network_->resetting = false;
    for (const auto& connection : std::vector(network_->connections)) connection->heal(lost);
  });
}

}  // namespace quay_rotator::torture
