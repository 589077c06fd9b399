// What the layer norms have in common: one line's moments, and the gradient of a normalised line.
#pragma once

#include <cmath>

#include "simd.h"

namespace karusel {
namespace KARUSEL_LEVEL {

// The mean of f(offset, load) over a line. Lanes beyond the end are cleared, whatever f makes of them.
template <class F>
float line_mean(int64_t n, F f) {
  Vec total = {};
  for_vectors(n, [&](int64_t j, auto get, auto) {
    Vec value = f(j, get);
    if (n - j < V) {
      float parts[V];
      store(parts, value);
      value = load(parts, n - j);
    }
    total += value;
  });
  return sum(total) / static_cast<float>(n);
}

struct Moments {
  float mean;
  float scale;  // 1 / sqrt(variance + epsilon)
};

inline Moments moments(int64_t n, const float* x, float epsilon) {
  const float mean = line_mean(n, [&](int64_t j, auto get) { return get(x + j); });
  const float variance = line_mean(n, [&](int64_t j, auto get) {
    const Vec e = get(x + j) - mean;
    return e * e;
  });
  return {mean, 1.0f / std::sqrt(variance + epsilon)};
}

// put(j, dx, ...) for x normalised as normal(j, load), whose gradient is slope(j, load).
template <class Normal, class Slope, class Put>
void normal_backward(int64_t n, float scale, Normal normal, Slope slope, Put put_gradient) {
  const float a = line_mean(n, slope);
  const float b = line_mean(n, [&](int64_t j, auto get) { return slope(j, get) * normal(j, get); });
  for_vectors(n, [&](int64_t j, auto get, auto put) {
    put_gradient(j, (slope(j, get) - a - normal(j, get) * b) * scale, get, put);
  });
}

}  // namespace KARUSEL_LEVEL
}  // namespace karusel
