// What a bundle says about itself, read before anything of it is opened.
//
// The layout is in docs/design.md, section 6; runtime/manifest.py, runtime/engine_record.py and
// runtime/temperature.py are the Python readers of the same files.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace edge_arm {

struct Model {
  std::string file;  // relative to the bundle
  std::string precision;
  std::string variant;  // "main" is the one that a temperature belongs to
  std::string sha256;
};

struct Bundle {
  std::string path;
  std::vector<std::string> classes;  // in the order of the logits
  int size = 0;                      // S, height and width of a face
  std::vector<Model> models;
  std::vector<std::pair<std::string, std::string>> files;  // name and SHA-256 of every other file
};

// An engine that belongs to the bundle, to this GPU and to this TensorRT.
struct EngineFile {
  std::string plan;  // path
  std::string plan_sha256;
  std::string command;  // builds it anew
};

// What is here: an engine of another machine is refused before its plan is read.
struct Machine {
  std::string gpu;
  std::string compute_capability;  // such as "8.7"
  std::string tensorrt;            // major.minor.patch
};

// Reads manifest.json; throws Error if it is none, of another schema, or of another contract than
// uint8 NHWC RGB.
Bundle open_bundle(const std::string& path);

// Finds the record of a precision's engine for this machine; throws Error, naming what there is
// and the command that builds one, if there is none or the bundle's model has changed since.
EngineFile find_engine(const Bundle& bundle, const std::string& precision, const Machine& machine,
                       std::optional<int> dla_core = std::nullopt);

// What the logits of a precision are divided by before the softmax; nothing where none was fitted
// for the bundle's present model.
std::optional<double> temperature_of(const Bundle& bundle, const std::string& precision);

}  // namespace edge_arm
