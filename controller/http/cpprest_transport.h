// The Transport over cpprestsdk. See docs/http.md for what that library does and how it is tamed.
#pragma once

#include <memory>
#include <string>

#include "http/transport.h"

namespace quay_rotator::http {

// Call once, before any other thread or transport exists: gives cpprestsdk one thread instead of
// 40, and keeps it from parsing the system's CA bundle for every connection (the factory trusts
// through its own X509_STORE). That changes the environment: start child processes with
// child_environment (http/tls.h).
void initialize_cpprest();

// `user_agent` goes with every request. All transports must be destroyed before main returns.
std::unique_ptr<TransportFactory> make_cpprest_transport_factory(std::string user_agent);

}  // namespace quay_rotator::http
