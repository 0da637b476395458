// Faces from files that need no image library: binary PPM (P6), or raw bytes.
//
// A face must have the model's size already. Resizing is the only preprocessing there is, and it
// has to be the same everywhere (docs/cpp.md shows it), so this program does not have its own.
#pragma once

#include <string>
#include <vector>

#include "sha256.hpp"

namespace edge_arm {

struct Faces {
  Bytes pixels;                    // (N, S, S, 3) uint8 RGB, one after the other
  std::vector<std::string> names;  // N: the file, and its number where a file holds several
};

// Appends the face of a `.ppm`, or all faces of any other file: N * S * S * 3 bytes without a head.
// Throws Error if the file holds something else.
void read_faces(const std::string& path, int size, Faces& faces);

}  // namespace edge_arm
