// From logits to what a person reads.
#pragma once

#include <cstddef>
#include <vector>

namespace edge_arm {

struct Answer {
  std::size_t index = 0;              // of the largest logit; the first of equal ones
  std::vector<double> probabilities;  // softmax of logits / temperature, sums to 1
};

// Throws Error if a logit is not a finite number: a broken engine must not answer.
Answer answer_of(const float* logits, std::size_t num_classes, double temperature);

}  // namespace edge_arm
