// SHA-256 (FIPS 180-4), so that a file can be checked without OpenSSL on the device.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace edge_arm {

using Bytes = std::vector<std::uint8_t>;

// The hash as 64 lower-case hexadecimal digits, as the manifest writes it.
std::string sha256(const Bytes& content);

// All bytes of a file; throws Error if it cannot be read.
Bytes read_file(const std::string& path);

// All bytes of a file, after its hash was compared; throws Error with `what_to_do` if it differs.
Bytes read_verified(const std::string& path, const std::string& expected_sha256,
                    const std::string& what_to_do);

}  // namespace edge_arm
