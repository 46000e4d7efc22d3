#include "base/secret_json.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace quay_rotator::base {
namespace {

class Recorder : public JsonVisitor {
 public:
  void on_string(const JsonPath& path, std::string_view value) override {
    events.push_back(place(path) + "=" + std::string(value));
  }
  void on_other(const JsonPath& path) override { events.push_back(place(path)); }
  void on_begin(const JsonPath& path) override { events.push_back(place(path) + "<"); }
  void on_end(const JsonPath& path) override { events.push_back(place(path) + ">"); }

  std::vector<std::string> events;

 private:
  static std::string place(const JsonPath& path) {
    std::string text;
    for (const std::string& key : path) text += "/" + key;
    return text;
  }
};

TEST(SecretJsonTest, VisitsEveryValueWithItsPlace) {
  Recorder recorder;
  EXPECT_TRUE(visit_json(R"({"a":"1","b":[{"c":"2"},{"c":null},["3"],4.5],"d":{},"e":[],"f":true})",
                         recorder));
  EXPECT_EQ(recorder.events,
            (std::vector<std::string>{"<",          "/a=1",   "/b<",     "/b/[]<", "/b/[]/c=2",
                                      "/b/[]>",     "/b/[]<", "/b/[]/c", "/b/[]>", "/b/[]<",
                                      "/b/[]/[]=3", "/b/[]>", "/b/[]",   "/b>",    "/d<",
                                      "/d>",        "/e<",    "/e>",     "/f",     ">"}));
}

TEST(SecretJsonTest, VisitsAScalarRoot) {
  Recorder recorder;
  EXPECT_TRUE(visit_json("\"x\"", recorder));
  EXPECT_TRUE(visit_json("1", recorder));
  EXPECT_EQ(recorder.events, (std::vector<std::string>{"=x", ""}));
}

TEST(SecretJsonTest, RefusesWhatIsNoDocument) {
  for (const char* text : {"", "{", "{\"a\":\"b", "{\"a\"}", "[1,]", "{} {}", "<html>", "\xff",
                           "\"\xc3\x28\"", "1e", "-", "01", "nul"}) {
    Recorder recorder;
    EXPECT_FALSE(visit_json(text, recorder)) << text;
  }
}

TEST(SecretJsonTest, ReadsTheSameInPiecesOfAnySize) {
  const std::string text =
      "\xEF\xBB\xBF"
      R"( {"robots": [{"name": "acme\u002bone", "token": "\ud83d\ude00 ä 日", "n": -0.5e+7, )"
      R"("b": [true, false, null]}, {}], "e\n\"\\": ""} )";
  Recorder whole;
  ASSERT_TRUE(visit_json(text, whole));
  EXPECT_EQ(whole.events[4], "/robots/[]/token=\xF0\x9F\x98\x80 ä 日");
  for (std::size_t size = 1; size < text.size(); ++size) {
    Recorder recorder;
    JsonReader reader(recorder, text.size());
    for (std::size_t at = 0; at < text.size(); at += size) {
      ASSERT_TRUE(reader.feed(std::string_view(text).substr(at, size)));
    }
    EXPECT_TRUE(reader.finish());
    EXPECT_EQ(recorder.events, whole.events) << size;
  }
}

TEST(SecretJsonTest, LetsWhatIsTooLongGoBy) {
  Recorder recorder;
  JsonReader reader(recorder, 8);
  const std::string half(1'000'000, 'x');
  for (const std::string& piece : {std::string(R"({"a": "12345678", "b": ")"), half, half,
                                   std::string("\", \""), half, std::string(R"(": "c"})")}) {
    ASSERT_TRUE(reader.feed(piece));
  }
  EXPECT_TRUE(reader.finish());
  EXPECT_EQ(recorder.events,
            (std::vector<std::string>{"<", "/a=12345678", "/b", "/xxxxxxxx=c", ">"}));
}

TEST(SecretJsonTest, IsOverAtTheFirstMistake) {
  Recorder recorder;
  JsonReader reader(recorder, 100);
  EXPECT_TRUE(reader.feed("{\"a\": "));
  EXPECT_FALSE(reader.feed("<"));
  EXPECT_FALSE(reader.feed("1}"));
  EXPECT_FALSE(reader.finish());
  EXPECT_EQ(recorder.events, (std::vector<std::string>{"<"}));
}

TEST(SecretJsonTest, BoundsTheDepth) {
  Recorder recorder;
  EXPECT_TRUE(visit_json(std::string(32, '[') + std::string(32, ']'), recorder));
  EXPECT_FALSE(visit_json(std::string(1'000'000, '['), recorder));
}

}  // namespace
}  // namespace quay_rotator::base
