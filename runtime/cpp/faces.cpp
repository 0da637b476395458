#include "faces.hpp"

#include <cctype>

#include "error.hpp"

namespace edge_arm {
namespace {

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// The head of a PPM is "P6", three numbers and one blank; '#' begins a comment up to its line's end.
class PpmHead {
 public:
  PpmHead(const Bytes& content, const std::string& path) : content_(content), path_(path) {
    if (content.size() < 2 || content[0] != 'P' || content[1] != '6') fail("it begins otherwise");
    next_ = 2;
  }

  int number() {
    skip();
    int value = 0;
    const std::size_t start = next_;
    while (next_ < content_.size() && std::isdigit(content_[next_]) && value < 100000)
      value = 10 * value + (content_[next_++] - '0');
    if (next_ == start) fail("a number is missing");
    return value;
  }

  // First byte of the pixels: one blank stands between.
  std::size_t end() const { return next_ + 1; }

  [[noreturn]] void fail(const std::string& why) const {
    throw Error("'" + path_ + "' is not a binary PPM (" + why +
                "), expected \"P6\", width, height and 255; convert it, for example with OpenCV");
  }

 private:
  void skip() {
    for (; next_ < content_.size(); ++next_) {
      if (content_[next_] == '#')
        while (next_ < content_.size() && content_[next_] != '\n') ++next_;
      else if (!std::isspace(content_[next_]))
        return;
    }
  }

  const Bytes& content_;
  std::string path_;
  std::size_t next_ = 0;
};

}  // namespace

void read_faces(const std::string& path, int size, Faces& faces) {
  const Bytes content = read_file(path);
  const std::size_t face = std::size_t{3} * static_cast<std::size_t>(size) * size;
  const std::string square = std::to_string(size) + " x " + std::to_string(size);
  std::size_t start = 0;
  if (ends_with(path, ".ppm")) {
    PpmHead head(content, path);
    const int width = head.number(), height = head.number(), largest = head.number();
    if (largest != 255) head.fail("it has values up to " + std::to_string(largest));
    if (width != size || height != size)
      throw Error("'" + path + "' has " + std::to_string(width) + " x " + std::to_string(height) +
                  " pixels, expected the model's " + square +
                  "; resize it with edge_arm.runtime.preprocess.resize_face");
    start = head.end();
    if (content.size() != start + face)
      head.fail("it has " + std::to_string(content.size()) + " bytes, not " +
                std::to_string(start + face));
  }
  const std::size_t bytes = content.size() - start;
  if (bytes == 0 || bytes % face != 0)
    throw Error("'" + path + "' has " + std::to_string(bytes) + " bytes, expected faces of " +
                std::to_string(face) + " bytes (" + square +
                " pixels, RGB); write them without a head, or as .ppm");
  for (std::size_t number = 0; number < bytes / face; ++number)
    faces.names.push_back(bytes == face ? path : path + "#" + std::to_string(number));
  faces.pixels.insert(faces.pixels.end(), content.begin() + static_cast<std::ptrdiff_t>(start),
                      content.end());
}

}  // namespace edge_arm
