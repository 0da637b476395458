// The one exception: what was got, what was expected, what to do.
#pragma once

#include <ostream>
#include <stdexcept>

namespace edge_arm {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A full disk is told by the stream alone, and a program that ends well has said everything.
inline void require_written(std::ostream& output) {
  if (!output.flush())
    throw Error("the output could not be written, expected all of it; free some space, or write it "
                "elsewhere");
}

}  // namespace edge_arm
