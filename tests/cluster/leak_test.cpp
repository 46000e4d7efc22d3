// No token is ever seen (I5): not in a log, status, Event, metric, message, environment or file,
// through a whole life with failures whose words quote tokens.
#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>
#include <unistd.h>

#include <sys/stat.h>

#include "base/base64.h"
#include "cluster/cluster_test.h"

namespace quay_rotator::cluster {
namespace {

using testing::HasSubstr;

constexpr std::size_t enough = 8;  // of a token, to call it a leak

// What betrays a token: its first and last characters, plain and in base64 wherever it begins
// there.
std::vector<std::string> traces_of(const std::string& token) {
  std::vector<std::string> traces{token.substr(0, enough), token.substr(token.size() - enough)};
  for (std::size_t before = 0; before < 3; ++before) {
    const std::string padded = std::string(before, '.') + token;
    const auto encoded = base::base64_encode(padded);
    // The first characters also encode what stands before the token.
    traces.emplace_back(encoded.reveal().substr((before * 8 + 5) / 6, enough + 2));
  }
  return traces;
}

class Leak : public ClusterTest {
 protected:
  void note(const std::string& token) { tokens_.insert(token); }
  void note_quay_token() { note(quay_token()); }

  [[nodiscard]] bool betrays(const std::string& text) const {
    return std::ranges::any_of(tokens_, [&](const std::string& token) {
      return std::ranges::any_of(traces_of(token), [&](const std::string& trace) {
        return text.find(trace) != std::string::npos;
      });
    });
  }
  // Says where, and never what: a test's output is a log, too.
  void expect_no_token(const std::string& where, const std::string& text) const {
    EXPECT_FALSE(text.empty()) << where << " is empty";
    EXPECT_FALSE(betrays(text)) << "a token is in " << where;
  }

  // From now on Quay's API answers so about the robot; the fault before it ends.
  void answer(json fault) {
    fault["match"] = {{"robot", "acme+" + robot()}, {"path", "^/api/"}};
    const json added = cluster().quay().post("/faults", fault);
    if (fault_ != 0) cluster().quay().remove("/faults/" + std::to_string(fault_));
    fault_ = added.at("id");
  }
  // Ends the back-off and waits until Quay has answered.
  void try_again() {
    const json entries = journal();
    const auto last = entries.empty() ? 0 : entries.back().at("sequence").get<std::int64_t>();
    annotate_rotate_now("try-" + std::to_string(++tries_));
    journal("done=true&wait=20s&after=" + std::to_string(last));
  }

  // A policy that refuses each real write of a pull Secret and quotes it.
  void apply_quoting_policy() {
    const json policy = {
        {"apiVersion", "admissionregistration.k8s.io/v1"},
        {"kind", "ValidatingAdmissionPolicy"},
        {"metadata", {{"name", "quoting"}}},
        {"spec",
         {{"matchConstraints",
           {{"namespaceSelector", {{"matchLabels", {{"kubernetes.io/metadata.name", ns()}}}}},
            {"resourceRules",
             {{{"apiGroups", {""}},
               {"apiVersions", {"v1"}},
               {"operations", {"CREATE", "UPDATE"}},
               {"resources", {"secrets"}}}}}}},
          {"validations",
           {{{"expression",
              "object.type != 'kubernetes.io/dockerconfigjson' || request.dryRun == true"},
             {"messageExpression", "'quoted: ' + object.data['.dockerconfigjson']"}}}}}}};
    const json binding = {{"apiVersion", "admissionregistration.k8s.io/v1"},
                          {"kind", "ValidatingAdmissionPolicyBinding"},
                          {"metadata", {{"name", "quoting"}}},
                          {"spec", {{"policyName", "quoting"}, {"validationActions", {"Deny"}}}}};
    cluster().kubectl_ok({"apply", "-f", "-"}, policy.dump() + "\n---\n" + binding.dump());
    // Nothing tells when the API server obeys a new policy but a request that it refuses.
    for (int attempt = 0; attempt < 200; ++attempt) {
      const ProgramResult trial =
          cluster().kubectl({"-n", ns(), "create", "secret", "docker-registry", "trial",
                             "--docker-username=a", "--docker-password=b"});
      if (trial.code != 0) {
        EXPECT_THAT(trial.output, HasSubstr("quoted: eyJhdXRocyI6")) << "the policy does not quote";
        return;
      }
      cluster().kubectl({"-n", ns(), "delete", "secret", "trial"});
    }
    ADD_FAILURE() << "the policy never came into force";
  }
  void remove_policy() {
    cluster().kubectl({"delete", "--ignore-not-found", "validatingadmissionpolicybinding/quoting",
                       "validatingadmissionpolicy/quoting"});
  }
  void TearDown() override {
    remove_policy();
    ClusterTest::TearDown();
  }

 private:
  std::set<std::string> tokens_;
  int fault_ = 0;
  int tries_ = 0;
};

TEST_F(Leak, NoTokenIsSeenInAWholeLife) {
  const std::string api_token = cluster().quay().get("/tokens/automation").at("token");
  note(api_token);
  note_quay_token();
  const std::string temporary = cluster().directory() + "/temporary";
  std::filesystem::create_directory(temporary);
  OperatorProcess running(
      {.arguments = {"--drift-interval=1s"}, .environment = {{"TMPDIR", temporary}}});

  // A good life: adopted, rotated, healed, regenerated by somebody else.
  apply_rotation({.secrets = {"quay-pull", "second"}});
  ASSERT_TRUE(wait_until_ready());
  annotate_rotate_now("now");
  ASSERT_TRUE(wait_until_rotated(1));
  note_quay_token();
  cluster().kubectl_ok({"-n", ns(), "delete", "secret", "quay-pull"});
  expect_secret_current();
  cluster().quay().post("/robots/acme+" + robot() + "/regenerate");
  note_quay_token();
  expect_secret_current();
  expect_event("ForeignRotation");

  // Answers that quote tokens.
  const std::string token = quay_token();
  const auto says = [](int status, const std::string& body) {
    return json{{"action", "answer"}, {"status", status}, {"body", body}};
  };
  answer(says(500, "<html>" + token + " " + api_token));
  try_again();
  answer(says(400, json{{"message", "unexpected " + token}}.dump()));
  try_again();
  answer(says(403, json{{"error", "no rights with " + api_token}}.dump()));
  try_again();
  answer(says(401, json{{"detail", "unknown " + api_token}}.dump()));
  try_again();
  answer(says(200, json{{"name", "acme+" + token}, {"token", token}}.dump()));
  try_again();
  answer(says(200, R"({"name": "acme+)" + robot() + R"(", "token": ")" + token));
  try_again();
  answer(says(200, json{{"name", "acme+" + robot()}, {"token", token + "\n" + token}}.dump()));
  try_again();
  json redirect = says(302, "");
  redirect["headers"] = {{"Location", "https://" + token + ".example.com/?t=" + api_token}};
  answer(redirect);
  try_again();
  answer({{"action", "half-body"}});
  try_again();
  answer({{"action", "html-200"}, {"commit", false}});
  try_again();
  answer(says(404, token));
  try_again();
  ASSERT_TRUE(wait_until_failing("NoRobotsApi"));
  EXPECT_EQ(quay_token(), token);
  // Eleven failures in a row: until somebody asks again, the back-off keeps everything still.
  cluster().quay().remove("/faults");
  cluster().quay().post(
      "/faults", {{"match", {{"endpoint", "auth"}}},
                  {"action", "answer"},
                  {"status", 401},
                  {"body", json{{"errors", {{{"message", "bad password " + token}}}}}.dump()}});
  annotate_rotate_now("refused-login");
  ASSERT_TRUE(wait_until_failing("LoginRefused"));
  EXPECT_EQ(quay_token(), token);

  // A Secret that is refused, with its content quoted, after Quay has made the new token.
  apply_quoting_policy();
  cluster().quay().remove("/faults");
  annotate_rotate_now("refused-write");
  ASSERT_TRUE(wait_until_failing("PublishFailed"));
  note_quay_token();
  EXPECT_THAT(condition(rotation(), "Published").at("message").get<std::string>(),
              HasSubstr("quotes its content and is withheld"));
  const std::string describing = cluster().kubectl_ok({"-n", ns(), "describe", "rtr,qc"});
  expect_no_token("kubectl describe, while a Secret is refused", describing);
  remove_policy();
  apply_rotation({.interval = "2h", .secrets = {"quay-pull", "second"}});
  ASSERT_TRUE(wait_until_rotated(2));
  note_quay_token();
  expect_secret_current("second");

  // An API token that cannot be one.
  cluster().kubectl_ok({"-n", ns(), "patch", "secret", "quay-api", "-p",
                        json{{"stringData", {{"token", api_token + " " + token}}}}.dump()});
  apply_connection({{"rateLimit", {{"requestsPerSecond", 100}}}});
  annotate_rotate_now("with-a-bad-token");
  ASSERT_TRUE(wait_until_failing("CredentialsInvalid"));

  ASSERT_TRUE(betrays(cluster().kubectl_ok({"-n", ns(), "get", "secret", "second", "-o", "json"})))
      << "this test would not find a token";
  expect_no_token("the resources", cluster().kubectl_ok({"-n", ns(), "get", "rtr,qc", "-o", "json",
                                                         "--show-managed-fields"}));
  expect_no_token("kubectl describe", cluster().kubectl_ok({"-n", ns(), "describe", "rtr,qc"}));
  expect_no_token("kubectl get -o wide",
                  cluster().kubectl_ok({"-n", ns(), "get", "rtr,qc", "-o", "wide"}));
  expect_no_token("the Events",
                  cluster().kubectl_ok({"get", "events.v1.events.k8s.io", "-A", "-o", "json"}));
  expect_no_token("the Lease", cluster().kubectl_ok({"get", "lease", "-A", "-o", "json"}));
  expect_no_token("the metrics", running.metrics());
  expect_no_token("/readyz", running.probe("/readyz"));
  const std::string process = "/proc/" + std::to_string(running.pid());
  expect_no_token("the environment", read_file(process + "/environ"));
  expect_no_token("the command line", read_file(process + "/cmdline"));
  EXPECT_EQ(running.terminate(), 0);
  EXPECT_THAT(running.log(), HasSubstr("\"level\":\"debug\""));
  expect_no_token("the log", running.log());
  EXPECT_TRUE(std::filesystem::is_empty(temporary)) << "temporary files";
}

// Of a process that cannot be dumped the kernel gives its files in /proc to root, whoever runs it.
TEST_F(Leak, ItsMemoryIsNobodysAndNoCoreIsWritten) {
  const std::filesystem::path directory = cluster().directory() + "-open";
  std::filesystem::create_directory(directory);
  std::filesystem::permissions(directory, std::filesystem::perms(0755));
  const std::string program = directory / "quay-rotator";
  std::filesystem::copy_file(cluster().program("quay-rotator-with-fail-points"), program);
  std::filesystem::permissions(program, std::filesystem::perms(0755));
  const std::string kubeconfig = directory / "kubeconfig";
  write_file(kubeconfig, R"({"current-context": "a",
    "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
    "clusters": [{"name": "a", "cluster": {"server": "https://127.0.0.1:1"}}],
    "users": [{"name": "a", "user": {"token": "unused"}}]})");

  std::vector<std::string> as_user;
  if (geteuid() == 0) as_user = {"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"};
  const auto start = [&](std::vector<std::string> command, const std::string& output) {
    command.insert(command.begin(), as_user.begin(), as_user.end());
    return std::make_unique<ChildProcess>(command, output);
  };
  const auto wait_for = [](const std::string& file, const std::string& text) {
    for (int attempt = 0; attempt < 500 && read_file(file).find(text) == std::string::npos;
         ++attempt) {
      usleep(20'000);  // another process writes that file: there is nothing to wait on
    }
    EXPECT_THAT(read_file(file), HasSubstr(text));
  };
  const auto owner_of_memory = [](pid_t pid) {
    struct stat status {};
    EXPECT_EQ(stat(("/proc/" + std::to_string(pid) + "/mem").c_str(), &status), 0);
    return status.st_uid;
  };

  const std::string ordinary_log = directory / "ordinary.log";
  const auto ordinary = start({"sh", "-c", "echo started; read -r line"}, ordinary_log);
  wait_for(ordinary_log, "started");
  EXPECT_NE(owner_of_memory(ordinary->pid()), 0U) << "this test would find nothing";

  const std::string log = directory / "operator.log";
  const auto running =
      start({program, "--kubeconfig", kubeconfig, "--leader-elect=false",
             "--metrics-bind-address=0", "--health-probe-bind-address=127.0.0.1:0"},
            log);
  wait_for(log, "\"starting\"");
  EXPECT_EQ(owner_of_memory(running->pid()), 0U);
  std::ifstream limits("/proc/" + std::to_string(running->pid()) + "/limits");
  std::string core;
  for (std::string line; std::getline(limits, line);) {
    if (line.starts_with("Max core file size")) core = line;
  }
  EXPECT_THAT(core, testing::MatchesRegex("Max core file size +0 +0 +bytes *"));
  running->signal(SIGTERM);
  EXPECT_EQ(running->wait(), 0);
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace quay_rotator::cluster
