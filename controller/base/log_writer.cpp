#include "base/log_writer.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <unistd.h>
#include <utility>
#include <variant>
#include <vector>

#include <nlohmann/json.hpp>

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

std::string_view name(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return "debug";
    case LogLevel::info:
      return "info";
    case LogLevel::warning:
      return "warning";
    case LogLevel::error:
      break;
  }
  return "error";
}

class StandardErrorWriter final : public LogWriter {
 public:
  StandardErrorWriter(LogLevel level, LogFormat format, Executor& executor)
      : level_(level),
        format_(format),
        executor_(executor),
        lines_(
            STDERR_FILENO, [this](std::uint64_t lines) { return gap(lines); }, executor) {}

  void write(LogLevel level, std::string_view message,
             const std::vector<LogField>& fields) override {
    if (level >= level_) lines_.write(line(level, message, fields));
  }

  bool flush(Duration limit) override { return lines_.flush(limit); }
  [[nodiscard]] std::uint64_t dropped() const override { return lines_.dropped(); }

 private:
  [[nodiscard]] std::string line(LogLevel level, std::string_view message,
                                 const std::vector<LogField>& fields) const {
    const std::string time = format_micro_time(executor_.wall_now());
    const std::string text(message);
    const bool json = format_ == LogFormat::json;
    std::string line = json ? R"({"time":")" + time + R"(","level":")" : time + ' ';
    line += name(level);
    line += json ? R"(","message":)" + quoted(text) : ' ' + unquoted(text);
    for (const LogField& field : fields) {
      line += json ? ',' + quoted(field.key) + ':' : ' ' + field.key + '=';
      line += rendered(field.value, format_);
    }
    return line + (json ? "}\n" : "\n");
  }

  [[nodiscard]] std::string gap(std::uint64_t lines) const {
    return line(LogLevel::warning, "lines are missing here: nobody read the log in time",
                {{"lines", static_cast<std::int64_t>(lines)}});
  }

  LogLevel level_;
  LogFormat format_;
  Executor& executor_;
  LineWriter lines_;
};

}  // namespace

std::unique_ptr<LogWriter> make_log_writer(LogLevel level, LogFormat format, Executor& executor) {
  return std::make_unique<StandardErrorWriter>(level, format, executor);
}

}  // namespace quay_rotator::base
