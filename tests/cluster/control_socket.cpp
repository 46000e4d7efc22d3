#include "cluster/control_socket.h"

#include <stdexcept>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

namespace quay_rotator::cluster {

nlohmann::json ControlSocket::call(const std::string& method, const std::string& target,
                                   const nlohmann::json& body) const {
  namespace http = boost::beast::http;
  boost::asio::io_context context;
  boost::asio::local::stream_protocol::socket socket(context);
  socket.connect(path_);
  http::request<http::string_body> request(http::string_to_verb(method), target, 11);
  request.set(http::field::host, "control");
  request.set(http::field::connection, "close");
  if (!body.is_null()) {
    request.set(http::field::content_type, "application/json");
    request.body() = body.dump();
  }
  request.prepare_payload();
  http::write(socket, request);
  boost::beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(std::uint64_t{64} << 20U);
  http::read(socket, buffer, parser);
  const auto& response = parser.get();
  if (response.result_int() / 100 != 2) {
    throw std::runtime_error(method + " " + target + ": " + std::to_string(response.result_int()) +
                             " " + response.body());
  }
  if (response.body().empty()) return nullptr;
  return nlohmann::json::parse(response.body());
}

}  // namespace quay_rotator::cluster
