// A reader for the JSON that edge-arm writes: whole documents, strict, no dependency.
//
// Not covered: numbers beyond double, keys that are there twice (the first one counts).
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace edge_arm {

// One value. What it is not is refused by the accessors, with the name of its file.
class Json {
 public:
  enum class Kind { null, boolean, number, text, list, object };

  // Reads a document; throws Error naming `place` where it is not JSON.
  static Json parse(std::string_view document, const std::string& place);

  Kind kind() const { return kind_; }
  const std::string& text() const;
  double number() const;
  int whole_number() const;
  const std::vector<Json>& list() const;
  const std::vector<std::pair<std::string, Json>>& members() const;

  // The member of an object; throws Error if there is none.
  const Json& at(const std::string& key) const;
  // The member of an object, or nullptr.
  const Json* find(const std::string& key) const;

 private:
  friend class JsonReader;
  void require(Kind kind, const char* word) const;

  Kind kind_ = Kind::null;
  double number_ = 0;
  std::string text_;
  std::vector<Json> list_;
  std::vector<std::pair<std::string, Json>> members_;
  std::string place_;
};

// A text as JSON writes it, with its quotes. Bytes from 0x80 on are passed on: UTF-8 stays UTF-8.
std::string quoted(const std::string& text);

}  // namespace edge_arm
