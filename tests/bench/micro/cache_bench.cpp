// From the API server's text to the cache.
#include <stdexcept>

#include <nlohmann/json.hpp>

#include "api/group.h"
#include "api/managed_secret.h"
#include "bench/micro/allocations.h"
#include "bench/micro/samples.h"
#include "kube/client.h"
#include "runtime/store.h"

namespace quay_rotator::bench {
namespace {

using api::ManagedSecret;
using api::RobotTokenRotation;

template <class T>
void decode_event(benchmark::State& state, const std::string& object) {
  const std::string line = event_text(object);
  const Allocations allocations;
  for ([[maybe_unused]] auto _ : state) {
    const auto event = kube::parse_object(line);
    const auto decoded = T::from_json(event->at("object"));
    if (!decoded) throw std::runtime_error(decoded.error().message);
  }
  allocations.report(state);
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(line.size()));
}
void DecodeRotationEvent(benchmark::State& state) {
  decode_event<RobotTokenRotation>(state, rotation_text(1));
}
BENCHMARK(DecodeRotationEvent);
void DecodeSecretEvent(benchmark::State& state) {
  decode_event<ManagedSecret>(state, secret_text(1));
}
BENCHMARK(DecodeSecretEvent);

// Answers everything with one text.
class OneAnswer final : public http::Transport {
 public:
  explicit OneAnswer(std::string text) : text_(std::move(text)) {}
  tl::expected<http::Response, http::Error> send(const http::Request& /*request*/,
                                                 const http::CallOptions& /*options*/) override {
    http::Response response;
    response.status = 200;
    response.body = base::SecretString::copy_of(text_);
    return response;
  }
  tl::expected<http::Response, http::Error> stream(
      const http::Request& /*request*/, const http::StreamOptions& /*options*/,
      const std::function<bool(std::string_view)>& on_data) override {
    constexpr std::size_t piece = 16U << 10U;
    const std::string_view text = text_;
    for (std::size_t at = 0; at < text.size() && on_data(text.substr(at, piece)); at += piece) {
    }
    http::Response response;
    response.status = 200;
    return response;
  }

 private:
  std::string text_;
};

class NoCredentials final : public kube::Credentials {
 public:
  base::Expected<base::SecretString> bearer_token() override { return base::SecretString(); }
  void invalidate() override {}
};

// As the reflector does it, into an empty store.
template <class T>
void list_page(benchmark::State& state, const kube::Resource& resource, const std::string& page) {
  const auto executor = base::make_system_executor();
  NoCredentials credentials;
  OneAnswer transport(page);
  kube::Client client(transport, credentials, *executor, {});
  const Allocations allocations;
  for ([[maybe_unused]] auto _ : state) {
    runtime::Store<T> store;
    runtime::TypedStoreWriter<T> writer(store);
    writer.begin_snapshot("", runtime::History::goes_on);
    const auto listed = client.list(resource, "", {}, {}, [&writer](const nlohmann::json& item) {
      const auto added = writer.add_to_snapshot(item);
      if (!added) throw std::runtime_error(added.error().message);
    });
    if (!listed) throw std::runtime_error(listed.error().message);
    writer.end_snapshot("2000000");
    benchmark::DoNotOptimize(store.size());
  }
  allocations.report(state);
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(page.size()));
}
void List500Rotations(benchmark::State& state) {
  list_page<RobotTokenRotation>(state, api::rotations, list_text(rotation_text, 500));
}
BENCHMARK(List500Rotations)->Unit(benchmark::kMillisecond);
void List500Secrets(benchmark::State& state) {
  list_page<ManagedSecret>(state, kube::secrets, list_text(secret_text, 500));
}
BENCHMARK(List500Secrets)->Unit(benchmark::kMillisecond);

// A newer version of one object (copied first) among 10,000.
void StoreUpdate(benchmark::State& state) {
  runtime::Store<RobotTokenRotation> store;
  RobotTokenRotation object = rotation(0);
  for (int i = 0; i < 10'000; ++i) {
    object.meta.key.name = "robot-" + std::to_string(i);
    store.put(object);
  }
  std::int64_t version = 2'000'000;
  const Allocations allocations;
  for ([[maybe_unused]] auto _ : state) {
    object.meta.resource_version = std::to_string(++version);
    store.put(object);
  }
  allocations.report(state);
}
BENCHMARK(StoreUpdate);

void StoreFind(benchmark::State& state) {
  runtime::Store<RobotTokenRotation> store;
  RobotTokenRotation object = rotation(0);
  for (int i = 0; i < 10'000; ++i) {
    object.meta.key.name = "robot-" + std::to_string(i);
    store.put(object);
  }
  const kube::ObjectKey key = object.meta.key;
  const Allocations allocations;
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(store.find(key));
  allocations.report(state);
}
BENCHMARK(StoreFind);

}  // namespace
}  // namespace quay_rotator::bench
