// The one exception: what was got, what was expected, what to do.
#pragma once

#include <stdexcept>

namespace edge_arm {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace edge_arm
