#include "torture/etcd.h"

#include <stdexcept>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <nlohmann/json.hpp>

#include "base/base64.h"

namespace quay_rotator::torture {

using nlohmann::json;

namespace {

constexpr std::size_t megabyte = 1U << 20U;
constexpr const char* prefix = "torture/";
constexpr const char* prefix_end = "torture0";  // '0' follows '/'

std::string encoded(const std::string& text) {
  return std::string(base::base64_encode(text).reveal());
}

}  // namespace

Etcd::Etcd(const std::string& url) {
  const std::size_t colon = url.rfind(':');
  host_ = url.substr(url.find("//") + 2, colon - url.find("//") - 2);
  port_ = url.substr(colon + 1);
}

json Etcd::call(const std::string& path, const json& body, int& status) const {
  namespace http = boost::beast::http;
  boost::asio::io_context context;
  boost::asio::ip::tcp::socket socket(context);
  socket.connect(
      {boost::asio::ip::make_address(host_), static_cast<std::uint16_t>(std::stoi(port_))});
  http::request<http::string_body> request(http::verb::post, path, 11);
  request.set(http::field::host, host_);
  request.set(http::field::content_type, "application/json");
  request.body() = body.dump();
  request.prepare_payload();
  http::write(socket, request);
  boost::beast::flat_buffer buffer;
  http::response<http::string_body> response;
  http::read(socket, buffer, response);
  status = response.result_int();
  return json::parse(response.body(), nullptr, false);
}

json Etcd::call(const std::string& path, const json& body) const {
  int status = 0;
  json answer = call(path, body, status);
  if (status != 200) throw std::runtime_error("etcd: POST " + path + ": " + answer.dump());
  return answer;
}

bool Etcd::put(std::size_t bytes) {
  int status = 0;
  const json answer = call("/v3/kv/put",
                           {{"key", encoded(prefix + std::to_string(keys_++))},
                            {"value", encoded(std::string(bytes, 'x'))}},
                           status);
  if (status == 200) return true;
  if (answer.dump().find("space exceeded") != std::string::npos) return false;
  throw std::runtime_error("etcd: a put: " + answer.dump());
}

void Etcd::overflow() {
  while (put(megabyte)) {
  }
}

void Etcd::compact() {
  const json answer = call("/v3/kv/range", {{"key", encoded("none")}, {"keys_only", true}});
  int status = 0;
  const json done =
      call("/v3/kv/compaction",
           {{"revision", answer.at("header").at("revision")}, {"physical", true}}, status);
  if (status != 200 && done.dump().find("has been compacted") == std::string::npos) {
    throw std::runtime_error("etcd: a compaction: " + done.dump());
  }
}

void Etcd::recover() {
  (void)call("/v3/kv/deleterange", {{"key", encoded(prefix)}, {"range_end", encoded(prefix_end)}});
  compact();
  (void)call("/v3/maintenance/defragment", json::object());
  const json alarms =
      call("/v3/maintenance/alarm", {{"action", "GET"}}).value("alarms", json::array());
  for (const json& alarm : alarms) {
    (void)call("/v3/maintenance/alarm", {{"action", "DEACTIVATE"},
                                         {"memberID", alarm.at("memberID")},
                                         {"alarm", alarm.at("alarm")}});
  }
}

}  // namespace quay_rotator::torture
