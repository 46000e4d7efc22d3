#include "http/address.h"

#include <algorithm>
#include <charconv>
#include <netdb.h>
#include <vector>

#include <arpa/inet.h>
#include <sys/socket.h>

namespace quay_rotator::http {
namespace {

constexpr std::size_t mapped_prefix = 12;

constexpr std::array never_called{
    std::string_view("0.0.0.0/8"),           // "this host": Linux connects to loopback
    std::string_view("169.254.0.0/16"),      // link-local; the metadata services of most clouds
    std::string_view("100.100.100.200/32"),  // metadata: Alibaba Cloud
    std::string_view("168.63.129.16/32"),    // the host of an Azure machine
    std::string_view("192.0.0.0/24"),        // protocol assignments; metadata: Oracle Cloud
    std::string_view("224.0.0.0/4"),         // multicast
    std::string_view("240.0.0.0/4"),         // reserved, broadcast
    std::string_view("::/128"),
    std::string_view("fe80::/10"),
    std::string_view("fec0::/10"),      // site-local, deprecated
    std::string_view("fd00:ec2::/32"),  // metadata: AWS
    std::string_view("fd20:ce::/32"),   // metadata: Google Cloud
    std::string_view("ff00::/8"),
};

using Places = std::array<std::size_t, 4>;
constexpr Places at_end{12, 13, 14, 15};

Address embedded(const Address& address, const Places& places, unsigned char flipped = 0) {
  Address result{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0};
  for (std::size_t i = 0; i < places.size(); ++i) {
    result[mapped_prefix + i] = static_cast<unsigned char>(address[places[i]] ^ flipped);
  }
  return result;
}

bool is_isatap(const Address& address) {
  return (address[8] & 0xfdU) == 0 && address[9] == 0 && address[10] == 0x5e && address[11] == 0xfe;
}

// What the network may make of an address: itself, or IPv4 addresses (in mapped form) that some
// IPv6 addresses carry.
std::vector<Address> readings(const Address& address) {
  if (in_network(address, "64:ff9b::/96")) return {embedded(address, at_end)};
  // NAT64 with a prefix of the site's own, whose length only the site knows (RFC 6052, 8215): each
  // reading counts, but for those that only read the zeros around the real one.
  if (in_network(address, "64:ff9b:1::/48")) {
    std::vector<Address> result;
    for (const Places& places :
         {Places{6, 7, 9, 10}, Places{7, 9, 10, 11}, Places{9, 10, 11, 12}, at_end}) {
      const Address reading = embedded(address, places);
      if (!in_network(reading, "0.0.0.0/8")) result.push_back(reading);
    }
    if (result.empty()) result.push_back(embedded(address, at_end));
    return result;
  }
  if (in_network(address, "2002::/16")) return {embedded(address, {2, 3, 4, 5})};  // 6to4
  // Teredo: its server, and the client, whose bits are inverted.
  if (in_network(address, "2001::/32")) {
    return {embedded(address, {4, 5, 6, 7}), embedded(address, at_end, 0xff)};
  }
  if (in_network(address, "::ffff:0:0:0/96")) return {embedded(address, at_end)};  // translated
  // Compatible: "::a.b.c.d". Not "::" and "::1", which are what they are.
  if (in_network(address, "::/96") && !in_network(address, "::/127")) {
    return {embedded(address, at_end)};
  }
  if (is_isatap(address)) return {address, embedded(address, at_end)};
  return {address};
}

}  // namespace

std::optional<Address> parse_address(std::string_view text) {
  const std::string copy(text);
  Address address{};
  if (inet_pton(AF_INET6, copy.c_str(), address.data()) == 1) return address;
  address.fill(0);
  address[10] = address[11] = 0xff;
  if (inet_pton(AF_INET, copy.c_str(), address.data() + mapped_prefix) == 1) return address;
  return std::nullopt;
}

std::optional<Address> parse_numeric_host(std::string_view host) {
  if (auto address = parse_address(host)) return address;
  in_addr address{};
  if (inet_aton(std::string(host).c_str(), &address) == 0) return std::nullopt;
  Address result{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0};
  const auto* bytes = reinterpret_cast<const unsigned char*>(&address.s_addr);
  std::copy_n(bytes, 4, result.begin() + mapped_prefix);
  return result;
}

std::string address_text(const Address& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (in_network(address, "::ffff:0:0/96")) {
    inet_ntop(AF_INET, address.data() + mapped_prefix, text.data(), text.size());
  } else {
    inet_ntop(AF_INET6, address.data(), text.data(), text.size());
  }
  return text.data();
}

bool in_network(const Address& address, std::string_view cidr) {
  const std::size_t slash = cidr.find('/');
  if (slash == std::string_view::npos) return false;
  const auto network = parse_address(cidr.substr(0, slash));
  const std::string_view length = cidr.substr(slash + 1);
  unsigned bits = 0;
  const auto [end, error] = std::from_chars(length.data(), length.data() + length.size(), bits);
  if (!network || error != std::errc{} || end != length.data() + length.size()) return false;
  if (cidr.substr(0, slash).find(':') == std::string_view::npos) bits += 8 * mapped_prefix;
  if (bits > 128) return false;
  for (unsigned bit = 0; bit < bits; ++bit) {
    const unsigned mask = 0x80U >> (bit % 8);
    if (((address[bit / 8] ^ (*network)[bit / 8]) & mask) != 0) return false;
  }
  return true;
}

bool is_loopback(const Address& address) {
  return in_network(address, "127.0.0.0/8") || in_network(address, "::1/128");
}

bool permits(Reach reach, const Address& address) {
  if (reach == Reach::everywhere) return true;
  return std::ranges::all_of(readings(address), [reach](const Address& real) {
    if (is_loopback(real)) return reach == Reach::network_and_loopback;
    return std::ranges::none_of(
        never_called, [&](std::string_view network) { return in_network(real, network); });
  });
}

}  // namespace quay_rotator::http
