#include "base/line_writer.h"

#include <array>
#include <csignal>
#include <fcntl.h>
#include <sstream>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

namespace quay_rotator::base {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;

// A pipe that nobody reads until a test does.
class Pipe {
 public:
  Pipe() { EXPECT_EQ(pipe2(ends_.data(), O_CLOEXEC), 0); }
  ~Pipe() {
    close_reader();
    close(ends_[1]);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  [[nodiscard]] int writer() const { return ends_[1]; }
  // With one line, to the last byte.
  void fill() {
    std::string text(static_cast<std::size_t>(fcntl(ends_[1], F_GETPIPE_SZ)), 'x');
    text.back() = '\n';
    EXPECT_EQ(write(ends_[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void close_reader() {
    if (ends_[0] >= 0) close(ends_[0]);
    ends_[0] = -1;
  }
  // Blocks until a line is there.
  std::string line() {
    while (text_.find('\n') == std::string::npos) {
      std::array<char, 1024> buffer{};
      const ssize_t count = read(ends_[0], buffer.data(), buffer.size());
      if (count <= 0) return text_;
      text_.append(buffer.data(), static_cast<std::size_t>(count));
    }
    std::string line = text_.substr(0, text_.find('\n'));
    text_.erase(0, line.size() + 1);
    return line;
  }

 private:
  std::array<int, 2> ends_{-1, -1};
  std::string text_;
};

class LineWriterTest : public testing::Test {
 protected:
  static std::string gap(std::uint64_t lines) { return "gap " + std::to_string(lines) + "\n"; }

  std::unique_ptr<Executor> executor_ = make_system_executor();
  Pipe pipe_;
};

TEST_F(LineWriterTest, WritesWhatItIsGivenInOrder) {
  LineWriter writer(pipe_.writer(), gap, *executor_);
  for (const char* line : {"one\n", "two\n", "three\n"}) writer.write(line);
  EXPECT_EQ(pipe_.line(), "one");
  EXPECT_EQ(pipe_.line(), "two");
  EXPECT_EQ(pipe_.line(), "three");
  EXPECT_TRUE(writer.flush(minutes(1)));
  EXPECT_EQ(writer.dropped(), 0U);
}

TEST_F(LineWriterTest, NobodyWaitsForAReaderAndTheGapSaysWhatIsMissing) {
  LineWriter writer(pipe_.writer(), gap, *executor_, {16U << 10U, milliseconds(1)});
  pipe_.fill();
  constexpr int count = 10'000;  // far more than the queue holds
  for (int i = 1; i <= count; ++i) writer.write("line " + std::to_string(i) + '\n');
  EXPECT_FALSE(writer.flush(milliseconds(1)));
  const std::uint64_t dropped = writer.dropped();
  EXPECT_GT(dropped, 0U);

  pipe_.line();
  std::uint64_t told = 0;
  int last = 0;
  while (last < count) {
    std::istringstream line(pipe_.line());
    std::string word;
    int number = 0;
    line >> word >> number;
    if (word == "gap") {
      told += static_cast<std::uint64_t>(number);
      last += number;  // and the next line is the one after them
    } else {
      ASSERT_EQ(number, ++last);
    }
  }
  EXPECT_TRUE(writer.flush(minutes(1)));
  EXPECT_EQ(told, dropped);
  EXPECT_EQ(writer.dropped(), dropped);
  writer.write("after\n");
  EXPECT_EQ(pipe_.line(), "after");
}

TEST_F(LineWriterTest, EndsAlthoughNobodyReads) {
  const MonotonicTime began = executor_->now();
  {
    pipe_.fill();
    LineWriter writer(pipe_.writer(), gap, *executor_, {1U << 20U, milliseconds(10)});
    writer.write("nobody will read this\n");
  }
  EXPECT_LT(executor_->now() - began, minutes(1));
}

TEST_F(LineWriterTest, ItsEndWritesWhatIsLeft) {
  std::string all;
  {
    LineWriter writer(pipe_.writer(), gap, *executor_);
    for (int i = 0; i < 100; ++i) writer.write("x\n");
  }
  for (int i = 0; i < 100; ++i) all += pipe_.line();
  EXPECT_EQ(all, std::string(100, 'x'));
}

TEST_F(LineWriterTest, ALineLongerThanThePipeArrivesWhole) {
  LineWriter writer(pipe_.writer(), gap, *executor_);
  const std::string line(200'000, 'x');
  writer.write(line + '\n');
  EXPECT_EQ(pipe_.line(), line);
}

TEST_F(LineWriterTest, ALineLargerThanTheQueueIsDroppedAlone) {
  LineWriter writer(pipe_.writer(), gap, *executor_, {1024, milliseconds(1)});
  writer.write(std::string(2000, 'x') + '\n');
  EXPECT_EQ(writer.dropped(), 1U);
  writer.write("next\n");
  EXPECT_EQ(pipe_.line(), "gap 1");
  EXPECT_EQ(pipe_.line(), "next");
}

TEST_F(LineWriterTest, AReaderThatIsGoneCostsTheLinesAndNothingElse) {
  struct Ignore {
    sighandler_t before = signal(SIGPIPE, SIG_IGN);
    ~Ignore() { signal(SIGPIPE, before); }
  };
  const Ignore broken_pipe;
  pipe_.close_reader();
  LineWriter writer(pipe_.writer(), gap, *executor_);
  for (int i = 0; i < 10; ++i) writer.write("x\n");
  EXPECT_TRUE(writer.flush(minutes(1)));
  EXPECT_EQ(writer.dropped(), 10U);
}

}  // namespace
}  // namespace quay_rotator::base
