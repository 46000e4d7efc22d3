#include "kube/configuration.h"

#include <filesystem>
#include <vector>

#include "kube/in_cluster.h"
#include "kube/kubeconfig.h"

namespace quay_rotator::kube {
namespace {

bool exists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

// The files of $KUBECONFIG that exist: the others are passed over, as kubectl does.
std::vector<std::string> listed_files(std::string_view list) {
  std::vector<std::string> files;
  while (!list.empty()) {
    const std::size_t colon = list.find(':');
    if (std::string file(list.substr(0, colon)); exists(file)) files.push_back(std::move(file));
    list.remove_prefix(colon == std::string_view::npos ? list.size() : colon + 1);
  }
  return files;
}

}  // namespace

base::Expected<Configuration> load_configuration(const ConfigurationOptions& options,
                                                 base::Executor& executor) {
  if (options.kubeconfig) return load_kubeconfig({*options.kubeconfig}, options.context, executor);
  if (const auto list = options.environment("KUBECONFIG"); list && !list->empty()) {
    const std::vector<std::string> files = listed_files(*list);
    if (!files.empty()) return load_kubeconfig(files, options.context, executor);
    return tl::unexpected(base::Error{"KUBECONFIG is " + *list +
                                      ", but no such file exists; set it to a kubeconfig or pass "
                                      "--kubeconfig FILE"});
  }
  if (is_in_cluster(options.environment)) {
    return load_in_cluster(options.environment, options.service_account_directory, executor);
  }
  const std::string home = options.environment("HOME").value_or("");
  const std::string usual = home + "/.kube/config";
  if (!home.empty() && exists(usual)) return load_kubeconfig({usual}, options.context, executor);
  return tl::unexpected(base::Error{
      "no Kubernetes cluster is configured: --kubeconfig and KUBECONFIG are not set, this is no "
      "pod "
      "(KUBERNETES_SERVICE_HOST is not set), and " +
      (home.empty() ? std::string("HOME is not set either") : usual + " does not exist") +
      "; pass --kubeconfig FILE"});
}

}  // namespace quay_rotator::kube
