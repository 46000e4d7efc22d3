#include "base/log.h"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>
#include <spdlog/formatter.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

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

// Puts time and level before what SpdlogSink has rendered.
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

class SpdlogSink final : public LogSink {
 public:
  SpdlogSink(LogLevel level, LogFormat format)
      : format_(format), logger_("", std::make_shared<spdlog::sinks::stderr_sink_mt>()) {
    logger_.set_level(spdlog_level(level));
    logger_.set_formatter(std::make_unique<LineFormatter>(format));
  }

  void write(LogLevel level, std::string_view message,
             const std::vector<LogField>& fields) override {
    if (!logger_.should_log(spdlog_level(level))) return;
    const bool json = format_ == LogFormat::json;
    const std::string text(message);
    std::string line = json ? R"("message":)" + quoted(text) : unquoted(text);
    for (const LogField& field : fields) {
      line += json ? ',' + quoted(field.key) + ':' : ' ' + field.key + '=';
      line += rendered(field.value, format_);
    }
    if (json) line += '}';
    logger_.log(spdlog_level(level), spdlog::string_view_t(line.data(), line.size()));
  }

 private:
  LogFormat format_;
  spdlog::logger logger_;
};

}  // namespace

std::unique_ptr<LogSink> make_log_sink(LogLevel level, LogFormat format) {
  return std::make_unique<SpdlogSink>(level, format);
}

Log Log::with(std::vector<LogField> fields) const {
  Log log = *this;
  log.fields_.insert(log.fields_.end(), std::make_move_iterator(fields.begin()),
                     std::make_move_iterator(fields.end()));
  return log;
}

void Log::debug(std::string_view message, std::initializer_list<LogField> fields) const {
  write(LogLevel::debug, message, fields);
}
void Log::info(std::string_view message, std::initializer_list<LogField> fields) const {
  write(LogLevel::info, message, fields);
}
void Log::warning(std::string_view message, std::initializer_list<LogField> fields) const {
  write(LogLevel::warning, message, fields);
}
void Log::error(std::string_view message, std::initializer_list<LogField> fields) const {
  write(LogLevel::error, message, fields);
}

void Log::write(LogLevel level, std::string_view message,
                std::initializer_list<LogField> fields) const {
  if (sink_ == nullptr || level < level_) return;
  std::vector<LogField> all = fields_;
  all.insert(all.end(), fields);
  sink_->write(level, message, all);
}

}  // namespace quay_rotator::base
