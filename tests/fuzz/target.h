// What a fuzz target is: one function that reads a text as the program reads what others wrote, and
// checks what must hold whatever the text is. tests/fuzz/<noun>_fuzz.cpp defines it; libFuzzer
// (engine.cpp) or the corpus and its mutations (replay.cpp) call it.
#pragma once

#include <string_view>

namespace quay_rotator::fuzz {

// Must keep nothing from one call to the next.
void run(std::string_view text);

// Ends the process with a message that a fuzzer takes for a finding.
void expect(bool holds, const char* property);

// Stands for every secret that a target plants, and that its seeds have where a secret would be.
inline constexpr std::string_view marker = "S3CRETMARKER";

// A message for people: no secret in it, and no more of what others wrote than a person reads.
void expect_message(std::string_view message);

// The text up to the first line that is only `---`, which is taken from the front of `rest` with
// it; all of it when there is none.
std::string_view take_part(std::string_view& rest);
// The same for lines.
std::string_view take_line(std::string_view& rest);

}  // namespace quay_rotator::fuzz
