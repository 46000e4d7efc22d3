// The program as people start it: its flags, its configuration, what it says when the cluster is
// not as it should be, its probes and metrics, its end.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <memory>
#include <sstream>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <sys/stat.h>

#include "cluster/cluster_test.h"

namespace quay_rotator::cluster {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::StartsWith;

class Program : public ClusterTest {
 protected:
  // Without any configuration but what is given.
  static ProgramResult run(std::vector<std::string> arguments,
                           std::map<std::string, std::string> environment = {}) {
    arguments.insert(arguments.begin(), cluster().program("quay-rotator-with-fail-points"));
    environment.emplace("KUBECONFIG", "");
    environment.emplace("HOME", "/nonexistent");
    return run_program(arguments, environment);
  }
  static void expect_one_line(const ProgramResult& result, int code) {
    EXPECT_EQ(result.code, code) << result.output;
    EXPECT_THAT(result.output, StartsWith("quay-rotator: "));
    EXPECT_EQ(std::ranges::count(result.output, '\n'), 1) << result.output;
    EXPECT_EQ(result.output.back(), '\n');
  }

  static std::string kubeconfig_file(const std::string& text) {
    static int count = 0;
    std::string file = cluster().directory() + "/kubeconfig-" + std::to_string(++count);
    write_file(file, text);
    return file;
  }
  static std::string unreachable_kubeconfig() {
    return kubeconfig_file(R"({"current-context": "a",
      "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
      "clusters": [{"name": "a", "cluster": {"server": "https://127.0.0.1:1"}}],
      "users": [{"name": "a", "user": {"token": "unused"}}]})");
  }

  // Waits until /readyz says so.
  static void expect_readiness(const OperatorProcess& running,
                               const testing::Matcher<const std::string&>& matcher) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(45);
    while (!matcher.Matches(running.probe("/readyz")) &&
           std::chrono::steady_clock::now() < deadline) {
      usleep(50'000);  // a probe is asked again and again: it has nothing to wait on
    }
    EXPECT_THAT(running.probe("/readyz"), matcher);
  }
  static double sum_of(const std::string& metrics, const std::string& prefix) {
    double sum = 0;
    std::istringstream lines(metrics);
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with(prefix)) sum += std::stod(line.substr(line.rfind(' ')));
    }
    return sum;
  }
};

TEST_F(Program, HelpAndVersion) {
  const ProgramResult help = run({"--help"});
  EXPECT_EQ(help.code, 0);
  for (const char* flag :
       {"--kubeconfig", "--namespace", "--leader-elect", "--leader-election-namespace",
        "--health-probe-bind-address", "--metrics-bind-address", "--workers", "--drift-interval",
        "--quay-timeout", "--regenerate-hold", "--log-level", "--log-format", "--version"}) {
    EXPECT_THAT(help.output, HasSubstr(flag));
  }
  EXPECT_THAT(help.output, AllOf(HasSubstr(":8081"), HasSubstr(":8080"), HasSubstr("10m")));
  const ProgramResult version = run({"--version"});
  EXPECT_EQ(version.code, 0);
  EXPECT_THAT(version.output, MatchesRegex("quay-rotator [0-9]+\\.[0-9]+\\.[0-9]+[^\n]*\n"));
}

TEST_F(Program, AWrongFlagIsOneLineAndTwo) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> wrong{
      {{"--no-such-flag"}, "--no-such-flag"},
      {{"run"}, "run"},
      {{"--kubeconfig"}, "--kubeconfig"},
      {{"--namespace"}, "--namespace"},
      {{"--workers=0"}, "--workers"},
      {{"--workers=257"}, "--workers"},
      {{"--workers=many"}, "--workers"},
      {{"--log-level=loud"}, "--log-level"},
      {{"--log-format=xml"}, "--log-format"},
      {{"--drift-interval=soon"}, "--drift-interval"},
      {{"--drift-interval=0s"}, "--drift-interval"},
      {{"--quay-timeout=10"}, "--quay-timeout"},
      {{"--regenerate-hold=1ms"}, "--regenerate-hold"},
      {{"--leader-elect=perhaps"}, "leader-elect"},
  };
  for (const auto& [arguments, words] : wrong) {
    SCOPED_TRACE(arguments.front());
    const ProgramResult result = run(arguments);
    expect_one_line(result, 2);
    EXPECT_THAT(result.output, AllOf(HasSubstr(words), HasSubstr("quay-rotator --help")));
  }
}

TEST_F(Program, ABadKubeconfigIsOneLine) {
  const auto expect = [](const std::vector<std::string>& arguments,
                         const std::map<std::string, std::string>& environment,
                         const std::string& words) {
    const ProgramResult result = run(arguments, environment);
    expect_one_line(result, 1);
    EXPECT_THAT(result.output, HasSubstr(words));
  };
  expect({}, {}, "pass --kubeconfig FILE");
  expect({}, {{"KUBECONFIG", "/no/such/file"}}, "no such file exists");
  expect({"--kubeconfig=/no/such/file"}, {}, "/no/such/file");
  expect({"--kubeconfig=" + cluster().directory()}, {}, cluster().directory());
  const auto broken = [&](const std::string& text, const std::string& words) {
    SCOPED_TRACE(text);
    const std::string file = kubeconfig_file(text);
    expect({"--kubeconfig=" + file}, {}, file);
    expect({"--kubeconfig=" + file}, {}, words);
  };
  const std::string good = R"("current-context": "a",
    "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}])";
  broken("{", "not YAML");
  broken("", "current-context");
  broken("just a text", "expected a mapping");
  broken(R"({"current-context": "b"})", "b");
  broken("{" + good + "}", "there is no cluster named a");
  broken("{" + good + R"(, "clusters": [{"name": "a", "cluster": {}}], "users": [{"name": "a"}]})",
         "server");
  broken("{" + good +
             R"(, "clusters": [{"name": "a", "cluster": {"server": "https://a:1",
                  "certificate-authority-data": "%"}}], "users": [{"name": "a"}]})",
         "not base64");
  broken("{" + good +
             R"(, "clusters": [{"name": "a", "cluster": {"server": "https://a:1",
                  "insecure-skip-tls-verify": true}}], "users": [{"name": "a"}]})",
         "insecure-skip-tls-verify");
}

TEST_F(Program, AnAddressThatIsTakenIsOneLine) {
  boost::asio::io_context context;
  boost::asio::ip::tcp::acceptor taken(context, {boost::asio::ip::address_v4::loopback(), 0},
                                       /*reuse_addr=*/false);
  const std::string address = "127.0.0.1:" + std::to_string(taken.local_endpoint().port());
  const std::string kubeconfig = "--kubeconfig=" + unreachable_kubeconfig();
  for (const std::string flag : {"--health-probe-bind-address=", "--metrics-bind-address="}) {
    const std::string other =
        flag[2] == 'h' ? "--metrics-bind-address=0" : "--health-probe-bind-address=127.0.0.1:0";
    const ProgramResult result = run({kubeconfig, other, flag + address});
    expect_one_line(result, 1);
    EXPECT_THAT(result.output, AllOf(HasSubstr(address), HasSubstr("in use")));
    const ProgramResult nonsense = run({kubeconfig, other, flag + "nonsense"});
    expect_one_line(nonsense, 2);
    EXPECT_THAT(nonsense.output, HasSubstr("nonsense"));
  }
}

TEST_F(Program, AnApiServerThatCannotBeReachedIsWaitedFor) {
  OperatorProcess running({.kubeconfig = unreachable_kubeconfig(), .wait_until_ready = false});
  expect_readiness(running, HasSubstr("cannot connect to https://127.0.0.1:1"));
  EXPECT_THAT(running.probe("/healthz"), HasSubstr("ok"));
  const auto trouble = running.wait_for_log("cannot read from the API server");
  EXPECT_EQ(trouble.at("level"), "warning");
  running.wait_for_log("cannot get or renew the lease");
  const std::string metrics = running.metrics();
  EXPECT_LE(sum_of(metrics, "quay_rotator_kube_requests_total"), 40) << "a busy loop: " << metrics;
  EXPECT_LE(running.log_lines().size(), 12U) << "a busy log";
  EXPECT_EQ(running.terminate(), 0);
}

TEST_F(Program, MissingRightsAreNamed) {
  cluster().kubectl_ok({"-n", ns(), "create", "serviceaccount", "nobody"});
  const std::string kubeconfig =
      cluster()
          .control()
          .post("/kubeconfig", {{"namespace", ns()}, {"serviceAccount", "nobody"}})
          .at("path");
  OperatorProcess running(
      {.arguments = {"--leader-elect=false"}, .kubeconfig = kubeconfig, .wait_until_ready = false});
  expect_readiness(running, HasSubstr("needs the verb list on"));
  EXPECT_THAT(running.wait_for_log("cannot read from the API server").at("error"),
              AllOf(HasSubstr("cannot list resource"), HasSubstr("needs the verb list on")));
  EXPECT_EQ(running.terminate(), 0);
  OperatorProcess electing({.kubeconfig = kubeconfig, .wait_until_ready = false});
  EXPECT_THAT(electing.wait_for_log("cannot get or renew the lease").at("error"),
              HasSubstr("needs the verb get on leases of coordination.k8s.io"));
  EXPECT_EQ(electing.terminate(), 0);
}

TEST_F(Program, EndsWithSigtermAndLetsGoOfTheLease) {
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) {
    OperatorProcess running;
    for (const int nothing : {SIGUSR1, SIGUSR2, SIGALRM, SIGPIPE}) running.signal(nothing);
    const kube::ObjectKey lease{"quay-rotator", "quay-rotator"};
    EXPECT_EQ(cluster().get(kube::leases, lease).at("spec").at("holderIdentity"), "quay-rotator-0");
    const auto began = std::chrono::steady_clock::now();
    running.signal(number);
    EXPECT_EQ(running.wait(), 0);
    EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(5));
    EXPECT_EQ(cluster().get(kube::leases, lease).at("spec").value("holderIdentity", ""), "");
    EXPECT_THAT(running.log(), HasSubstr("\"stopped\""));
  }
}

TEST_F(Program, ALogThatNobodyReadsStopsNothing) {
  const std::string pipe = cluster().directory() + "/unread.log";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  const int reader = open(pipe.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  fcntl(reader, F_SETPIPE_SZ, 4096);
  ChildProcess running(
      {cluster().program("quay-rotator-with-fail-points"), "--kubeconfig",
       cluster().operator_kubeconfig(), "--leader-elect=false", "--log-level=debug",
       "--allowed-quay-hosts=localhost", "--allowed-quay-hosts=127.0.0.1",
       "--health-probe-bind-address=127.0.0.1:0", "--metrics-bind-address=127.0.0.1:0"},
      pipe);
  fcntl(reader, F_SETFL, 0);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> lines(fdopen(reader, "r"), &std::fclose);
  const auto next = [&lines] {
    std::string line;
    for (int c = std::fgetc(lines.get()); c != EOF && c != '\n'; c = std::fgetc(lines.get())) {
      line += static_cast<char>(c);
    }
    return json::parse(line, nullptr, false);
  };
  json line = next();
  while (line.at("message") != "starting") line = next();
  const int metrics = line.at("metrics_port");
  const int probes = line.at("probes_port");
  while (line.at("message") != "caches are complete") line = next();

  // From here on nobody reads, and the pipe holds a dozen lines or two.
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  for (int rotations = 1; rotations <= 4; ++rotations) {
    annotate_rotate_now(std::to_string(rotations));
    ASSERT_TRUE(wait_until_rotated(rotations));
  }
  EXPECT_THAT(http_get(probes, "/healthz"), HasSubstr("[+]workers ok"));
  EXPECT_THAT(http_get(metrics, "/metrics"), HasSubstr("quay_rotator_log_lines_dropped_total"));
  const auto began = std::chrono::steady_clock::now();
  running.signal(SIGTERM);
  EXPECT_EQ(running.wait(), 0);
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(10));
}

TEST_F(Program, AStopEndsThoughAWorkerHangs) {
  OperatorProcess running(
      {.environment = {{"QUAY_ROTATOR_FAIL_POINT_HANGS", "1"}}, .fail_point = "before-regenerate"});
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  annotate_rotate_now("now");
  const auto hangs = [&running] {
    return std::ranges::any_of(running.log_lines(), [](const json& line) {
      return line.value("phase", "") == "regenerate";
    });
  };
  while (!hangs()) usleep(20'000);  // another process writes that file: nothing to wait on
  const auto began = std::chrono::steady_clock::now();
  running.signal(SIGTERM);
  EXPECT_EQ(running.wait(), 1);
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(30));
  EXPECT_THAT(running.log(), AllOf(HasSubstr("is cut off"), HasSubstr("cannot stop in time")));
}

TEST_F(Program, WorksWithoutALease) {
  const kube::ObjectKey lease{"quay-rotator", "quay-rotator"};
  cluster().kubectl_ok(
      {"-n", "quay-rotator", "delete", "lease", "quay-rotator", "--ignore-not-found"});
  const OperatorProcess running({.arguments = {"--leader-elect=false"}});
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  EXPECT_TRUE(cluster().get(kube::leases, lease).is_null());
}

TEST_F(Program, ProbesAndMetrics) {
  const OperatorProcess running;
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
  annotate_rotate_now("now");
  ASSERT_TRUE(wait_until_rotated(1));
  expect_event("Rotated");
  EXPECT_THAT(running.probe("/healthz"), HasSubstr("[+]ping ok"));
  expect_readiness(running, HasSubstr("[+]caches ok"));
  const std::string metrics = running.metrics();
  const auto line = [&](const std::string& text) { EXPECT_THAT(metrics, HasSubstr("\n" + text)); };
  const std::string of_ours = R"({namespace=")" + ns() + R"(",name="puller"})";
  line("quay_rotator_build_info{version=");
  line("quay_rotator_leader 1\n");
  line(R"(quay_rotator_rotations_total{reason="Requested",result="succeeded"} 1)");
  line("quay_rotator_outage_seconds_count 1\n");
  line("quay_rotator_outage_seconds_bucket{le=\"+Inf\"} 1\n");
  line("quay_rotator_rotation_ready" + of_ours + " 1\n");
  line("quay_rotator_token_age_seconds" + of_ours);
  line("quay_rotator_next_rotation_timestamp_seconds" + of_ours);
  line("quay_rotator_workqueue_depth 0\n");
  line("quay_rotator_workqueue_wait_seconds_count");
  line("quay_rotator_workqueue_work_seconds_count");
  line(R"(quay_rotator_quay_requests_total{call="robot-regenerate",outcome="ok"} 1)");
  EXPECT_GE(sum_of(metrics, R"(quay_rotator_quay_requests_total{call="robot-get",outcome="ok"})"),
            2);
  EXPECT_GE(sum_of(metrics, R"(quay_rotator_kube_requests_total)"), 10);
  for (const char* name : {"process_cpu_seconds_total", "process_resident_memory_bytes",
                           "process_open_fds", "process_start_time_seconds", "process_threads"}) {
    EXPECT_GT(sum_of(metrics, std::string(name) + " "), 0) << name;
  }
  const double next = sum_of(metrics, "quay_rotator_next_rotation_timestamp_seconds" + of_ours);
  EXPECT_NEAR(next, static_cast<double>(time(nullptr)) + 3600, 60);
}

TEST_F(Program, LogsJsonOrText) {
  OperatorProcess structured;
  EXPECT_EQ(structured.terminate(), 0);
  std::istringstream all(structured.log());
  for (std::string line; std::getline(all, line);) {
    const json parsed = json::parse(line, nullptr, false);
    ASSERT_TRUE(parsed.is_object()) << line;
    for (const char* field : {"time", "level", "message"}) EXPECT_TRUE(parsed.contains(field));
  }
  const std::string file = cluster().directory() + "/text.log";
  ChildProcess text({cluster().program("quay-rotator-with-fail-points"), "--kubeconfig",
                     cluster().operator_kubeconfig(), "--leader-elect=false", "--log-format=text",
                     "--health-probe-bind-address=127.0.0.1:0", "--metrics-bind-address=0"},
                    file);
  for (int attempt = 0;
       attempt < 500 && read_file(file).find("caches are complete") == std::string::npos;
       ++attempt) {
    usleep(20'000);  // another process writes that file: there is nothing to wait on
  }
  text.signal(SIGTERM);
  EXPECT_EQ(text.wait(), 0);
  const std::string log = read_file(file);
  EXPECT_THAT(log,
              AllOf(HasSubstr("starting"), HasSubstr("caches are complete"), HasSubstr("stopped")));
  EXPECT_NE(log.front(), '{');
}

// The last: it takes the CRDs away for a while.
TEST_F(Program, CrdsThatAreNotInstalledAreNamedAndWaitedFor) {
  struct Restore {
    ~Restore() {
      cluster().kubectl_ok({"apply", "-f", cluster().source("crds")});
      cluster().kubectl_ok(
          {"wait", "--for=condition=Established", "--timeout=30s", "-f", cluster().source("crds")});
    }
  };
  {
    const Restore restore;
    // The chart guards them: their deletion takes every resource along.
    cluster().kubectl_ok(
        {"annotate", "-f", cluster().source("crds"), "quayrotator.dev/allow-deletion=true"});
    cluster().kubectl_ok({"delete", "-f", cluster().source("crds")});
    OperatorProcess without({.wait_until_ready = false});
    expect_readiness(without,
                     AllOf(HasSubstr("quayrotator.dev"), HasSubstr("kubectl apply -f crds")));
    without.wait_for_log("cannot read from the API server");
    EXPECT_EQ(without.terminate(), 0);
  }
  const OperatorProcess again;
  apply_connection();
  apply_rotation();
  ASSERT_TRUE(wait_until_ready());
}

}  // namespace
}  // namespace quay_rotator::cluster
