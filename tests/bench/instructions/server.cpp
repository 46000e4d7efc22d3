// request-server FILE: what request-instructions talks to. Writes its CA's certificate to FILE and
// its port to standard output; ends with its standard input.
#include <cstdio>
#include <fstream>
#include <iostream>
#include <string>

#include "contract/certificates.h"
#include "contract/raw_server.h"

int main(int argc, char** argv) {
  using namespace quay_rotator::contract;
  if (argc != 2) return 2;
  const Identity authority = make_authority();
  ServerOptions options;
  options.identity = issue(authority, {"unused", "IP:127.0.0.1"});
  std::ofstream(argv[1]) << authority.certificate;
  const std::string body(2000, 'x');  // a Secret's size
  RawServer server(
      [&body](Connection& connection) {
        for (;;) {
          const std::string request = connection.read_request();
          if (request.empty()) return;
          // As Quay does, which closes each connection.
          const bool close = request.find(" /close ") != std::string::npos;
          connection.write(answer(200, body, close ? "Connection: close\r\n" : ""));
          if (close) return;
        }
      },
      options);
  std::printf("%d\n", server.port());
  std::fflush(stdout);
  while (std::cin.get() != EOF) {
  }
  return 0;
}
