#include "sha256.hpp"

#include <array>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "error.hpp"

namespace edge_arm {
namespace {

using Word = std::uint32_t;

// Fractional parts of the cube roots of the first 64 primes (FIPS 180-4, 4.2.2).
constexpr std::array<Word, 64> kRounds = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

// Fractional parts of the square roots of the first 8 primes (5.3.3).
constexpr std::array<Word, 8> kStart = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

constexpr Word rotated(Word value, int by) { return (value >> by) | (value << (32 - by)); }

// One block of 64 bytes (6.2.2).
void digest(std::array<Word, 8>& state, const std::uint8_t* block) {
  std::array<Word, 64> schedule;
  for (std::size_t i = 0; i < 16; ++i)
    schedule[i] = Word{block[4 * i]} << 24 | Word{block[4 * i + 1]} << 16 |
                  Word{block[4 * i + 2]} << 8 | Word{block[4 * i + 3]};
  for (std::size_t i = 16; i < 64; ++i) {
    const Word early = schedule[i - 15], late = schedule[i - 2];
    schedule[i] = schedule[i - 16] + (rotated(early, 7) ^ rotated(early, 18) ^ (early >> 3)) +
                  schedule[i - 7] + (rotated(late, 17) ^ rotated(late, 19) ^ (late >> 10));
  }
  auto [a, b, c, d, e, f, g, h] = state;
  for (std::size_t i = 0; i < 64; ++i) {
    const Word first = h + (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) +
                       ((e & f) ^ (~e & g)) + kRounds[i] + schedule[i];
    const Word second = (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) +
                        ((a & b) ^ (a & c) ^ (b & c));
    h = g;
    g = f;
    f = e;
    e = d + first;
    d = c;
    c = b;
    b = a;
    a = first + second;
  }
  const std::array<Word, 8> added = {a, b, c, d, e, f, g, h};
  for (std::size_t i = 0; i < 8; ++i) state[i] += added[i];
}

}  // namespace

std::string sha256(const Bytes& content) {
  std::array<Word, 8> state = kStart;
  const std::size_t whole = content.size() / 64 * 64;
  for (std::size_t at = 0; at < whole; at += 64) digest(state, content.data() + at);
  // The rest, a one bit, zeros, and the length in bits as 64 bits, big end first (5.1.1).
  Bytes rest(content.begin() + static_cast<std::ptrdiff_t>(whole), content.end());
  rest.push_back(0x80);
  while (rest.size() % 64 != 56) rest.push_back(0);
  const std::uint64_t bits = std::uint64_t{content.size()} * 8;
  for (int shift = 56; shift >= 0; shift -= 8)
    rest.push_back(static_cast<std::uint8_t>(bits >> shift));
  for (std::size_t at = 0; at < rest.size(); at += 64) digest(state, rest.data() + at);

  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const Word word : state)
    for (int shift = 28; shift >= 0; shift -= 4) text.push_back(kDigits[(word >> shift) & 15]);
  return text;
}

Bytes read_file(const std::string& path) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  Bytes content(error ? 0 : size);
  std::ifstream file(path, std::ios::binary);
  if (!error && !content.empty())
    file.read(reinterpret_cast<char*>(content.data()),
              static_cast<std::streamsize>(content.size()));
  if (error || !file)
    throw Error("cannot read '" + path + "' (" + (error ? error.message() : "input/output error") +
                "), expected a file; copy it again");
  return content;
}

Bytes read_verified(const std::string& path, const std::string& expected_sha256,
                    const std::string& what_to_do) {
  Bytes content = read_file(path);
  const std::string actual = sha256(content);
  if (actual != expected_sha256)
    throw Error("'" + path + "' has SHA-256 " + actual.substr(0, 12) + "..., expected " +
                expected_sha256.substr(0, 12) +
                "...: it was changed or not copied whole; " + what_to_do);
  return content;
}

}  // namespace edge_arm
