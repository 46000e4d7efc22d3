// A kubeconfig file. What it asks to run is not run, and of the files that it names only those of
// its own folder, in which there is none, are looked for.
#include <string>

#include "fuzz/inline_executor.h"
#include "fuzz/target.h"
#include "http/url.h"
#include "kube/kubeconfig.h"
#include "support/temporary_folder.h"

namespace quay_rotator::fuzz {

void run(std::string_view text) {
  // Paths that leave the folder could name a device that blocks.
  for (const char* part : {"/dev", "/proc", "/sys", "/tmp", ".."}) {
    if (text.find(part) != std::string_view::npos) return;
  }
  const testing::TemporaryFolder folder;
  const std::string file = folder.write("config", std::string(text));
  InlineExecutor executor;
  const auto configuration = kube::load_kubeconfig({file}, {}, executor);
  if (!configuration) {
    expect(configuration.error().message.starts_with(file), "an error names the file");
    return;
  }
  const auto url = http::parse_url(configuration->endpoint.origin);
  expect(url && url->origin() == configuration->endpoint.origin, "the server is an origin");
  expect(configuration->endpoint.allow_insecure == (url->scheme == "http"),
         "plain HTTP only where the file says so");
  expect(configuration->path.empty() ||
             (configuration->path.front() == '/' &&
              configuration->path.find_first_of(" \r\n?#") == std::string::npos),
         "a path is one that a request line can hold");
  expect(configuration->credentials != nullptr, "there are credentials, if empty ones");
  expect(configuration->endpoint.client_key.has_value() ==
             configuration->endpoint.client_certificate.has_value(),
         "a certificate comes with its key");
  expect(!configuration->name_space.empty(), "there is a namespace");
}

}  // namespace quay_rotator::fuzz
