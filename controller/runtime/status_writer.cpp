#include "runtime/status_writer.h"

namespace quay_rotator::runtime {

nlohmann::json conditional_status(const kube::ObjectMeta& meta, nlohmann::json change) {
  return {{"metadata", {{"resourceVersion", meta.resource_version}}},
          {"status", std::move(change)}};
}

kube::Error malformed(const kube::ObjectKey& key, const base::Error& error) {
  kube::Error result;
  result.kind = kube::Error::Kind::malformed;
  result.message = key.text() + ": the API server's answer cannot be read: " + error.message;
  return result;
}

}  // namespace quay_rotator::runtime
