// The clipped surrogate of policy gradients, with a value beside the policy.
#include <algorithm>
#include <cmath>

#include "level.h"
#include "simd.h"

namespace karusel {
namespace KARUSEL_LEVEL {

double surrogate_loss(const SurrogateLoss& call) {
  const int64_t A = call.y.cols - 1;
  double total = 0;
  for (int64_t r = 0; r < call.y.rows; ++r) {
    const float w = call.weight ? call.weight.row(r)[0] : 1.0f;
    if (w == 0.0f) {
      if (call.dy) std::memset(call.dy.row(r), 0, sizeof(float) * static_cast<size_t>(A + 1));
      continue;
    }
    const float* y = call.y.row(r);
    const float* target = call.target.row(r);
    const int64_t action = static_cast<int64_t>(target[0]);
    const float before = target[1], advantage = target[2], gain = target[3];

    const float top = *std::max_element(y, y + A);
    float mass = 0;
    for (int64_t k = 0; k < A; ++k) mass += std::exp(y[k] - top);
    const float log_mass = top + std::log(mass);
    float entropy = 0;
    for (int64_t k = 0; k < A; ++k) entropy -= std::exp(y[k] - log_mass) * (y[k] - log_mass);

    const float ratio = std::exp(y[action] - log_mass - before);
    const float clipped = std::min(std::max(ratio, 1.0f - call.clip), 1.0f + call.clip);
    const bool free = ratio * advantage <= clipped * advantage;
    const float error = y[A] - gain;
    const float value = -(free ? ratio : clipped) * advantage + call.value * error * error - call.entropy * entropy;
    total += static_cast<double>(w) * static_cast<double>(value);
    if (call.dy) {
      const float scale = call.scale * w, pull = free ? ratio * advantage : 0.0f;
      float* dy = call.dy.row(r);
      for (int64_t k = 0; k < A; ++k) {
        const float log_p = y[k] - log_mass, p = std::exp(log_p);
        dy[k] = scale * (pull * (p - (k == action ? 1.0f : 0.0f)) + call.entropy * p * (log_p + entropy));
      }
      dy[A] = scale * 2.0f * call.value * error;
    }
  }
  return total;
}

}  // namespace KARUSEL_LEVEL
}  // namespace karusel
