#include "base/log.h"

#include <iterator>
#include <utility>

namespace quay_rotator::base {

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
