#include "app/options.h"

#include <map>
#include <set>
#include <string_view>

#include <CLI/CLI.hpp>

#include "http/probe_server.h"

namespace quay_rotator::app {

namespace {

// A duration flag: parsed by our own rules, so that its errors are like those of the resources.
void add_duration(CLI::App& app, const std::string& name, base::Duration& value,
                  base::Duration least, const std::string& description) {
  app.add_option_function<std::string>(
         name,
         [&value, name, least](const std::string& text) {
           const auto parsed = base::parse_duration(text);
           if (!parsed) throw CLI::ValidationError(name, parsed.error().message);
           if (*parsed < least) {
             throw CLI::ValidationError(
                 name, "must be at least " + base::format_duration(least) + ", got " + text);
           }
           value = *parsed;
         },
         description)
      ->type_name("DURATION")
      ->default_str(base::format_duration(value));
}

// `off` is a value that stands for no address; empty: there is none.
void add_address(CLI::App& app, const std::string& name, std::string& value, const std::string& off,
                 const std::string& description) {
  app.add_option(name, value, description)
      ->type_name("ADDRESS")
      ->capture_default_str()
      ->check([off](const std::string& text) {
        if (!off.empty() && text == off) return std::string();
        const auto checked = http::check_probe_address(text);
        return checked ? std::string() : checked.error().message;
      });
}

// Whether the API server takes it as an object's name, so that a wrong one is told at once and not
// as a lease that cannot be had.
bool is_object_name(std::string_view name) {
  constexpr std::string_view ends = "abcdefghijklmnopqrstuvwxyz0123456789";
  constexpr std::string_view all = "abcdefghijklmnopqrstuvwxyz0123456789-.";
  constexpr std::size_t most = 253;
  return !name.empty() && name.size() <= most &&
         name.find_first_not_of(all) == std::string_view::npos &&
         ends.find(name.front()) != std::string_view::npos &&
         ends.find(name.back()) != std::string_view::npos;
}

}  // namespace

std::string version() {
  return QUAY_ROTATOR_VERSION;
}

std::variant<Options, Exit> parse_options(int argc, const char* const* argv,
                                          base::Duration least_timeout) {
  Options options;
  std::string log_level = "info";
  std::string log_format = "json";
  std::string kubeconfig;

  CLI::App app("Keeps Quay robot tokens fresh: rotates them and writes them into pull Secrets.",
               "quay-rotator");
  app.set_version_flag("--version", "quay-rotator " + version());
  app.add_option("--kubeconfig", kubeconfig,
                 "Path of a kubeconfig (else $KUBECONFIG, the pod's ServiceAccount, "
                 "~/.kube/config)")
      ->type_name("FILE");
  app.add_option("--namespace", options.namespaces,
                 "Watch this namespace only; repeatable (default: all)")
      ->type_name("NAME")
      ->allow_extra_args(false);
  app.add_flag("--leader-elect", options.leader_elect,
               "Act only while holding the Lease (default: true; --leader-elect=false)");
  app.add_option("--leader-election-id", options.leader_election_id,
                 "Name of the Lease: of those that share it, one acts")
      ->type_name("NAME")
      ->capture_default_str()
      ->check([](const std::string& name) {
        return is_object_name(name)
                   ? std::string()
                   : "must be the name of a Lease: lower-case letters, digits, - and ., with a "
                     "letter or digit at both ends; got '" +
                         name + "'";
      });
  app.add_option("--leader-election-namespace", options.leader_election_namespace,
                 "Namespace of the Lease (default: the pod's or the context's)")
      ->type_name("NAME");
  app.add_option_function<std::vector<std::string>>(
         "--allowed-quay-hosts",
         [&options](const std::vector<std::string>& patterns) {
           auto parsed = http::AllowedHosts::parse(patterns);
           if (!parsed) throw CLI::ValidationError("--allowed-quay-hosts", parsed.error().message);
           options.allowed_quay_hosts = std::move(*parsed);
         },
         "Hosts that url, proxyURL and realm of a connection may name: quay.example.com, "
         "quay.example.com:8443, *.example.com, *; repeatable (default: every host; loopback, "
         "proxyURL and http:// only where a pattern other than * names the host; link-local and "
         "metadata addresses never)")
      ->type_name("PATTERN")
      ->allow_extra_args(false);
  app.add_option_function<std::vector<std::string>>(
         "--allowed-target-metadata",
         [&options](const std::vector<std::string>& patterns) {
           auto parsed = target::AllowedMetadata::parse(patterns);
           if (!parsed) {
             throw CLI::ValidationError("--allowed-target-metadata", parsed.error().message);
           }
           options.allowed_target_metadata = std::move(*parsed);
         },
         "Labels and annotations that targets may have besides those without a prefix and "
         "app.kubernetes.io/: example.com/team, example.com/*; repeatable (other controllers act "
         "on some: they copy Secrets elsewhere)")
      ->type_name("PATTERN")
      ->allow_extra_args(false);
  app.add_option("--allowed-token-audiences", options.allowed_token_audiences,
                 "Audiences that tokens of ServiceAccounts may be asked for with the strategy "
                 "Federate besides the host of the Quay that they go to; repeatable (the API "
                 "server's own never belongs here)")
      ->type_name("AUDIENCE")
      ->allow_extra_args(false);
  add_address(app, "--health-probe-bind-address", options.health_probe_bind_address, "",
              "Where /healthz and /readyz are served");
  add_address(app, "--metrics-bind-address", options.metrics_bind_address, "0",
              "Where /metrics is served; 0 switches it off");
  app.add_option(
         "--workers", options.workers,
         "Resources that are worked on at once; one connection's are a third of them at most, "
         "and eight")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  add_duration(app, "--drift-interval", options.drift_interval, std::chrono::seconds(1),
               "How often each organization's robots are compared with what Quay holds");
  add_duration(app, "--quay-timeout", options.quay_timeout, least_timeout,
               "The most that one call to Quay may take");
  add_duration(app, "--regenerate-hold", options.regenerate_hold, std::chrono::seconds(1),
               "How long a regeneration whose answer was lost may still happen: nothing is sent "
               "again before; at least twice --quay-timeout");
  app.add_option("--log-level", log_level, "Least severe level that is logged")
      ->check(CLI::IsMember(std::set<std::string>{"debug", "info", "warning", "error"}))
      ->capture_default_str();
  app.add_option("--log-format", log_format, "Format of the log lines")
      ->check(CLI::IsMember(std::set<std::string>{"json", "text"}))
      ->capture_default_str();

  try {
    app.parse(argc, argv);
    if (options.regenerate_hold < 2 * options.quay_timeout) {
      throw CLI::ValidationError("--regenerate-hold",
                                 "must be at least twice --quay-timeout, " +
                                     base::format_duration(2 * options.quay_timeout) + ", got " +
                                     base::format_duration(options.regenerate_hold));
    }
  } catch (const CLI::CallForHelp&) {
    return Exit{0, app.help()};
  } catch (const CLI::CallForVersion& request) {
    return Exit{0, std::string(request.what()) + "\n"};
  } catch (const CLI::ParseError& error) {
    return Exit{2, "quay-rotator: " + std::string(error.what()) + " (see quay-rotator --help)\n"};
  }
  if (!kubeconfig.empty()) options.kubeconfig = kubeconfig;
  const std::map<std::string, base::LogLevel> levels{{"debug", base::LogLevel::debug},
                                                     {"info", base::LogLevel::info},
                                                     {"warning", base::LogLevel::warning},
                                                     {"error", base::LogLevel::error}};
  options.log_level = levels.at(log_level);
  options.log_format = log_format == "text" ? base::LogFormat::text : base::LogFormat::json;
  return options;
}

}  // namespace quay_rotator::app
