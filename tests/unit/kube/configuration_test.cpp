#include "kube/configuration.h"

#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "kube/credentials.h"
#include "support/temporary_folder.h"
#include "support/virtual_executor.h"

namespace quay_rotator::kube {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

// A kubeconfig with one context; `cluster` and `user` are YAML flow mappings.
std::string config(const std::string& cluster, const std::string& user) {
  return "apiVersion: v1\nkind: Config\npreferences: {colors: true}\ncurrent-context: kind\n"
         "contexts:\n- name: kind\n  context: {cluster: c, user: u, namespace: team-a}\n"
         "clusters:\n- name: c\n  cluster: " +
         cluster + "\nusers:\n- name: u\n  user: " + user + "\n";
}

const std::string plain_cluster = "{server: 'https://api.example.com:6443'}";

class ConfigurationTest : public ::testing::Test {
 protected:
  base::Expected<Configuration> load() { return load_configuration(options_, executor_); }
  base::Expected<Configuration> load_text(const std::string& text) {
    options_.kubeconfig = folder_.write("config", text);
    return load();
  }
  std::string error_of(const std::string& text) {
    const auto loaded = load_text(text);
    return loaded ? "loaded" : loaded.error().message;
  }
  static std::string token_of(const Configuration& configuration) {
    const auto token = configuration.credentials->bearer_token();
    return token ? std::string(token->reveal()) : token.error().message;
  }

  testing::TemporaryFolder folder_;
  testing::VirtualExecutor executor_{1};
  std::map<std::string, std::string, std::less<>> variables_;
  ConfigurationOptions options_{
      .kubeconfig = std::nullopt,
      .environment = [this](std::string_view name) -> std::optional<std::string> {
        const auto found = variables_.find(name);
        if (found == variables_.end()) return std::nullopt;
        return found->second;
      },
      .service_account_directory = folder_.path("serviceaccount")};
};

TEST_F(ConfigurationTest, ReadsTheCurrentContext) {
  const auto loaded = load_text(config(
      "{server: 'https://api.example.com:6443', certificate-authority-data: Y2E=}", "{token: t}"));
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->endpoint.origin, "https://api.example.com:6443");
  EXPECT_EQ(loaded->endpoint.ca_certificates, "ca");
  EXPECT_EQ(loaded->endpoint.proxy, std::nullopt);
  EXPECT_FALSE(loaded->endpoint.allow_insecure);
  EXPECT_FALSE(loaded->endpoint.client_key.has_value());
  EXPECT_EQ(token_of(*loaded), "t");
  EXPECT_EQ(loaded->name_space, "team-a");
  EXPECT_EQ(loaded->source, folder_.path("config") + ", context kind");
}

TEST_F(ConfigurationTest, ReadsJsonAndPlainHttp) {
  const auto loaded = load_text(R"({"current-context": "a", "users": null,
      "contexts": [{"name": "a", "context": {"cluster": "c"}}],
      "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:8001/"}}]})");
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->endpoint.origin, "http://127.0.0.1:8001");
  EXPECT_TRUE(loaded->endpoint.allow_insecure);
  EXPECT_EQ(loaded->name_space, "default");
  EXPECT_EQ(token_of(*loaded), "");
}

TEST_F(ConfigurationTest, ResolvesFilesRelativeToItsFolder) {
  (void)folder_.write("pki/ca.pem", "file-ca");
  (void)folder_.write("pki/cert.pem", "cert");
  const std::string key = folder_.write("pki/key.pem", "key");
  (void)folder_.write("token", "file-token\n");
  const auto loaded = load_text(config("{server: 'https://a', certificate-authority: pki/ca.pem}",
                                       "{client-certificate: pki/cert.pem, client-key: " + key +
                                           ", tokenFile: ./token, token: other}"));
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->endpoint.ca_certificates, "file-ca");
  EXPECT_EQ(loaded->endpoint.client_certificate, "cert");
  ASSERT_TRUE(loaded->endpoint.client_key.has_value());
  EXPECT_EQ(loaded->endpoint.client_key->reveal(), "key");
  EXPECT_EQ(token_of(*loaded), "file-token");
}

TEST_F(ConfigurationTest, DataGoesBeforeFilesAndMayBeFolded) {
  const auto loaded =
      load_text(config("{server: 'https://a', certificate-authority: /nowhere, "
                       "certificate-authority-data: \"Y2Et\\nZGF0\\nYQ==\\n\"}",
                       "{client-certificate-data: Y2VydA==, client-key-data: a2V5}"));
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->endpoint.ca_certificates, "ca-data");
  EXPECT_EQ(loaded->endpoint.client_certificate, "cert");
  EXPECT_EQ(loaded->endpoint.client_key->reveal(), "key");
}

TEST_F(ConfigurationTest, RunsAnExecPluginOfItsFolder) {
  (void)folder_.write_script(
      "bin/plugin",
      "echo '{\"apiVersion\":\"client.authentication.k8s.io/v1beta1\",\"status\":{\"token\":\"'"
      "$1-$NAME'\"}}'\n");
  const auto loaded = load_text(
      config(plain_cluster,
             "{exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: ./bin/plugin, "
             "args: [x], env: [{name: NAME, value: y}], provideClusterInfo: true, "
             "interactiveMode: IfAvailable, installHint: get it}}"));
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(token_of(*loaded), "x-y");
}

TEST_F(ConfigurationTest, ReadsAServerBelowAPath) {
  for (const char* server : {"https://rancher.example.com/k8s/clusters/c-m-abcdefgh",
                             "https://rancher.example.com/k8s/clusters/c-m-abcdefgh//"}) {
    const auto loaded =
        load_text(config("{server: '" + std::string(server) + "'}", "{token: 'u-abc:made-up'}"));
    ASSERT_TRUE(loaded) << loaded.error().message;
    EXPECT_EQ(loaded->endpoint.origin, "https://rancher.example.com");
    EXPECT_EQ(loaded->path, "/k8s/clusters/c-m-abcdefgh");
  }
  EXPECT_EQ(load_text(config(plain_cluster, "{}"))->path, "");
}

TEST_F(ConfigurationTest, ReadsTheNameThatTheServersCertificateIsFor) {
  const auto loaded = load_text(config(
      "{server: 'https://127.0.0.1:6443', tls-server-name: api.internal.example.com}", "{}"));
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->endpoint.origin, "https://127.0.0.1:6443");
  EXPECT_EQ(loaded->endpoint.server_name, "api.internal.example.com");
}

TEST_F(ConfigurationTest, ReadsAProxyWithItsUserAndPassword) {
  const auto proxied = [this](const std::string& proxy) {
    return load_text(config("{server: 'https://a', proxy-url: '" + proxy + "'}", "{}"));
  };
  auto loaded = proxied("http://127.0.0.1:3128");
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->endpoint.proxy, "http://127.0.0.1:3128");
  EXPECT_TRUE(loaded->endpoint.proxy_authorization.empty());
  loaded = proxied("http://me:p%40ss%2Fword@proxy.example.com:3128/");
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->endpoint.proxy, "http://proxy.example.com:3128");
  EXPECT_EQ(loaded->endpoint.proxy_authorization.reveal(), "Basic bWU6cEBzcy93b3Jk");
  EXPECT_EQ(proxied("http://me@proxy")->endpoint.proxy_authorization.reveal(), "Basic bWU6");
  const auto wrong = proxied("http://me:s3cr3t/x@proxy");
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().message, ::testing::Not(HasSubstr("s3cr3t")));
}

TEST_F(ConfigurationTest, TellsAPluginAllThatKubectlTells) {
  (void)folder_.write_script(
      "plugin",
      "printf '%s' \"$KUBERNETES_EXEC_INFO\" > \"$0.info\"\n"
      "echo '{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"status\":{\"token\":\"t\"}}'\n");
  const auto loaded = load_text(
      config("{server: 'https://a/b', tls-server-name: n, proxy-url: 'http://p:1', "
             "certificate-authority-data: Y2E=, disable-compression: true, "
             "extensions: [{name: other, extension: x}, {name: client.authentication.k8s.io/exec, "
             "extension: {audience: eks, list: [1, two, \"3\", true, null]}}]}",
             "{exec: {apiVersion: client.authentication.k8s.io/v1, command: ./plugin, "
             "provideClusterInfo: true}}"));
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(token_of(*loaded), "t");
  const auto info = read_file(folder_.path("plugin.info"));
  ASSERT_TRUE(info);
  EXPECT_EQ(nlohmann::json::parse(info->reveal())["spec"]["cluster"], nlohmann::json::parse(R"({
      "server": "https://a/b", "tls-server-name": "n", "proxy-url": "http://p:1",
      "certificate-authority-data": "Y2E=", "disable-compression": true,
      "config": {"audience": "eks", "list": [1, "two", "3", true, null]}})"));
}

TEST_F(ConfigurationTest, AContextThatIsAskedForGoesBeforeTheCurrentOne) {
  options_.context = "kind";
  const std::string text = config(plain_cluster, "{}");
  const auto loaded =
      load_text("current-context: other\n" + text.substr(0, text.find("current-context")) +
                text.substr(text.find("contexts:")));
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->context, "kind");
  options_.context = "gone";
  EXPECT_THAT(error_of(text), HasSubstr("there is no context named gone"));
}

TEST_F(ConfigurationTest, TellsWhetherTheUserHasChanged) {
  const auto user = [this](const std::string& text) {
    return std::string(load_text(config(plain_cluster, text))->user.reveal());
  };
  const std::string exec =
      "{exec: {apiVersion: client.authentication.k8s.io/v1, command: x, args: [";
  std::set<std::string> different;
  for (const std::string& text :
       {std::string("{}"), std::string("{token: a}"), std::string("{token: b}"),
        std::string("{tokenFile: a}"), exec + "a]}}", exec + "b]}}"}) {
    EXPECT_EQ(user(text), user(text));
    EXPECT_TRUE(different.insert(user(text)).second) << text;
  }
}

TEST_F(ConfigurationTest, NamesTheFileThePlaceAndTheFieldOfEachMistake) {
  struct Case {
    std::string text;
    std::string message;  // after "FILE: "
  };
  const std::string exec = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: x, ";
  for (const Case& c : std::initializer_list<Case>{
           {"", "current-context is not set; choose one with kubectl config use-context NAME"},
           {"{}", "current-context is not set; choose one with kubectl config use-context NAME"},
           {"[]", "kubeconfig: expected a mapping"},
           {"a: [\n", "line 2: not YAML: end of sequence flow not found"},
           {"current-context: x", "there is no context named x, which current-context asks for"},
           {"current-context: [x]", "kubeconfig.current-context: expected a text"},
           {"clusters: x", "clusters: expected a list"},
           {"users: [x]", "users[]: expected a mapping with name and user"},
           {"current-context: x\ncontexts: [{name: x}]", "contexts[x].context.cluster: is missing"},
           {"current-context: x\ncontexts: [{name: x, context: {cluster: y}}]",
            "contexts[x].context.cluster: there is no cluster named y"},
           {"current-context: x\ncontexts: [{name: x, context: {cluster: y, user: z}}]\n"
            "clusters: [{name: y, cluster: {server: 'https://a'}}]",
            "contexts[x].context.user: there is no user named z"},
           {config("{}", "{}"), "clusters[c].cluster.server: is missing"},
           {config("{server: [a]}", "{}"), "clusters[c].cluster.server: expected a text"},
           {config("{server: 'https://a/b?c=d'}", "{}"),
            "clusters[c].cluster.server: a query (?) makes no sense here"},
           {config("{server: 'https://a', insecure-skip-tls-verify: true}", "{}"),
            "clusters[c].cluster.insecure-skip-tls-verify: is not supported by quay-rotator"},
           {config("{server: 'https://a', proxy-url: 'socks5://b:1080'}", "{}"),
            "clusters[c].cluster.proxy-url: a proxy of the scheme socks5 is not supported by "
            "quay-rotator; expected http://host:port"},
           {config("{server: 'https://a', proxy-url: 'https://b'}", "{}"),
            "clusters[c].cluster.proxy-url: a proxy of the scheme https is not supported by "
            "quay-rotator; expected http://host:port"},
           {config("{server: 'https://a', proxy-url: 'b:3128'}", "{}"),
            "clusters[c].cluster.proxy-url: expected http://host:port"},
           {config("{server: 'https://a', proxy-url: 'http://u:%4@b'}", "{}"),
            "clusters[c].cluster.proxy-url: has a % that no two hexadecimal digits follow"},
           {config("{server: 'https://a', certificate-authority-data: '%'}", "{}"),
            "clusters[c].cluster.certificate-authority-data: not base64"},
           {config("{server: 'https://a', certificate-authority: /no/ca}", "{}"),
            "clusters[c].cluster.certificate-authority: cannot read /no/ca: No such file or "
            "directory"},
           {config(plain_cluster, "{username: a, password: s3cr3t}"),
            "users[u].user.username: is not supported by quay-rotator"},
           {config(plain_cluster, "{auth-provider: {name: gcp}}"),
            "users[u].user.auth-provider: is not supported by quay-rotator"},
           {config(plain_cluster, "{token: t, as-groups: [admins]}"),
            "users[u].user.as-groups: is not supported by quay-rotator"},
           {config(plain_cluster, "{client-certificate-data: Y2E=}"),
            "users[u].user.client-key: is missing"},
           {config(plain_cluster, "{client-key-data: Y2E=}"),
            "users[u].user.client-certificate: is missing"},
           {config(plain_cluster, "{exec: {apiVersion: client.authentication.k8s.io/v1alpha1}}"),
            "users[u].user.exec.apiVersion: expected client.authentication.k8s.io/v1 or "
            "client.authentication.k8s.io/v1beta1"},
           {config(plain_cluster, "{exec: {apiVersion: client.authentication.k8s.io/v1}}"),
            "users[u].user.exec.command: is missing"},
           {config(plain_cluster, exec + "interactiveMode: Always}}"),
            "users[u].user.exec.interactiveMode: Always needs a terminal, which quay-rotator does "
            "not have"},
           {config(plain_cluster, exec + "args: x}}"),
            "users[u].user.exec.args: expected a list of texts"},
           {config(plain_cluster, exec + "env: [{value: x}]}}"),
            "users[u].user.exec.env[].name: is missing"},
           {config(plain_cluster, exec + "provideClusterInfo: maybe}}"),
            "users[u].user.exec.provideClusterInfo: expected true or false"},
       }) {
    EXPECT_EQ(error_of(c.text), folder_.path("config") + ": " + c.message) << c.text;
  }
}

TEST_F(ConfigurationTest, AcceptsWhatIsSwitchedOff) {
  EXPECT_EQ(error_of(config("{server: 'https://a', insecure-skip-tls-verify: false, "
                            "tls-server-name: '', proxy-url: , disable-compression: true}",
                            "{username: '', auth-provider: null}")),
            "loaded");
}

TEST_F(ConfigurationTest, AnErrorNeverQuotesAToken) {
  for (const char* user : {"{token: [s3cr3t]}", "{token: s3cr3t, exec: }}",
                           "{token: s3cr3t\n  x: }", "{client-key-data: s3cr3t%}"}) {
    const std::string message = error_of(config(plain_cluster, user));
    EXPECT_NE(message, "loaded") << user;
    EXPECT_THAT(message, ::testing::Not(HasSubstr("s3cr3t")));
  }
}

TEST_F(ConfigurationTest, TheFlagGoesBeforeEverythingAndMustExist) {
  variables_["KUBECONFIG"] = folder_.write("other", config("{server: 'https://other'}", "{}"));
  EXPECT_EQ(load_text(config("{server: 'https://flag'}", "{}"))->endpoint.origin, "https://flag");
  options_.kubeconfig = folder_.path("missing");
  EXPECT_EQ(load().error().message,
            "cannot read " + folder_.path("missing") + ": No such file or directory");
}

TEST_F(ConfigurationTest, MergesTheListAndTheFirstValueWins) {
  const std::string first = folder_.write(
      "a/first",
      "current-context: mine\ncontexts: [{name: mine, context: {cluster: c, user: u}}]\n"
      "users: [{name: u, user: {tokenFile: token}}]\n");
  (void)folder_.write("a/token", "of-first");
  const std::string second = folder_.write("second", config(plain_cluster, "{token: of-second}"));
  variables_["KUBECONFIG"] = folder_.path("missing") + "::" + first + ':' + second;
  const auto loaded = load();
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->endpoint.origin, "https://api.example.com:6443");
  EXPECT_EQ(token_of(*loaded), "of-first");
  EXPECT_EQ(loaded->name_space, "default");
  EXPECT_EQ(loaded->source, first + ", " + second + ", context mine");
  variables_["KUBECONFIG"] = second + ':' + first;
  EXPECT_EQ(token_of(*load()), "of-second");
}

TEST_F(ConfigurationTest, SaysThatNothingOfTheListExists) {
  variables_["KUBECONFIG"] = "/no/a:/no/b";
  EXPECT_EQ(load().error().message,
            "KUBECONFIG is /no/a:/no/b, but no such file exists; set it to a kubeconfig or pass "
            "--kubeconfig FILE");
}

TEST_F(ConfigurationTest, UsesTheServiceAccountInAPod) {
  variables_ = {{"KUBERNETES_SERVICE_HOST", "fd00::1"},
                {"KUBERNETES_SERVICE_PORT", "443"},
                {"HOME", folder_.path("home")}};
  (void)folder_.write("home/.kube/config", config(plain_cluster, "{}"));
  (void)folder_.write("serviceaccount/ca.crt", "pod-ca");
  (void)folder_.write("serviceaccount/namespace", "operators");
  EXPECT_EQ(load().error().message,
            "in a pod (KUBERNETES_SERVICE_HOST is set): cannot read " +
                folder_.path("serviceaccount/token") +
                ": No such file or directory; does the pod set automountServiceAccountToken: "
                "false? Else pass --kubeconfig FILE");
  (void)folder_.write("serviceaccount/token", "pod-token");
  auto loaded = load();
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->endpoint.origin, "https://[fd00::1]");
  EXPECT_EQ(loaded->endpoint.ca_certificates, "pod-ca");
  EXPECT_EQ(loaded->name_space, "operators");
  EXPECT_EQ(token_of(*loaded), "pod-token");
  EXPECT_EQ(loaded->source, folder_.path("serviceaccount"));
  (void)folder_.write("serviceaccount/token", "fresh");
  executor_.advance(1min);
  EXPECT_EQ(token_of(*loaded), "fresh");
}

TEST_F(ConfigurationTest, RefusesAnOddServiceHost) {
  variables_ = {{"KUBERNETES_SERVICE_HOST", "a b"}, {"KUBERNETES_SERVICE_PORT", "443"}};
  EXPECT_THAT(load().error().message,
              HasSubstr("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT: "));
}

TEST_F(ConfigurationTest, ComesToTheHomeFolderLast) {
  variables_["HOME"] = folder_.path("home");
  EXPECT_EQ(load().error().message,
            "no Kubernetes cluster is configured: --kubeconfig and KUBECONFIG are not set, this is "
            "no pod (KUBERNETES_SERVICE_HOST is not set), and " +
                folder_.path("home/.kube/config") + " does not exist; pass --kubeconfig FILE");
  (void)folder_.write("home/.kube/config", config(plain_cluster, "{}"));
  EXPECT_TRUE(load());
  variables_.clear();
  EXPECT_THAT(load().error().message, HasSubstr("and HOME is not set either; pass --kubeconfig"));
}

}  // namespace
}  // namespace quay_rotator::kube
