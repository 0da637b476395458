// A TensorRT engine of a bundle: uint8 faces in, logits out. The only files that see TensorRT and
// CUDA are this one's implementation and nothing else.
//
// The calls are those that TensorRT 8.6 to 11 have alike: named tensors and enqueueV3.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bundle.hpp"

namespace edge_arm {

class Engine {
 public:
  // Finds the engine for this GPU and this TensorRT, checks its SHA-256, and only then lets
  // TensorRT read it. Throws Error at the first thing that is not as the bundle says.
  Engine(const Bundle& bundle, const std::string& precision, std::optional<int> dla_core);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  std::size_t max_batch() const;  // faces in one call

  // Logits (N, C) of faces (N, S, S, 3) uint8 RGB, 1 <= N <= max_batch(). Throws Error.
  std::vector<float> infer(const std::uint8_t* pixels, std::size_t num_faces);

 private:
  struct Loaded;
  std::unique_ptr<Loaded> loaded_;
};

}  // namespace edge_arm
