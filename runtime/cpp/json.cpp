#include "json.hpp"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <locale>
#include <sstream>

#include "error.hpp"

namespace edge_arm {
namespace {

// A manifest has five levels; a hostile file must not use up the stack.
constexpr int kDeepest = 64;

void append_utf8(std::string& text, std::uint32_t code) {
  const auto push = [&text](std::uint32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    push(code);
    return;
  }
  const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  constexpr std::uint32_t kFirst[] = {0, 0xC0, 0xE0, 0xF0};
  push(kFirst[more] | (code >> (6 * more)));
  for (int rest = more - 1; rest >= 0; --rest) push(0x80 | ((code >> (6 * rest)) & 0x3F));
}

}  // namespace

class JsonReader {
 public:
  JsonReader(std::string_view document, const std::string& place)
      : document_(document), place_(place) {}

  Json document() {
    Json value = this->value(0);
    blanks();
    if (next_ != document_.size()) fail("something behind the end");
    return value;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(place_ + " is not JSON (" + what + " at byte " + std::to_string(next_) +
                "), expected a file that edge-arm wrote; copy the bundle again");
  }

  void blanks() {
    while (next_ < document_.size() &&
           std::string_view(" \t\r\n").find(document_[next_]) != std::string_view::npos)
      ++next_;
  }

  char peek() {
    blanks();
    if (next_ == document_.size()) fail("the end");
    return document_[next_];
  }

  void take(char expected) {
    if (peek() != expected) fail(std::string("no '") + expected + "'");
    ++next_;
  }

  bool took(char wanted) {
    if (peek() != wanted) return false;
    ++next_;
    return true;
  }

  void word(std::string_view expected) {
    if (document_.substr(next_, expected.size()) != expected) fail("an unknown word");
    next_ += expected.size();
  }

  Json value(int depth) {
    if (depth > kDeepest) fail("too many levels");
    Json value;
    value.place_ = place_;
    switch (peek()) {
      case '{':
        object(value, depth);
        break;
      case '[':
        list(value, depth);
        break;
      case '"':
        value.kind_ = Json::Kind::text;
        value.text_ = text();
        break;
      case 't':
      case 'f':
        value.kind_ = Json::Kind::boolean;
        value.number_ = document_[next_] == 't' ? 1 : 0;
        word(value.number_ == 1 ? "true" : "false");
        break;
      case 'n':
        word("null");
        break;
      default:
        value.kind_ = Json::Kind::number;
        value.number_ = number();
    }
    return value;
  }

  void object(Json& value, int depth) {
    value.kind_ = Json::Kind::object;
    take('{');
    if (took('}')) return;
    do {
      if (peek() != '"') fail("no name");
      std::string key = text();
      take(':');
      value.members_.emplace_back(std::move(key), this->value(depth + 1));
    } while (took(','));
    take('}');
  }

  void list(Json& value, int depth) {
    value.kind_ = Json::Kind::list;
    take('[');
    if (took(']')) return;
    do value.list_.push_back(this->value(depth + 1));
    while (took(','));
    take(']');
  }

  std::size_t digits() {
    const std::size_t start = next_;
    while (next_ < document_.size() && document_[next_] >= '0' && document_[next_] <= '9') ++next_;
    if (next_ == start) fail("no value");
    return start;
  }

  bool next_is_one_of(std::string_view letters) const {
    return next_ < document_.size() && letters.find(document_[next_]) != std::string_view::npos;
  }

  // RFC 8259, section 6: a sign, digits without a zero in front, a fraction, an exponent.
  double number() {
    const std::size_t start = next_;
    if (next_is_one_of("-")) ++next_;
    const std::size_t whole = digits();
    if (document_[whole] == '0' && next_ > whole + 1) fail("no value");
    if (next_is_one_of(".")) {
      ++next_;
      digits();
    }
    if (next_is_one_of("eE")) {
      ++next_;
      if (next_is_one_of("+-")) ++next_;
      digits();
    }
    // Not strtod: in a program that asked for the user's language it reads a comma for the point.
    std::istringstream text(std::string(document_.substr(start, next_ - start)));
    text.imbue(std::locale::classic());
    double value = 0;
    if (!(text >> value) || !std::isfinite(value)) fail("no value");
    return value;
  }

  std::string text() {
    std::string text;
    take('"');
    for (;; ++next_) {
      if (next_ == document_.size()) fail("a text without an end");
      const char letter = document_[next_];
      if (letter == '"') break;
      if (static_cast<unsigned char>(letter) < 0x20) fail("a control character");
      if (letter == '\\')
        escape(text);
      else
        text.push_back(letter);
    }
    ++next_;
    return text;
  }

  void escape(std::string& text) {
    constexpr std::string_view kNames = "\"\\/bfnrt", kLetters = "\"\\/\b\f\n\r\t";
    if (++next_ == document_.size()) fail("a text without an end");
    if (document_[next_] == 'u') {
      std::uint32_t code = hexadecimal();
      if (code >= 0xDC00 && code < 0xE000) fail("half a character");
      if (code >= 0xD800 && code < 0xDC00) {  // the first half of a pair
        if (document_.substr(next_ + 1, 2) != "\\u") fail("half a character");
        next_ += 2;
        const std::uint32_t low = hexadecimal();
        if (low < 0xDC00 || low > 0xDFFF) fail("half a character");
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
      }
      append_utf8(text, code);
      return;
    }
    const std::size_t place = kNames.find(document_[next_]);
    if (place == std::string_view::npos) fail("an unknown escape");
    text.push_back(kLetters[place]);
  }

  // The four digits behind the 'u' that `next_` is at; `next_` is at the last one then.
  std::uint32_t hexadecimal() {
    const std::string digits(document_.substr(next_ + 1, 4));
    if (digits.size() != 4 ||
        digits.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos)
      fail("an unknown escape");
    next_ += 4;
    return static_cast<std::uint32_t>(std::strtoul(digits.c_str(), nullptr, 16));
  }

  std::string_view document_;
  std::string place_;
  std::size_t next_ = 0;
};

Json Json::parse(std::string_view document, const std::string& place) {
  return JsonReader(document, place).document();
}

void Json::require(Kind kind, const char* word) const {
  if (kind_ != kind)
    throw Error(place_ + " has something else where " + word +
                " is expected; make the file again with this version of edge-arm");
}

const std::string& Json::text() const {
  require(Kind::text, "a text");
  return text_;
}

double Json::number() const {
  require(Kind::number, "a number");
  return number_;
}

int Json::whole_number() const {
  require(Kind::number, "a number");
  if (number_ != std::floor(number_) || std::abs(number_) > std::numeric_limits<int>::max())
    throw Error(place_ + " has " + std::to_string(number_) +
                " where a whole number is expected; make the file again with this version of "
                "edge-arm");
  return static_cast<int>(number_);
}

const std::vector<Json>& Json::list() const {
  require(Kind::list, "a list");
  return list_;
}

const std::vector<std::pair<std::string, Json>>& Json::members() const {
  require(Kind::object, "an object");
  return members_;
}

const Json* Json::find(const std::string& key) const {
  for (const auto& member : members())
    if (member.first == key) return &member.second;
  return nullptr;
}

const Json& Json::at(const std::string& key) const {
  if (const Json* found = find(key)) return *found;
  throw Error(place_ + " has no '" + key +
              "', expected one; make the file again with this version of edge-arm");
}

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char letter : text) {
    if (letter == '"' || letter == '\\') {
      result += '\\';
      result += letter;
    } else if (static_cast<unsigned char>(letter) < 0x20) {
      char escaped[7];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(letter));
      result += escaped;
    } else {
      result += letter;
    }
  }
  return result + "\"";
}

}  // namespace edge_arm
