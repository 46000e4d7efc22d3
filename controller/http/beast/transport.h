// The Transport for the API server: OpenSSL on a socket of our own, HTTP read by Boost.Beast.
//
// It has no thread. Each call does its own reading and writing, and waits in poll() for its socket,
// its deadline and its stop token. So there is nothing that two calls share but the list of idle
// connections: neither another call's TLS handshake, nor a watch that brings a flood, nor whatever
// cpprestsdk's thread is busy with for a tenant can delay the lease. A stream is read as fast as
// its consumer takes it, and the kernel holds the server back.
#pragma once

#include <memory>
#include <string>

#include "http/transport.h"

namespace quay_rotator::http {

// `user_agent` goes with every request.
std::unique_ptr<TransportFactory> make_beast_transport_factory(std::string user_agent);

}  // namespace quay_rotator::http
