#include "answer.hpp"

#include <algorithm>
#include <cmath>

#include "error.hpp"

namespace edge_arm {

Answer answer_of(const float* logits, std::size_t num_classes, double temperature) {
  if (!std::all_of(logits, logits + num_classes, [](float value) { return std::isfinite(value); }))
    throw Error("the engine answered with logits that are not finite, expected numbers; build it "
                "again with 'edge-arm build'");
  Answer answer;
  answer.index = static_cast<std::size_t>(std::max_element(logits, logits + num_classes) - logits);
  double sum = 0;
  for (std::size_t i = 0; i < num_classes; ++i) {
    // The largest logit is taken off first, so that the exponential cannot overflow.
    const double shifted = (double{logits[i]} - double{logits[answer.index]}) / temperature;
    answer.probabilities.push_back(std::exp(shifted));
    sum += answer.probabilities.back();
  }
  for (double& value : answer.probabilities) value /= sum;
  return answer;
}

}  // namespace edge_arm
