#include "kube/exec_plugin.h"

#include <algorithm>
#include <mutex>
#include <optional>

#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "base/json.h"
#include "kube/child_process.h"

namespace quay_rotator::kube {
namespace {

using namespace std::chrono_literals;
using base::Error;
using base::SecretString;
using nlohmann::json;

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
        limits_(limits) {}

  base::Expected<SecretString> bearer_token() override {
    const std::lock_guard lock(mutex_);
    if (token_.empty() || executor_.now() >= renew_) {
      if (auto renewed = run(); !renewed) return tl::unexpected(std::move(renewed).error());
    }
    return token_.clone();
  }

  void invalidate() override {
    const std::lock_guard lock(mutex_);
    token_.clear();
  }

 private:
  [[nodiscard]] Error error(const std::string& what) const {
    return {"exec plugin " + plugin_.command + " (" + place_ + ") " + what};
  }

  [[nodiscard]] std::string exec_info() const {
    json spec{{"interactive", false}};
    if (!plugin_.server.empty()) {
      spec["cluster"]["server"] = plugin_.server;
      if (!plugin_.ca_certificates.empty()) {
        spec["cluster"]["certificate-authority-data"] =
            base::base64_encode(plugin_.ca_certificates).reveal();
      }
    }
    return json{
        {"apiVersion", plugin_.api_version}, {"kind", "ExecCredential"}, {"spec", std::move(spec)}}
        .dump(-1, ' ', false, json::error_handler_t::replace);
  }

  base::Expected<void> run() {
    std::vector<std::string> arguments{plugin_.command};
    arguments.insert(arguments.end(), plugin_.arguments.begin(), plugin_.arguments.end());
    auto environment = plugin_.environment;
    environment.emplace_back("KUBERNETES_EXEC_INFO", exec_info());
    auto result =
        run_child(arguments, environment, {limits_.deadline, limits_.max_output}, executor_);
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
    return take(result->output);
  }

  base::Expected<void> take(const SecretString& output) {
    auto credential = read_exec_credential(output, plugin_.api_version);
    if (!credential) return tl::unexpected(error(credential.error().message));
    token_ = std::move(credential->token);
    renew_ = credential->expiry
                 ? executor_.now() + renewal_delay(*credential->expiry, executor_.wall_now())
                 : base::MonotonicTime::max();
    return {};
  }

  const ExecPlugin plugin_;
  const std::string place_;
  base::Executor& executor_;
  const ExecLimits limits_;
  std::mutex mutex_;
  SecretString token_;
  base::MonotonicTime renew_{};
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
  const json* token = base::find(*parsed, "status.token");
  if (token == nullptr || !token->is_string() || token->get_ref<const std::string&>().empty()) {
    const bool certificate = base::find(*parsed, "status.clientCertificateData") != nullptr;
    return error(certificate ? "printed a client certificate and no token, which quay-rotator does "
                               "not support"
                             : "printed no status.token");
  }
  const auto expiry = base::string_or(*parsed, "status.expirationTimestamp", "");
  if (!expiry) return error("printed a wrong " + expiry.error().message);
  ExecCredential credential;
  if (!expiry->empty()) {
    const auto time = base::parse_time(*expiry);
    if (!time) return error("printed a wrong status.expirationTimestamp: " + time.error().message);
    credential.expiry = *time;
  }
  // Moved out of the document, so that no copy stays there.
  credential.token = SecretString(std::move((*parsed)["status"]["token"].get_ref<std::string&>()));
  return credential;
}

base::Duration renewal_delay(base::WallTime expiry, base::WallTime now) {
  // First of all to what fits: nanoseconds end in the year 2262, and "9999-12-31" is common.
  constexpr base::WallTime::duration year = std::chrono::hours(24 * 365);
  const base::Duration left = std::clamp(expiry - now, -year, year);
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
