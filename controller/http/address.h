// IP addresses, and which of them may be connected to on whose behalf.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace quay_rotator::http {

// 16 bytes, IPv4 in its mapped form, so that one comparison serves both families.
using Address = std::array<unsigned char, 16>;

// "10.0.0.1", "fd00::1"; nothing for anything else.
std::optional<Address> parse_address(std::string_view text);
// As parse_address, and the other forms that the resolver takes for an address without asking
// anybody: "127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1".
std::optional<Address> parse_numeric_host(std::string_view host);
std::string address_text(const Address& address);

// "10.0.0.0/8"; false too when `cidr` is none.
bool in_network(const Address& address, std::string_view cidr);
bool is_loopback(const Address& address);

// Where a transport may connect to, whatever its names resolve to.
enum class Reach {
  // Wherever the administrator's configuration points: the API server, the environment's proxy.
  everywhere,
  // Not to this machine itself (loopback, unspecified), link-local addresses, the metadata services
  // of clouds, multicast and reserved addresses. IPv4 addresses inside IPv6 ones (mapped,
  // compatible, translated, NAT64, 6to4, Teredo, ISATAP) count as what they are; where an address
  // can be read in several ways, each must be permitted.
  network,
  network_and_loopback,
};
bool permits(Reach reach, const Address& address);

}  // namespace quay_rotator::http
