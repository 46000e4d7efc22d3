#include <stdexcept>
#include <unistd.h>

#include "bench/bench.h"
#include "cluster/cluster.h"

namespace quay_rotator::bench {

using cluster::cluster;

pid_t process_of_environment(const std::string& name) {
  return cluster().control().get("/processes").at(name).get<pid_t>();
}

double api_server_cpu() {
  return Seconds(cpu_of(process_of_environment("kube-apiserver"))).count();
}

Reading kubectl_reads_all() {
  const std::string output = cluster().directory() + "/kubectl.json";
  Reading reading;
  for (const char* what : {"secrets", "robottokenrotations,quayconnections"}) {
    std::vector<std::string> command{cluster().value("kubectl"),
                                     "--kubeconfig=" + cluster().value("adminKubeconfig"),
                                     "get",
                                     what,
                                     "--all-namespaces",
                                     "--output=json"};
    if (std::string(what) == "secrets") {
      command.emplace_back("--selector=app.kubernetes.io/managed-by=quay-rotator");
    }
    (void)truncate(output.c_str(), 0);
    const auto began = std::chrono::steady_clock::now();
    cluster::ChildProcess kubectl(command, output);
    while (!kubectl.poll()) {
      reading.peak = std::max(reading.peak, memory_of(kubectl.pid()).peak);
      usleep(2'000);  // its peak is to be seen before it ends
    }
    reading.seconds += Seconds(std::chrono::steady_clock::now() - began).count();
    if (kubectl.wait() != 0)
      throw std::runtime_error("kubectl failed: " + cluster::read_file(output));
  }
  return reading;
}

}  // namespace quay_rotator::bench
