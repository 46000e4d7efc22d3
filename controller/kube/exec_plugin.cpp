#include "kube/exec_plugin.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/mutex.h"
#include "kube/child_process.h"

namespace quay_rotator::kube {
namespace {

using namespace std::chrono_literals;
using base::Error;
using base::SecretString;
using nlohmann::json;

// Within what fits: nanoseconds end in the year 2262, and "9999-12-31" is common.
base::Duration time_left(base::WallTime expiry, base::WallTime now) {
  constexpr base::WallTime::duration most = std::chrono::hours(24 * 365);
  return std::clamp(expiry - now, -most, most);
}

// The last words of a program, on one line.
std::string last_words(std::string text) {
  constexpr std::size_t most = 300;
  if (text.size() > most) text.erase(0, text.size() - most);
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  const std::size_t start = text.find_first_not_of(' ');
  if (start == std::string::npos) return "";
  return text.substr(start, text.find_last_not_of(' ') + 1 - start);
}

class ExecCredentials final : public Credentials {
 public:
  ExecCredentials(ExecPlugin plugin, std::string place, base::Executor& executor, ExecLimits limits)
      : plugin_(std::move(plugin)),
        place_(std::move(place)),
        executor_(executor),
        limits_(limits),
        changed_(executor.make_signal()) {}

  base::Expected<SecretString> bearer_token() override {
    base::Lock lock(mutex_);
    const base::MonotonicTime now = executor_.now();
    const bool valid = held_ && now < expires_;
    const std::uint64_t before = ended_;
    if (!valid || refused_ || now >= renew_) start(lock);
    if (valid && !refused_) return held_->token.clone();

    // A run is bounded by its deadline; what it takes to kill and reap comes on top.
    wait_for_end(before, now + (valid ? limits_.patience : limits_.deadline + 5s), lock);
    if (ended_ != before && error_) return tl::unexpected(*error_);
    if (held_) return held_->token.clone();
    return tl::unexpected(error("did not end in time"));
  }

  void invalidate() override {
    constexpr base::Duration fresh = 5s;  // what it replaced may still be on its way
    const base::Lock lock(mutex_);
    if (held_ && executor_.now() - renewed_ >= fresh) refused_ = true;
  }

  [[nodiscard]] std::uint64_t certificates() const override {
    const base::Lock lock(mutex_);
    return certificates_;
  }

  [[nodiscard]] std::optional<ClientCertificate> certificate() const override {
    const base::Lock lock(mutex_);
    if (!held_ || !held_->certificate) return std::nullopt;
    return ClientCertificate{held_->certificate->certificate, held_->certificate->key.clone()};
  }

 private:
  [[nodiscard]] Error error(const std::string& what) const {
    return {"exec plugin " + plugin_.command + " (" + place_ + ") " + what};
  }

  [[nodiscard]] std::string exec_info() const {
    json spec{{"interactive", false}};
    if (!plugin_.cluster.empty()) spec["cluster"] = json::parse(plugin_.cluster);
    return json{
        {"apiVersion", plugin_.api_version}, {"kind", "ExecCredential"}, {"spec", std::move(spec)}}
        .dump(-1, ' ', false, json::error_handler_t::replace);
  }

  // Unless a run is under way. With the mutex held, which it lets go of meanwhile.
  void start(base::Lock& lock) UNCHECKED_LOCKING {
    if (running_) return;
    running_ = true;
    auto ended = std::exchange(thread_, nullptr);
    lock.unlock();
    ended.reset();
    auto thread = executor_.spawn("exec-plugin", [this](const std::stop_token& stop) {
      auto credential = run(stop);
      const base::Lock guard(mutex_);
      take(std::move(credential));
    });
    lock.lock();
    thread_ = std::move(thread);
  }

  void wait_for_end(std::uint64_t before, base::MonotonicTime deadline, base::Lock& lock)
      REQUIRES(mutex_) {
    const std::stop_token never;
    while (ended_ == before && changed_->wait_until(lock, deadline, never)) continue;
  }

  base::Expected<ExecCredential> run(const std::stop_token& stop) const {
    std::vector<std::string> arguments{plugin_.command};
    arguments.insert(arguments.end(), plugin_.arguments.begin(), plugin_.arguments.end());
    auto environment = plugin_.environment;
    environment.emplace_back("KUBERNETES_EXEC_INFO", exec_info());
    auto result =
        run_child(arguments, environment, {limits_.deadline, limits_.max_output}, executor_, stop);
    if (!result) {
      std::string what = result.error().message;
      if (!plugin_.install_hint.empty()) what += "; " + last_words(plugin_.install_hint);
      return tl::unexpected(error(what));
    }
    if (result->exit_code != 0) {
      std::string what = "failed with exit code " + std::to_string(result->exit_code);
      if (const std::string words = last_words(std::move(result->diagnostics)); !words.empty()) {
        what += ": " + words;
      }
      return tl::unexpected(error(what));
    }
    auto credential = read_exec_credential(result->output, plugin_.api_version);
    if (!credential) return tl::unexpected(error(credential.error().message));
    return credential;
  }

  void take(base::Expected<ExecCredential> credential) REQUIRES(mutex_) {
    constexpr base::Duration try_again = 30s;
    const base::MonotonicTime now = executor_.now();
    running_ = false;
    ++ended_;
    changed_->notify_all();
    if (!credential) {
      error_ = std::move(credential.error());
      renew_ = now + try_again;  // should what is held be valid still
      return;
    }
    error_.reset();
    refused_ = false;
    renewed_ = now;
    renew_ = expires_ = base::MonotonicTime::max();
    if (const auto expiry = credential->expiry) {
      const base::WallTime wall_now = executor_.wall_now();
      renew_ = now + renewal_delay(*expiry, wall_now);
      expires_ = std::max(renew_, now + time_left(*expiry, wall_now));
    }
    if (credential->certificate) ++certificates_;
    held_ = std::move(*credential);
  }

  const ExecPlugin plugin_;
  const std::string place_;
  base::Executor& executor_;
  const ExecLimits limits_;

  mutable base::Mutex mutex_;
  std::unique_ptr<base::Signal> changed_;  // a run has ended
  bool running_ GUARDED_BY(mutex_) = false;
  std::uint64_t ended_ GUARDED_BY(mutex_) = 0;     // runs
  std::optional<Error> error_ GUARDED_BY(mutex_);  // of the last run
  std::optional<ExecCredential> held_ GUARDED_BY(mutex_);
  bool refused_ GUARDED_BY(mutex_) = false;  // what is held was, with 401
  base::MonotonicTime renewed_ GUARDED_BY(mutex_){};
  base::MonotonicTime renew_ GUARDED_BY(mutex_){};
  base::MonotonicTime expires_ GUARDED_BY(mutex_){};
  std::uint64_t certificates_ GUARDED_BY(mutex_) = 0;
  std::unique_ptr<base::Thread> thread_;  // of the latest run
};

}  // namespace

base::Expected<ExecCredential> read_exec_credential(const SecretString& output,
                                                    const std::string& api_version) {
  const auto error = [](std::string message) { return tl::unexpected(Error{std::move(message)}); };
  auto parsed = base::parse_json(output.reveal());
  if (!parsed) return error("printed no ExecCredential: " + parsed.error().message);
  const auto version = base::required_string(*parsed, "apiVersion");
  if (!version || *version != api_version) {
    return error("printed an ExecCredential of " +
                 (version ? *version : std::string("no version")) + "; the kubeconfig asks for " +
                 api_version);
  }
  const auto take = [&parsed](const char* name) {
    json* found = nullptr;
    if (const auto status = parsed->find("status");
        status != parsed->end() && status->is_object()) {
      if (const auto field = status->find(name); field != status->end()) found = &*field;
    }
    // Moved out of the document, so that no copy stays there.
    return found != nullptr && found->is_string()
               ? SecretString(std::move(found->get_ref<std::string&>()))
               : SecretString();
  };
  ExecCredential credential;
  credential.token = take("token");
  const SecretString certificate = take("clientCertificateData");
  SecretString key = take("clientKeyData");
  if (certificate.empty() != key.empty()) {
    return error(key.empty() ? "printed status.clientCertificateData without clientKeyData"
                             : "printed status.clientKeyData without clientCertificateData");
  }
  if (credential.token.empty() && key.empty()) {
    return error("printed neither status.token nor status.clientCertificateData");
  }
  if (!key.empty()) {
    credential.certificate = ClientCertificate{std::string(certificate.reveal()), std::move(key)};
  }
  const auto expiry = base::string_or(*parsed, "status.expirationTimestamp", "");
  if (!expiry) return error("printed a wrong " + expiry.error().message);
  if (!expiry->empty()) {
    const auto time = base::parse_time(*expiry);
    if (!time) return error("printed a wrong status.expirationTimestamp: " + time.error().message);
    credential.expiry = *time;
  }
  return credential;
}

base::Duration renewal_delay(base::WallTime expiry, base::WallTime now) {
  const base::Duration left = time_left(expiry, now);
  // Before it expires, but never at every request, should the clocks differ: a token that is really
  // too old is refused with 401 and renewed for that.
  const base::Duration margin = std::min<base::Duration>(left / 10, 1min);
  return std::max<base::Duration>(left - margin, 1min);
}

std::unique_ptr<Credentials> make_exec_credentials(ExecPlugin plugin, std::string place,
                                                   base::Executor& executor, ExecLimits limits) {
  return std::make_unique<ExecCredentials>(std::move(plugin), std::move(place), executor, limits);
}

}  // namespace quay_rotator::kube
