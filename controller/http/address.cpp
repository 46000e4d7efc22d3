#include "http/address.h"

#include <algorithm>
#include <charconv>
#include <netdb.h>

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

// The IPv4 address that the network makes of some IPv6 addresses, in mapped form.
Address unwrapped(const Address& address) {
  const auto embedded = [&](std::size_t at) {
    Address result{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0};
    std::copy_n(address.begin() + static_cast<std::ptrdiff_t>(at), 4,
                result.begin() + mapped_prefix);
    return result;
  };
  if (in_network(address, "64:ff9b::/96")) return embedded(12);
  if (in_network(address, "2002::/16")) return embedded(2);
  // Compatible: "::a.b.c.d". Not "::" and "::1", which are what they are.
  if (in_network(address, "::/96") && !in_network(address, "::/127")) return embedded(12);
  return address;
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
  const Address real = unwrapped(address);
  if (is_loopback(real)) return reach == Reach::network_and_loopback;
  return std::ranges::none_of(never_called,
                              [&](std::string_view network) { return in_network(real, network); });
}

}  // namespace quay_rotator::http
