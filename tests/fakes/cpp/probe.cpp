// Calls one part of runtime/cpp from a test:
// probe json FILE | sha256 FILE | answer TEMPERATURE LOGIT...
#include <cstdlib>
#include <iomanip>
#include <iostream>
#include <string>
#include <vector>

#include "answer.hpp"
#include "error.hpp"
#include "json.hpp"
#include "sha256.hpp"

namespace {

// The document as Python would write it, so that a test can compare the two readers.
void print(const edge_arm::Json& value) {
  using Kind = edge_arm::Json::Kind;
  const char* between = "";
  switch (value.kind()) {
    case Kind::null:
      std::cout << "null";
      break;
    case Kind::boolean:
      std::cout << "\"a boolean\"";
      break;
    case Kind::number:
      std::cout << std::setprecision(17) << value.number();
      break;
    case Kind::text:
      std::cout << edge_arm::quoted(value.text());
      break;
    case Kind::list:
      std::cout << "[";
      for (const edge_arm::Json& item : value.list()) {
        std::cout << between;
        print(item);
        between = ", ";
      }
      std::cout << "]";
      break;
    case Kind::object:
      std::cout << "{";
      for (const auto& [name, item] : value.members()) {
        std::cout << between << edge_arm::quoted(name) << ": ";
        print(item);
        between = ", ";
      }
      std::cout << "}";
  }
}

}  // namespace

int main(int count, char** words) {
  const std::string what = count > 2 ? words[1] : "";
  try {
    if (what == "json") {
      const edge_arm::Bytes content = edge_arm::read_file(words[2]);
      print(edge_arm::Json::parse(
          {reinterpret_cast<const char*>(content.data()), content.size()}, "the file"));
    } else if (what == "sha256") {
      std::cout << edge_arm::sha256(edge_arm::read_file(words[2]));
    } else if (what == "answer") {
      std::vector<float> logits;
      for (int i = 3; i < count; ++i) logits.push_back(std::strtof(words[i], nullptr));
      const auto answer =
          edge_arm::answer_of(logits.data(), logits.size(), std::strtod(words[2], nullptr));
      std::cout << answer.index << std::setprecision(17);
      for (const double value : answer.probabilities) std::cout << " " << value;
    } else {
      return 3;
    }
  } catch (const edge_arm::Error& error) {
    std::cerr << error.what() << "\n";
    return 2;
  }
  return 0;
}
