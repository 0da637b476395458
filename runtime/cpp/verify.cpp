// edge-arm-verify: what a bundle is, after every hash of its manifest was checked. Needs no GPU.
#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "bundle.hpp"
#include "error.hpp"
#include "sha256.hpp"

int main(int count, char** words) {
  if (count != 2) {
    std::cerr << "usage: edge-arm-verify BUNDLE\n";
    return 2;
  }
  try {
    const edge_arm::Bundle bundle = edge_arm::open_bundle(words[1]);
    auto files = bundle.files;
    for (const edge_arm::Model& model : bundle.models) files.emplace_back(model.file, model.sha256);
    for (const auto& [name, digest] : files)
      edge_arm::read_verified((std::filesystem::path(bundle.path) / name).string(), digest,
                              "copy the bundle again");
    std::cout << files.size() << " files with the SHA-256 of the manifest; faces of "
              << bundle.size << " x " << bundle.size << " pixels; classes";
    for (const std::string& name : bundle.classes) std::cout << " " << name;
    std::cout << "\n";
    edge_arm::require_written(std::cout);
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 2;
  }
  return EXIT_SUCCESS;
}
