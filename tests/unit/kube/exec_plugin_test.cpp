#include "kube/exec_plugin.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <fstream>
#include <iterator>
#include <sstream>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/mutex.h"
#include "support/temporary_folder.h"

namespace quay_rotator::kube {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using ::testing::HasSubstr;

const std::string v1 = "client.authentication.k8s.io/v1";

// A real clock for what blocks, and a wall clock and a monotonic one that the test moves.
class ShiftedExecutor final : public base::Executor {
 public:
  [[nodiscard]] base::MonotonicTime now() const override { return real_->now() + shift.load(); }
  [[nodiscard]] base::WallTime wall_now() const override {
    return std::chrono::floor<base::WallTime::duration>(wall_start + shift.load());
  }
  [[nodiscard]] std::uint64_t random() override { return real_->random(); }
  bool sleep_until(base::MonotonicTime time, const std::stop_token& stop) override {
    return real_->sleep_until(time - shift.load(), stop);
  }
  [[nodiscard]] std::unique_ptr<base::Thread> spawn(
      std::string name, std::function<void(std::stop_token)> body) override {
    return real_->spawn(std::move(name), std::move(body));
  }
  [[nodiscard]] std::unique_ptr<base::Signal> make_signal() override {
    return std::make_unique<ShiftedSignal>(real_->make_signal(), shift);
  }

  static constexpr base::WallTime wall_start =
      std::chrono::sys_days{std::chrono::year{2026} / 3 / 1} + 12h;
  std::atomic<base::Duration> shift{};  // a plugin's thread asks for the time, too

 private:
  class ShiftedSignal final : public base::Signal {
   public:
    ShiftedSignal(std::unique_ptr<base::Signal> real, const std::atomic<base::Duration>& shift)
        : real_(std::move(real)), shift_(shift) {}
    bool wait_until(base::Lock& lock, base::MonotonicTime deadline,
                    const std::stop_token& stop) override {
      return real_->wait_until(lock, deadline - shift_.load(), stop);
    }
    void notify_all() override { real_->notify_all(); }

   private:
    std::unique_ptr<base::Signal> real_;
    const std::atomic<base::Duration>& shift_;
  };

  std::unique_ptr<base::Executor> real_ = base::make_system_executor();
};

class ExecPluginTest : public ::testing::Test {
 protected:
  // A plugin that counts its runs in a file and then does what `script` says.
  std::unique_ptr<Credentials> plugin(const std::string& script, ExecLimits limits = {}) {
    ExecPlugin plugin = plugin_;
    plugin.command = folder_.write_script("plugin", "echo run >> \"$0.runs\"\n" + script);
    return make_exec_credentials(std::move(plugin), "user eks of /config", executor_, limits);
  }
  // A plugin that prints its run's number as the token.
  static std::string prints(const std::string& more = "") {
    return "printf '{\"apiVersion\":\"" + v1 + "\",\"status\":{\"token\":\"token-%d\"" + more +
           "}}' $(wc -l < \"$0.runs\")\n";
  }
  // The first run gives a token for 15 minutes, every other one does what `script` says.
  static std::string then(const std::string& script) {
    return "if [ $(wc -l < \"$0.runs\") -gt 1 ]; then " + script + "; fi\n" +
           prints(R"(,"expirationTimestamp":"2026-03-01T12:15:00Z")");
  }
  [[nodiscard]] long runs() const {
    std::ifstream file(folder_.path("plugin.runs"));
    return std::count(std::istreambuf_iterator<char>(file), {}, '\n');
  }
  [[nodiscard]] std::string read(const std::string& name) const {
    std::ostringstream text;
    text << std::ifstream(folder_.path(name)).rdbuf();
    return text.str();
  }
  static std::string token_of(Credentials& credentials) {
    const auto token = credentials.bearer_token();
    return token ? std::string(token->reveal()) : token.error().message;
  }
  [[nodiscard]] std::string named() const {
    return "exec plugin " + folder_.path("plugin") + " (user eks of /config) ";
  }
  // No child is left, neither running nor as a zombie.
  void TearDown() override {
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
    EXPECT_EQ(errno, ECHILD);
  }

  testing::TemporaryFolder folder_;
  ShiftedExecutor executor_;
  ExecPlugin plugin_ = [] {
    ExecPlugin plugin;
    plugin.api_version = v1;
    return plugin;
  }();
};

TEST_F(ExecPluginTest, RunsOnceAndAgainOnlyWhenItsTokenIsRefused) {
  const auto credentials = plugin(prints());
  EXPECT_EQ(token_of(*credentials), "token-1");
  executor_.shift = 1000h;
  EXPECT_EQ(token_of(*credentials), "token-1");
  credentials->invalidate();
  EXPECT_EQ(token_of(*credentials), "token-2");
  EXPECT_EQ(runs(), 2);
}

TEST_F(ExecPluginTest, RunsAgainBeforeItsTokenExpires) {
  const auto credentials = plugin(prints(R"(,"expirationTimestamp":"2026-03-01T12:15:00Z")"));
  EXPECT_EQ(token_of(*credentials), "token-1");
  executor_.shift = 13min + 50s;
  EXPECT_EQ(token_of(*credentials), "token-1");
  executor_.shift = 14min + 10s;
  EXPECT_EQ(token_of(*credentials), "token-1") << "which is valid: nobody waits";
  // Another process ends when it does: there is nothing to wait on.
  while (token_of(*credentials) == "token-1") usleep(1000);
  EXPECT_EQ(token_of(*credentials), "token-2");
  EXPECT_EQ(runs(), 2);
}

TEST_F(ExecPluginTest, APluginThatHangsCostsNothingWhileItsCredentialIsValid) {
  const auto credentials = plugin(then("exec sleep 1000"), {.deadline = 1s});
  EXPECT_EQ(token_of(*credentials), "token-1");
  executor_.shift = 14min + 10s;
  while (runs() < 2) EXPECT_EQ(token_of(*credentials), "token-1");
  EXPECT_EQ(token_of(*credentials), "token-1") << "while it hangs";
  executor_.shift = 16min;
  EXPECT_EQ(token_of(*credentials), named() + "did not end within 1s");
}

TEST_F(ExecPluginTest, APluginThatFailsCostsNothingWhileItsCredentialIsValid) {
  const auto credentials = plugin(then("echo no session >&2; exit 1"), {.deadline = 1h});
  EXPECT_EQ(token_of(*credentials), "token-1");
  executor_.shift = 14min + 10s;
  EXPECT_EQ(token_of(*credentials), "token-1");
  while (runs() < 2) usleep(1000);  // another process: there is nothing to wait on
  EXPECT_EQ(token_of(*credentials), "token-1");
  executor_.shift = 16min;
  EXPECT_EQ(token_of(*credentials), named() + "failed with exit code 1: no session");
}

TEST_F(ExecPluginTest, ARefusalIsNotWaitedForLongWhereTheCredentialShouldBeValid) {
  const auto credentials = plugin(then("exec sleep 1000"), {.deadline = 1000s, .patience = 10ms});
  EXPECT_EQ(token_of(*credentials), "token-1");
  executor_.shift = 1min;
  credentials->invalidate();
  EXPECT_EQ(token_of(*credentials), "token-1") << "perhaps it was the server's fault";
}

TEST_F(ExecPluginTest, ARefusalOfWhatHasJustBeenReplacedRunsNothing) {
  const auto credentials = plugin(prints());
  EXPECT_EQ(token_of(*credentials), "token-1");
  credentials->invalidate();  // of a request that still had the one before
  EXPECT_EQ(token_of(*credentials), "token-1");
  EXPECT_EQ(runs(), 1);
}

TEST_F(ExecPluginTest, GivesAClientCertificate) {
  const auto credentials = plugin("n=$(wc -l < \"$0.runs\")\nprintf '{\"apiVersion\":\"" + v1 +
                                  "\",\"status\":{\"clientCertificateData\":\"cert-%d\","
                                  "\"clientKeyData\":\"key-%d\"}}' $n $n\n");
  EXPECT_EQ(credentials->certificates(), 0U);
  EXPECT_FALSE(credentials->certificate());
  EXPECT_EQ(token_of(*credentials), "");
  EXPECT_EQ(credentials->certificates(), 1U);
  EXPECT_EQ(credentials->certificate()->certificate, "cert-1");
  EXPECT_EQ(credentials->certificate()->key.reveal(), "key-1");
  executor_.shift = 1min;
  credentials->invalidate();
  EXPECT_EQ(token_of(*credentials), "");
  EXPECT_EQ(credentials->certificates(), 2U);
  EXPECT_EQ(credentials->certificate()->certificate, "cert-2");
}

TEST_F(ExecPluginTest, DoesNotRunForEveryRequestWhenTheTokenSeemsExpired) {
  const auto credentials = plugin(prints(R"(,"expirationTimestamp":"2026-03-01T11:00:00Z")"));
  EXPECT_EQ(token_of(*credentials), "token-1");
  EXPECT_EQ(token_of(*credentials), "token-1");
}

TEST(RenewalDelay, IsBetweenAMinuteAndAYear) {
  static constexpr base::WallTime now = ShiftedExecutor::wall_start;
  const auto delay = [](std::string_view expiry) {
    return renewal_delay(base::parse_time(expiry).value(), now);
  };
  EXPECT_EQ(delay("2026-03-01T12:15:00Z"), 14min);
  EXPECT_EQ(delay("2026-03-01T12:05:00Z"), 4min + 30s);
  EXPECT_EQ(delay("2026-03-01T12:00:30Z"), 1min);
  EXPECT_EQ(delay("0000-01-01T00:00:00Z"), 1min);
  EXPECT_EQ(delay("9999-12-31T23:59:59Z"), 365 * 24h - 1min);
}

TEST_F(ExecPluginTest, PassesArgumentsAndEnvironmentWithoutAShell) {
  plugin_.arguments = {"a b", "$(touch injected)", ""};
  plugin_.environment = {{"REGION", "eu; west"}, {"HOME", "/nowhere"}};
  const auto credentials = plugin(
      "printf '%s|' \"$@\" \"$REGION\" \"$HOME\" > \"$0.seen\"\n"
      "printf '%s' \"$KUBERNETES_EXEC_INFO\" > \"$0.info\"\n"
      "cat > \"$0.stdin\"\n" +
      prints());
  EXPECT_EQ(token_of(*credentials), "token-1");
  EXPECT_EQ(read("plugin.seen"), "a b|$(touch injected)||eu; west|/nowhere|");
  EXPECT_EQ(read("plugin.stdin"), "");
  EXPECT_EQ(json::parse(read("plugin.info")),
            json::parse(R"({"apiVersion": "client.authentication.k8s.io/v1",
                            "kind": "ExecCredential", "spec": {"interactive": false}})"));
}

TEST_F(ExecPluginTest, InheritsNoConnection) {
  const int inherited = ::dup(STDIN_FILENO);  // as the HTTP library's sockets: not close-on-exec
  const auto credentials = plugin("[ ! -e /proc/self/fd/" + std::to_string(inherited) +
                                  " ] && touch \"$0.clean\"\n" + prints());
  EXPECT_EQ(token_of(*credentials), "token-1");
  ::close(inherited);
  EXPECT_EQ(::access(folder_.path("plugin.clean").c_str(), F_OK), 0);
}

TEST_F(ExecPluginTest, TellsThePluginOfTheCluster) {
  plugin_.cluster = R"({"server": "https://api:6443", "certificate-authority-data": "Y2E="})";
  const auto credentials =
      plugin("printf '%s' \"$KUBERNETES_EXEC_INFO\" > \"$0.info\"\n" + prints());
  EXPECT_EQ(token_of(*credentials), "token-1");
  EXPECT_EQ(json::parse(read("plugin.info"))["spec"]["cluster"],
            json::parse(R"({"server": "https://api:6443", "certificate-authority-data": "Y2E="})"));
}

TEST_F(ExecPluginTest, SaysWhyItFailed) {
  EXPECT_EQ(token_of(*plugin("echo s3cr3t; echo 'no session:' >&2; echo 'log in' >&2; exit 3")),
            named() + "failed with exit code 3: no session: log in");
  EXPECT_EQ(token_of(*plugin("exit 1")), named() + "failed with exit code 1");
  EXPECT_EQ(token_of(*plugin("kill -9 $$")), named() + "failed with exit code 137");
}

TEST_F(ExecPluginTest, SaysThatItIsNotInstalled) {
  plugin_.command = "quay-rotator-no-such-plugin";
  plugin_.install_hint = "get it\nfrom https://example.com";
  const auto credentials = make_exec_credentials(plugin_, "user eks of /config", executor_);
  EXPECT_EQ(token_of(*credentials),
            "exec plugin quay-rotator-no-such-plugin (user eks of /config) cannot be started: No "
            "such file or directory; get it from https://example.com");
}

TEST_F(ExecPluginTest, LooksACommandUpInPath) {
  plugin_.command = "sh";
  plugin_.arguments = {"-c", R"(echo '{"apiVersion":")" + v1 + R"(","status":{"token":"t"}}')"};
  EXPECT_EQ(token_of(*make_exec_credentials(plugin_, "p", executor_)), "t");
}

TEST_F(ExecPluginTest, RefusesWhatIsNoCredential) {
  const auto printed = [this](const std::string& text) {
    return token_of(*plugin("cat <<'END'\n" + text + "\nEND\n"));
  };
  const std::string prefix = R"({"apiVersion": ")" + v1 + R"(", "status": )";
  EXPECT_EQ(printed("s3cr3t"), named() + "printed no ExecCredential: not JSON: error at byte 1");
  EXPECT_EQ(printed("{}"), named() +
                               "printed an ExecCredential of no version; the kubeconfig asks "
                               "for " +
                               v1);
  EXPECT_EQ(printed(R"({"apiVersion": "client.authentication.k8s.io/v1beta1"})"),
            named() +
                "printed an ExecCredential of client.authentication.k8s.io/v1beta1; the "
                "kubeconfig asks for " +
                v1);
  const std::string neither = "printed neither status.token nor status.clientCertificateData";
  for (const char* status : {"{}", R"({"token": ""})", R"({"token": 1})", "[]", "null"}) {
    EXPECT_EQ(printed(prefix + status + "}"), named() + neither) << status;
  }
  EXPECT_EQ(printed(prefix + R"({"token": "s3cr3t", "clientKeyData": "y"}})"),
            named() + "printed status.clientKeyData without clientCertificateData");
  EXPECT_EQ(printed(prefix + R"({"clientCertificateData": "x"}})"),
            named() + "printed status.clientCertificateData without clientKeyData");
  EXPECT_EQ(printed(prefix + R"({"token": "s3cr3t", "expirationTimestamp": "soon"}})"),
            named() +
                "printed a wrong status.expirationTimestamp: expected an RFC 3339 time like "
                "2026-03-01T12:00:00Z, got \"soon\"");
}

TEST_F(ExecPluginTest, BoundsItsOutput) {
  EXPECT_EQ(token_of(*plugin("cat /dev/zero", {.max_output = 100'000})),
            named() + "printed more than 100000 bytes");
}

TEST_F(ExecPluginTest, KeepsOnlyTheEndOfItsDiagnostics) {
  const std::string message =
      token_of(*plugin("i=0; while [ $i -lt 3000 ]; do echo filler-$i >&2; i=$((i+1)); done; "
                       "echo the reason >&2; exit 1"));
  EXPECT_THAT(message, HasSubstr("filler-2999 the reason"));
  EXPECT_LT(message.size(), 600U);
}

TEST_F(ExecPluginTest, KillsAPluginThatHangsWithItsChildren) {
  // The grandchild writes to a pipe that ends when the last writer does.
  const std::string fifo = folder_.path("plugin.fifo");
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const int reader = ::open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  ASSERT_GE(reader, 0);
  const auto credentials =
      plugin("(echo up; exec sleep 1000) > \"$0.fifo\" & wait", {.deadline = 1s});
  EXPECT_EQ(token_of(*credentials), named() + "did not end within 1s");
  ::fcntl(reader, F_SETFL, 0);
  std::array<char, 16> text{};
  while (::read(reader, text.data(), text.size()) > 0) {
  }
  ::close(reader);
}

TEST_F(ExecPluginTest, DoesNotWaitForAGrandchildThatKeepsThePipeOpen) {
  const auto credentials = plugin("sleep 60 & echo $! > \"$0.child\"\n" + prints());
  EXPECT_EQ(token_of(*credentials), "token-1");
  const std::string child = read("plugin.child");
  ASSERT_NE(child, "");
  EXPECT_EQ(::kill(std::stoi(child), SIGKILL), 0);
}

}  // namespace
}  // namespace quay_rotator::kube
