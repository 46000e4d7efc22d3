// Credentials that need no program: none, a fixed token, a token in a file.
#pragma once

#include <memory>
#include <string>

#include "base/executor.h"
#include "base/secret_string.h"
#include "kube/configuration.h"

namespace quay_rotator::kube {

// `token` for ever; empty: a client certificate or nothing authenticates.
std::unique_ptr<Credentials> make_fixed_credentials(base::SecretString token);

// The file's text without white space around it, read anew after a minute and after invalidate().
// While a file that was read before cannot be read, its last token is used until the server refuses
// it. The error names the file.
std::unique_ptr<Credentials> make_file_credentials(std::string path, base::Executor& executor);

// The whole file, at most 4 MiB. The error: "cannot read /path: why".
base::Expected<base::SecretString> read_file(const std::string& path);

}  // namespace quay_rotator::kube
