// The table of a run: one line for each figure, next to what it is measured against.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace quay_rotator::bench {

struct Row {
  std::string what;
  std::size_t size = 0;  // resources; 0: has nothing to do with it
  std::string figure;
  std::string reference{};  // what it is compared with, and its figure
  std::optional<double> ratio{};
  std::string goal{};
  std::optional<bool> met{};
};

class Table {
 public:
  // Prints it at once: a run takes minutes.
  void add(Row row);
  // A line that belongs to no figure.
  static void note(const std::string& text);
  void print_markdown() const;
  [[nodiscard]] std::size_t missed() const;

 private:
  std::vector<Row> rows_;
};

}  // namespace quay_rotator::bench
