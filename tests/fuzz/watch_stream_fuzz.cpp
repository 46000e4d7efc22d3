// A page of a list, a line ---, and the stream of a watch: lines, events and the store that a
// reflector makes of them, however the network cuts the stream.
#include <algorithm>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "api/managed_secret.h"
#include "api/robot_token_rotation.h"
#include "fuzz/inline_executor.h"
#include "fuzz/target.h"
#include "http/line_splitter.h"
#include "kube/client.h"
#include "kube/credentials.h"
#include "kube/item_splitter.h"
#include "runtime/reflector.h"
#include "runtime/store.h"
#include "support/fake_transport.h"

namespace quay_rotator::fuzz {
namespace {

// Pieces of 1, 2, … `most` bytes, and again.
std::vector<std::string> cut(std::string_view text, std::size_t most) {
  std::vector<std::string> pieces;
  for (std::size_t size = 1; !text.empty(); size = size % most + 1) {
    pieces.emplace_back(text.substr(0, size));
    text.remove_prefix(std::min(size, text.size()));
  }
  return pieces;
}

struct Lines {
  std::vector<std::string> lines;
  std::string rest;
  bool overflowed = false;
  bool operator==(const Lines&) const = default;
};

Lines split(const std::vector<std::string>& pieces, std::size_t max_line) {
  http::LineSplitter splitter(max_line);
  Lines result;
  for (const std::string& piece : pieces) {
    const bool more = splitter.feed(piece, [&](std::string_view line) {
      expect(line.size() <= max_line, "no line is longer than allowed");
      expect(line.find('\n') == std::string_view::npos, "a line has no end in it");
      result.lines.emplace_back(line);
      return true;
    });
    expect(more != splitter.overflowed(), "only a line that is too long ends the stream");
    if (!more) break;
  }
  result.overflowed = splitter.overflowed();
  if (!result.overflowed) result.rest = splitter.rest();
  return result;
}

void check_lines(std::string_view stream) {
  constexpr std::size_t max_line = 48;
  const Lines whole = split({std::string(stream)}, max_line);
  expect(whole == split(cut(stream, 1), max_line), "lines do not depend on the pieces (single)");
  expect(whole == split(cut(stream, 7), max_line), "lines do not depend on the pieces");
}

std::vector<std::string> items_of(const std::vector<std::string>& pieces) {
  kube::ItemSplitter splitter(48);
  std::vector<std::string> items;
  bool more = true;
  for (std::size_t at = 0; more && at < pieces.size(); ++at) {
    more = splitter.feed(pieces[at], [&](std::string_view item) {
      items.emplace_back(item);
      return true;
    });
  }
  // What is too long is no list, however much of it was handed over.
  if (!more) return {"too long"};
  items.emplace_back(splitter.envelope());
  return items;
}

void check_items(std::string_view page) {
  expect(items_of({std::string(page)}) == items_of(cut(page, 7)),
         "items do not depend on the pieces");
}

// What a store holds: where, which version, and something of the content.
using Held = std::vector<std::tuple<std::string, std::string, std::uint64_t>>;

std::uint64_t content(const api::ManagedSecret& secret) {
  return secret.content;
}
std::uint64_t content(const api::RobotTokenRotation& rotation) {
  return rotation.status.rotation ? 1 : 0;
}

template <class T>
Held reflect(std::string_view page, const std::vector<std::string>& pieces,
             const kube::Resource& resource) {
  InlineExecutor executor;
  // A page, a watch, and a third request that tells that the stream was read to its end. A page
  // that cannot be read is asked for again, and then there is no watch.
  int requests = 0;
  testing::FakeTransport transport(executor,
                                   [&](const testing::SentRequest& sent) -> testing::FakeResult {
                                     if (++requests == 3) executor.stop();
                                     if (sent.target.find("watch=true") == std::string::npos) {
                                       return testing::Answer{.body = std::string(page)};
                                     }
                                     return testing::Answer{.source = testing::pieces(pieces)};
                                   });
  const auto credentials = kube::make_fixed_credentials({});
  kube::Client client(transport, *credentials, executor, {});
  runtime::Store<T> store;
  const runtime::Reflector reflector(
      resource, {}, client, std::make_unique<runtime::TypedStoreWriter<T>>(store), executor, {});
  Held held;
  store.each([&](const T& object) {
    held.emplace_back(object.meta.key.text(), object.meta.resource_version, content(object));
  });
  return held;
}

template <class T>
void check_store(std::string_view page, std::string_view stream, const kube::Resource& resource) {
  const Held whole = reflect<T>(page, {std::string(stream)}, resource);
  expect(whole == reflect<T>(page, cut(stream, 7), resource),
         "a store does not depend on the pieces");
  expect(std::adjacent_find(whole.begin(), whole.end(),
                            [](const auto& a, const auto& b) {
                              return std::get<0>(a) == std::get<0>(b);
                            }) == whole.end(),
         "an object is in the store once");
}

}  // namespace

void run(std::string_view text) {
  check_lines(text);
  const std::string_view page = take_part(text);
  check_items(page);
  check_store<api::ManagedSecret>(page, text, kube::secrets);
  check_store<api::RobotTokenRotation>(page, text, api::rotations);
}

}  // namespace quay_rotator::fuzz
