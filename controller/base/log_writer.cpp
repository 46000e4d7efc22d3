#include "base/log_writer.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <unistd.h>
#include <utility>
#include <variant>
#include <vector>

#include <nlohmann/json.hpp>
#include <spdlog/details/null_mutex.h>
#include <spdlog/formatter.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>

#include "base/time.h"

namespace quay_rotator::base {
namespace {

// A JSON string of printable ASCII: everything else is escaped, bytes that are not UTF-8 are
// replaced, so that no value can end a line or drive a terminal.
std::string quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

bool is_printable(char c) {
  return c >= 0x20 && c < 0x7F;
}

// The message of a text line stands without quotes; it is escaped only where it must be.
std::string unquoted(const std::string& text) {
  if (std::all_of(text.begin(), text.end(), is_printable)) return text;
  const std::string escaped = quoted(text);
  return escaped.substr(1, escaped.size() - 2);
}

bool is_bare(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return is_printable(c) && c != ' ' && c != '"' && c != '=' && c != '\\';
  });
}

std::string rendered(const LogField::Value& value, LogFormat format) {
  if (const auto* text = std::get_if<std::string>(&value)) {
    return format == LogFormat::text && is_bare(*text) ? *text : quoted(*text);
  }
  return std::visit([](const auto& number) { return nlohmann::json(number).dump(); }, value);
}

spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warning:
      return spdlog::level::warn;
    case LogLevel::error:
      break;
  }
  return spdlog::level::err;
}

// Puts time and level before what SpdlogWriter has rendered.
class LineFormatter final : public spdlog::formatter {
 public:
  explicit LineFormatter(LogFormat format) : format_(format) {}

  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& line) override {
    const std::string time =
        format_micro_time(std::chrono::floor<WallTime::duration>(message.time));
    const spdlog::string_view_t level = spdlog::level::to_string_view(message.level);
    const auto append = [&line](auto text) { line.append(text.data(), text.data() + text.size()); };
    using std::string_view_literals::operator""sv;
    const bool json = format_ == LogFormat::json;
    append(json ? R"({"time":")"sv : ""sv);
    append(time);
    append(json ? R"(","level":")"sv : " "sv);
    append(level);
    append(json ? R"(",)"sv : " "sv);
    append(message.payload);
    append("\n"sv);
  }

  [[nodiscard]] std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<LineFormatter>(format_);
  }

 private:
  LogFormat format_;
};

// Hands each line on. Needs no lock: the formatter holds nothing that changes.
class LineSink final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  explicit LineSink(LineWriter& lines) : lines_(lines) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    lines_.write(std::string(line.data(), line.size()));
  }
  void flush_() override {}

  LineWriter& lines_;
};

class SpdlogWriter final : public LogWriter {
 public:
  SpdlogWriter(LogLevel level, LogFormat format, Executor& executor)
      : format_(format),
        lines_(
            STDERR_FILENO, [this](std::uint64_t lines) { return gap(lines); }, executor),
        logger_("", std::make_shared<LineSink>(lines_)) {
    logger_.set_level(spdlog_level(level));
    logger_.set_formatter(std::make_unique<LineFormatter>(format));
  }

  void write(LogLevel level, std::string_view message,
             const std::vector<LogField>& fields) override {
    if (!logger_.should_log(spdlog_level(level))) return;
    const std::string line = payload(message, fields);
    logger_.log(spdlog_level(level), spdlog::string_view_t(line.data(), line.size()));
  }

  bool flush(Duration limit) override { return lines_.flush(limit); }
  [[nodiscard]] std::uint64_t dropped() const override { return lines_.dropped(); }

 private:
  [[nodiscard]] std::string payload(std::string_view message,
                                    const std::vector<LogField>& fields) const {
    const bool json = format_ == LogFormat::json;
    const std::string text(message);
    std::string line = json ? R"("message":)" + quoted(text) : unquoted(text);
    for (const LogField& field : fields) {
      line += json ? ',' + quoted(field.key) + ':' : ' ' + field.key + '=';
      line += rendered(field.value, format_);
    }
    return json ? line + '}' : line;
  }

  [[nodiscard]] std::string gap(std::uint64_t lines) const {
    const std::string text = payload("lines are missing here: nobody read the log in time",
                                     {{"lines", static_cast<std::int64_t>(lines)}});
    spdlog::memory_buf_t line;
    LineFormatter(format_).format({"", spdlog::level::warn, text}, line);
    return {line.data(), line.size()};
  }

  LogFormat format_;
  LineWriter lines_;
  spdlog::logger logger_;
};

}  // namespace

std::unique_ptr<LogWriter> make_log_writer(LogLevel level, LogFormat format, Executor& executor) {
  return std::make_unique<SpdlogWriter>(level, format, executor);
}

}  // namespace quay_rotator::base
