// Structured log: one line an event. Secrets have no way in: a SecretString is no field.
//
//   log.info("rotated", {{"resource", "team-a/puller"}, {"outage", 0.012}});
//
// Safe for any number of threads. Where lines go is a LogSink's business: log_writer.h is the
// program's.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"

namespace quay_rotator::base {

class SecretString;

enum class LogLevel { debug, info, warning, error };

struct LogField {
  using Value = std::variant<std::string, std::int64_t, double, bool>;
  LogField(std::string_view key_, std::string_view value_)
      : key(key_), value(std::string(value_)) {}
  LogField(std::string_view key_, const std::string& value_) : key(key_), value(value_) {}
  LogField(std::string_view key_, const char* value_) : key(key_), value(std::string(value_)) {}
  LogField(std::string_view key_, std::int64_t value_) : key(key_), value(value_) {}
  LogField(std::string_view key_, int value_) : key(key_), value(std::int64_t{value_}) {}
  LogField(std::string_view key_, double value_) : key(key_), value(value_) {}
  LogField(std::string_view key_, bool value_) : key(key_), value(value_) {}
  LogField(std::string_view key_, const SecretString&) = delete;

  std::string key;
  Value value;
};

// Where lines go. Implementations are safe for any number of threads.
class LogSink {
 public:
  virtual ~LogSink() = default;
  virtual void write(LogLevel level, std::string_view message,
                     const std::vector<LogField>& fields) = 0;
};

// A cheap value: a sink that it does not own (must outlive it; null: silent), a level and fields
// that every line gets.
class Log {
 public:
  Log() = default;
  Log(LogSink& sink, LogLevel level) : sink_(&sink), level_(level) {}
  [[nodiscard]] Log with(std::vector<LogField> fields) const;

  void debug(std::string_view message, std::initializer_list<LogField> fields = {}) const;
  void info(std::string_view message, std::initializer_list<LogField> fields = {}) const;
  void warning(std::string_view message, std::initializer_list<LogField> fields = {}) const;
  void error(std::string_view message, std::initializer_list<LogField> fields = {}) const;

 private:
  void write(LogLevel level, std::string_view message,
             std::initializer_list<LogField> fields) const;

  LogSink* sink_ = nullptr;
  LogLevel level_ = LogLevel::info;
  std::vector<LogField> fields_;
};

}  // namespace quay_rotator::base
