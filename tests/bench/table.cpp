#include "bench/table.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <iostream>

namespace quay_rotator::bench {

namespace {

using Cells = std::array<std::string, 7>;

const Cells header{"figure", "resources", "measured", "reference", "ratio", "goal", ""};

std::string verdict(const Row& row) {
  if (!row.met) return "";
  return *row.met ? "met" : "MISSED";
}

Cells cells(const Row& row) {
  std::string ratio;
  if (row.ratio) {
    char text[32];
    (void)std::snprintf(text, sizeof text, *row.ratio < 0.1 ? "%.3f" : "%.2f", *row.ratio);
    ratio = text;
  }
  std::string size = row.size == 0 ? "" : std::to_string(row.size);
  if (size.size() > 3) size.insert(size.size() - 3, ",");
  return {row.what, size, row.figure, row.reference, ratio, row.goal, verdict(row)};
}

}  // namespace

void Table::add(Row row) {
  const Cells text = cells(row);
  std::printf("%7s  %-56s %-24s %s%s%s%s  %s\n", text[1].c_str(), text[0].c_str(), text[2].c_str(),
              text[3].c_str(), text[4].empty() ? "" : (" (ratio " + text[4] + ")").c_str(),
              text[5].empty() ? "" : "; goal: ", text[5].c_str(), text[6].c_str());
  std::fflush(stdout);
  rows_.push_back(std::move(row));
}

void Table::note(const std::string& text) {
  std::cout << text << std::endl;
}

void Table::print_markdown() const {
  const auto print = [](const Cells& line) {
    for (const std::string& cell : line) std::cout << "| " << cell << " ";
    std::cout << "|\n";
  };
  print(header);
  std::cout << "|---|---:|---|---|---:|---|---|\n";
  for (const Row& row : rows_) print(cells(row));
}

std::size_t Table::missed() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(rows_, [](const Row& row) { return row.met && !*row.met; }));
}

}  // namespace quay_rotator::bench
