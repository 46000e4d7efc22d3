#include "kube/credentials.h"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <optional>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <openssl/crypto.h>

#include "base/mutex.h"

namespace quay_rotator::kube {
namespace {

using namespace std::chrono_literals;
using base::Error;
using base::SecretString;

constexpr std::size_t max_file = 4U << 20U;

class FixedCredentials final : public Credentials {
 public:
  explicit FixedCredentials(SecretString token) : token_(std::move(token)) {}
  base::Expected<SecretString> bearer_token() override { return token_.clone(); }
  void invalidate() override {}

 private:
  const SecretString token_;
};

class FileCredentials final : public Credentials {
 public:
  FileCredentials(std::string path, base::Executor& executor)
      : path_(std::move(path)), executor_(executor) {}

  base::Expected<SecretString> bearer_token() override {
    const base::Lock lock(mutex_);
    const base::MonotonicTime now = executor_.now();
    if (!read_again_ || now >= *read_again_) {
      auto token = read_token();
      if (token) {
        token_ = std::move(*token);
        read_again_ = now + 1min;
      } else if (!read_again_) {
        return token;
      }
    }
    return token_.clone();
  }

  void invalidate() override {
    const base::Lock lock(mutex_);
    read_again_.reset();
  }

 private:
  [[nodiscard]] base::Expected<SecretString> read_token() const {
    auto text = read_file(path_);
    if (!text) return text;
    std::string_view token = text->reveal();
    constexpr std::string_view space = " \t\r\n";
    const std::size_t start = token.find_first_not_of(space);
    if (start == std::string_view::npos) {
      return tl::unexpected(Error{"the token file " + path_ + " is empty"});
    }
    token = token.substr(start, token.find_last_not_of(space) + 1 - start);
    return SecretString::copy_of(token);
  }

  const std::string path_;
  base::Executor& executor_;
  base::Mutex mutex_;
  SecretString token_ GUARDED_BY(mutex_);
  std::optional<base::MonotonicTime> read_again_
      GUARDED_BY(mutex_);  // nothing: there is no usable token
};

}  // namespace

std::unique_ptr<Credentials> make_fixed_credentials(SecretString token) {
  return std::make_unique<FixedCredentials>(std::move(token));
}

std::unique_ptr<Credentials> make_file_credentials(std::string path, base::Executor& executor) {
  return std::make_unique<FileCredentials>(std::move(path), executor);
}

base::Expected<SecretString> read_file(const std::string& path) {
  const auto failure = [&path](int error) {
    return tl::unexpected(
        Error{"cannot read " + path + ": " + std::generic_category().message(error)});
  };
  // A stream would keep a copy of a token in its buffer.
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return failure(errno);
  SecretString text;
  std::array<char, 8192> buffer;
  ssize_t count = 0;
  while (text.size() <= max_file) {
    count = ::read(file, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    text.append({buffer.data(), static_cast<std::size_t>(count)});
  }
  const int error = errno;
  ::close(file);
  OPENSSL_cleanse(buffer.data(), buffer.size());
  if (count < 0) return failure(error);
  if (text.size() > max_file) return failure(EFBIG);
  return text;
}

}  // namespace quay_rotator::kube
