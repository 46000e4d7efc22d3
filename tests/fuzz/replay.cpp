// A target without libFuzzer, for any compiler:
//   fuzz-time FOLDER [MUTATIONS]   each file of the corpus, then that many mutations of them, which
//                                  a seed makes: every run is the same
//   fuzz-time FILE…                these inputs
// When one ends the process, it is kept as crash-<target> in the working directory, and the exit
// code is 1.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <string>
#include <unistd.h>
#include <vector>

#include <sys/mman.h>
#include <sys/wait.h>

#include "fuzz/target.h"

namespace {

using Corpus = std::vector<std::string>;

std::string content(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// In the order of the names, so that every run is the same.
Corpus read_folder(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) files.push_back(entry);
  std::sort(files.begin(), files.end());
  Corpus corpus;
  for (const auto& file : files) corpus.push_back(content(file));
  return corpus;
}

// The input of that number: a file of the corpus, and behind them mutations. The same in each
// process, so that whoever knows the number has the input.
std::string input(const Corpus& corpus, std::size_t number) {
  if (number < corpus.size()) return corpus[number];
  std::mt19937_64 random(number);
  const auto below = [&](std::size_t limit) { return limit == 0 ? 0 : random() % limit; };
  std::string text = corpus[below(corpus.size())];
  constexpr std::string_view telling = "\"\\{}[]:,;=@/%+-.0 \n\r\t\xff";
  for (std::size_t left = 1 + below(4); left != 0; --left) {
    const std::size_t place = below(text.size() + 1);
    const std::size_t length = 1 + below(8);
    switch (below(6)) {
      case 0:
        if (place < text.size()) text[place] = static_cast<char>(text[place] ^ (1 << below(8)));
        break;
      case 1:
        text.insert(place, 1, telling[below(telling.size())]);
        break;
      case 2:
        text.erase(place, length);
        break;
      case 3:
        text.insert(place, text.substr(below(text.size() + 1), length));
        break;
      case 4: {
        const std::string& other = corpus[below(corpus.size())];
        text = text.substr(0, place) + other.substr(below(other.size() + 1));
        break;
      }
      default:
        text.insert(place, length * 16, telling[below(telling.size())]);
    }
  }
  return text;
}

// Runs every input in a child; the number of the one that ended it, or how many there are.
std::size_t run_all(const Corpus& corpus, std::size_t count) {
  void* const shared = ::mmap(nullptr, sizeof(std::size_t), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) throw std::runtime_error("mmap");
  volatile std::size_t& number = *static_cast<std::size_t*>(shared);
  const pid_t child = ::fork();
  if (child == 0) {
    for (std::size_t next = 0; next < count; ++next) {
      number = next;
      const std::string text = input(corpus, next);
      // At the end of a block of its own, so that a sanitizer sees a read behind it.
      const std::vector<char> exact(text.begin(), text.end());
      quay_rotator::fuzz::run({exact.data(), exact.size()});
    }
    number = count;
    std::exit(0);  // with what a sanitizer does at the end
  }
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child) throw std::runtime_error("fork");
  const std::size_t reached = number;
  ::munmap(shared, sizeof(std::size_t));
  if (reached == count && status != 0) throw std::runtime_error("failed after the last input");
  return reached;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.empty()) {
    std::cerr << "usage: " << argv[0] << " FOLDER [MUTATIONS] | FILE...\n";
    return 2;
  }
  try {
    Corpus corpus;
    std::size_t mutations = 0;
    if (std::filesystem::is_directory(arguments[0])) {
      corpus = read_folder(arguments[0]);
      if (arguments.size() > 1) mutations = std::stoul(arguments[1]);
    } else {
      for (const std::string& file : arguments) {
        if (!std::filesystem::exists(file)) throw std::runtime_error(file + " does not exist");
        corpus.push_back(content(file));
      }
    }
    if (corpus.empty()) throw std::runtime_error("there is no input in " + arguments[0]);
    const std::size_t count = corpus.size() + mutations;
    const std::size_t reached = run_all(corpus, count);
    if (reached == count) {
      std::cout << corpus.size() << " inputs and " << mutations << " mutations: nothing found\n";
      return 0;
    }
    const std::string target = std::filesystem::path(argv[0]).filename();
    const std::string kept = std::filesystem::absolute("crash-" + target);
    std::ofstream(kept, std::ios::binary) << input(corpus, reached);
    std::cerr << "input " << reached << " ended the process; replay: " << argv[0] << ' ' << kept
              << '\n';
  } catch (const std::exception& error) {
    std::cerr << argv[0] << ": " << error.what() << '\n';
  }
  return 1;
}
