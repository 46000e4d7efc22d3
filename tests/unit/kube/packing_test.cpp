#include "kube/packing.h"

#include <limits>
#include <string>
#include <utility>

#include <gtest/gtest.h>

namespace quay_rotator::kube {
namespace {

struct Part {
  std::string text;
  std::int64_t number = 0;
  bool operator==(const Part&) const = default;
};
template <class Archive>
void fields(Archive& archive, Is<Part> auto& part) {
  archive.shared(part.text);
  archive(part.number);
}

enum class Color { red, green };

struct Whole {
  ObjectMeta meta;
  std::string text;
  int small = 0;
  std::int64_t large = 0;
  bool flag = false;
  double real = 0;
  Color color = Color::red;
  base::Duration duration{};
  base::WallTime time{};
  std::optional<base::WallTime> maybe;
  base::Fingerprint fingerprint;
  std::vector<Part> parts;
  std::map<std::string, std::string> labels;
  std::vector<std::string> words;
  std::uint64_t digest = 0;
  std::vector<std::uint64_t> digests;
};
template <class Archive>
void fields(Archive& archive, Is<Whole> auto& whole) {
  archive(whole.meta);
  archive(whole.text, whole.small, whole.large, whole.flag, whole.real, whole.color, whole.duration,
          whole.time, whole.maybe, whole.fingerprint, whole.parts, whole.labels);
  archive.shared_each(whole.words);
  archive.digest(whole.digest);
  archive.digests(whole.digests);
}

Packed packed(const Whole& whole, TextPool& pool) {
  Packer packer(pool);
  fields(packer, whole);
  return packer.take();
}

Whole unpacked(const Packed& bytes, const TextPool& pool) {
  Whole whole;
  Unpacker unpacker(bytes.get(), pool);
  fields(unpacker, whole);
  return whole;
}

Whole example() {
  Whole whole;
  whole.meta = {{"team-a", "puller"}, "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0", "123"};
  whole.text = std::string("with a \0 byte", 13);
  whole.small = -1;
  whole.large = std::numeric_limits<std::int64_t>::min();
  whole.flag = true;
  whole.real = 0.1;
  whole.color = Color::green;
  whole.duration = -std::chrono::hours(5);
  whole.time = base::WallTime(std::chrono::microseconds(-1));
  whole.maybe = base::WallTime(std::chrono::seconds(1'772'366'400));
  whole.fingerprint = base::Fingerprint::of("token");
  whole.parts = {{"same", 1}, {"same", std::numeric_limits<std::int64_t>::max()}, {"", 0}};
  whole.labels = {{"a", "b"}, {"c", ""}};
  whole.words = {"same", "b"};
  whole.digest = ~std::uint64_t{0};
  whole.digests = {1, 2};
  return whole;
}

TEST(Packing, WhatComesOutIsWhatWentIn) {
  TextPool pool;
  for (const Whole& in : {example(), Whole()}) {
    const Packed bytes = packed(in, pool);
    const Whole out = unpacked(bytes, pool);
    EXPECT_EQ(out.meta.key, in.meta.key);
    EXPECT_EQ(out.meta.uid, in.meta.uid);
    EXPECT_EQ(out.meta.resource_version, in.meta.resource_version);
    EXPECT_EQ(out.text, in.text);
    EXPECT_EQ(out.small, in.small);
    EXPECT_EQ(out.large, in.large);
    EXPECT_EQ(out.flag, in.flag);
    EXPECT_EQ(out.real, in.real);
    EXPECT_EQ(out.color, in.color);
    EXPECT_EQ(out.duration, in.duration);
    EXPECT_EQ(out.time, in.time);
    EXPECT_EQ(out.maybe, in.maybe);
    EXPECT_EQ(out.fingerprint, in.fingerprint);
    EXPECT_EQ(out.parts, in.parts);
    EXPECT_EQ(out.labels, in.labels);
    EXPECT_EQ(out.words, in.words);
    EXPECT_EQ(out.digest, in.digest);
    EXPECT_EQ(out.digests, in.digests);
    EXPECT_EQ(Unpacker::key(bytes.get()),
              (Unpacker::Key{in.meta.key.name_space, in.meta.key.name}));
  }
}

TEST(Packing, AUidThatIsNoUuidStaysAsItIs) {
  TextPool pool;
  for (const std::string uid : {"", "uid-1", "0F1E2D3C-4B5A-6978-8796-A5B4C3D2E1F0",
                                "0f1e2d3c-4b5a-6978-8796ya5b4c3d2e1f0"}) {
    Whole whole;
    whole.meta.uid = uid;
    EXPECT_EQ(unpacked(packed(whole, pool), pool).meta.uid, uid);
  }
}

TEST(Packing, ATextIsKeptOnceAndForAsLongAsItIsUsed) {
  TextPool pool;
  Packed first = packed(example(), pool);
  const std::size_t size = pool.size();
  EXPECT_EQ(size, 5U);  // same, b, a, c and the empty one
  Packed second = packed(example(), pool);
  EXPECT_EQ(pool.size(), size);
  release(std::move(first), pool);
  EXPECT_EQ(pool.size(), size);
  EXPECT_EQ(unpacked(second, pool).words, example().words);
  release(std::move(second), pool);
  EXPECT_EQ(pool.size(), 0U);
  const Packed third = packed(example(), pool);
  EXPECT_EQ(unpacked(third, pool).words, example().words);
}

TEST(Packing, ATextThatIsRepeatedIsKeptOnceInItsObject) {
  const std::vector<std::string> names{"",           "acme+puller", "acme+puller",
                                       "acme+other", "acme+puller", ""};
  TextPool pool;
  Packer packer(pool);
  for (int round = 0; round < 2; ++round) {
    for (const std::string& name : names) packer.repeated(name);
    const Packed bytes = packer.take();
    Unpacker unpacker(bytes.get(), pool);
    for (const std::string& name : names) {
      std::string read = "?";
      unpacker.repeated(read);
      EXPECT_EQ(read, name);
    }
  }
}

TEST(Packing, AMarkChangesNothingElse) {
  TextPool pool;
  const Packed bytes = packed(example(), pool);
  EXPECT_FALSE(marked(bytes));
  mark(bytes, true);
  EXPECT_TRUE(marked(bytes));
  EXPECT_EQ(unpacked(bytes, pool).labels, example().labels);
  mark(bytes, false);
  EXPECT_FALSE(marked(bytes));
}

}  // namespace
}  // namespace quay_rotator::kube
