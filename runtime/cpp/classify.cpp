// edge-arm-classify: what an engine of a bundle says about faces, as JSON lines.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "answer.hpp"
#include "bundle.hpp"
#include "engine.hpp"
#include "error.hpp"
#include "faces.hpp"
#include "json.hpp"

namespace {

constexpr const char* kUsage =
    "usage: edge-arm-classify [--dla CORE] BUNDLE fp32|fp16|int8 FACE.ppm|FACES.raw ...\n"
    "  FACE.ppm is binary (P6), FACES.raw is RGB bytes; both have the model's size.\n";

std::string number_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", value);  // 9 digits give a float32 back exactly
  return text;
}

void print(const std::string& name, const edge_arm::Bundle& bundle,
           const edge_arm::Answer& answer, const float* logits,
           const std::optional<double>& temperature) {
  std::cout << "{\"file\": " << edge_arm::quoted(name)
            << ", \"label\": " << edge_arm::quoted(bundle.classes[answer.index])
            << ", \"probability\": " << number_text(answer.probabilities[answer.index])
            << ", \"temperature\": " << (temperature ? number_text(*temperature) : "null")
            << ", \"logits\": [";
  for (std::size_t i = 0; i < bundle.classes.size(); ++i)
    std::cout << (i ? ", " : "") << number_text(logits[i]);
  std::cout << "]}\n";
}

void run(const std::string& path, const std::string& precision, std::optional<int> dla_core,
         const std::vector<std::string>& files) {
  const edge_arm::Bundle bundle = edge_arm::open_bundle(path);
  const std::optional<double> temperature = edge_arm::temperature_of(bundle, precision);
  edge_arm::Faces faces;
  for (const std::string& file : files) edge_arm::read_faces(file, bundle.size, faces);
  edge_arm::Engine engine(bundle, precision, dla_core);
  const std::size_t total = faces.names.size(), face = faces.pixels.size() / total;
  for (std::size_t start = 0; start < total; start += engine.max_batch()) {
    const std::size_t count = std::min(engine.max_batch(), total - start);
    const std::vector<float> logits = engine.infer(faces.pixels.data() + start * face, count);
    for (std::size_t i = 0; i < count; ++i) {
      const float* row = logits.data() + i * bundle.classes.size();
      const auto answer = edge_arm::answer_of(row, bundle.classes.size(), temperature.value_or(1));
      print(faces.names[start + i], bundle, answer, row, temperature);
    }
  }
  edge_arm::require_written(std::cout);
}

}  // namespace

int main(int count, char** words) {
  std::vector<std::string> arguments(words + 1, words + count);
  std::optional<int> dla_core;
  if (arguments.size() > 1 && arguments[0] == "--dla" && arguments[1].size() == 1 &&
      arguments[1][0] >= '0' && arguments[1][0] <= '9') {
    dla_core = arguments[1][0] - '0';
    arguments.erase(arguments.begin(), arguments.begin() + 2);
  }
  const std::vector<std::string> precisions = {"fp32", "fp16", "int8"};
  if (arguments.size() < 3 ||
      std::find(precisions.begin(), precisions.end(), arguments[1]) == precisions.end()) {
    std::cerr << kUsage;
    return 2;
  }
  try {
    run(arguments[0], arguments[1], dla_core, {arguments.begin() + 2, arguments.end()});
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 2;
  }
  return EXIT_SUCCESS;
}
