#include "karusel/sampling.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "karusel/randomness.h"

namespace karusel {

Sampler::Sampler(const Sampling& sampling, int64_t outputs)
    : sampling_(sampling),
      outputs_(outputs),
      chances_(static_cast<size_t>(outputs)),
      order_(static_cast<size_t>(outputs)) {}

double Sampler::uniform(uint64_t counter) const {
  return (static_cast<double>(mix(sampling_.key + counter * GOLDEN) >> 40) + 0.5) * 0x1p-24;  // never 0
}

void Sampler::draw(const float* y, uint64_t step, float* next) {
  if (sampling_.draw == Draw::symbol) {
    const int32_t drawn = symbol(y, uniform(step));
    std::memcpy(next, &drawn, sizeof drawn);
    return;
  }
  for (int64_t j = 0; j < outputs_; ++j) {
    const double level = static_cast<double>(y[j]);
    const double chance =
        sampling_.temperature > 0 ? 1 / (1 + std::exp(-level / sampling_.temperature)) : (level > 0 ? 1.0 : 0.0);
    next[j] = uniform(step * static_cast<uint64_t>(outputs_) + static_cast<uint64_t>(j)) < chance ? 1.0f : 0.0f;
  }
}

int32_t Sampler::symbol(const float* y, double u) {
  const float* top = std::max_element(y, y + outputs_);
  if (sampling_.temperature == 0) return static_cast<int32_t>(top - y);
  double total = 0;
  for (int64_t i = 0; i < outputs_; ++i)
    total += chances_[static_cast<size_t>(i)] =
        std::exp((static_cast<double>(y[i]) - static_cast<double>(*top)) / sampling_.temperature);
  if (!std::isfinite(total)) return static_cast<int32_t>(top - y);  // what is infinite has no chances to draw by

  const bool all_k = sampling_.top_k == 0 || sampling_.top_k >= outputs_;
  if (all_k && sampling_.top_p >= 1) {
    double left = u * total;
    int32_t last = 0;  // rounding must not end with a symbol that has no chance
    for (int32_t i = 0; i < outputs_; ++i) {
      if (chances_[static_cast<size_t>(i)] > 0) last = i;
      if ((left -= chances_[static_cast<size_t>(i)]) < 0) return i;
    }
    return last;
  }

  // The likeliest first, as many as are needed: the rest stays a heap.
  std::iota(order_.begin(), order_.end(), 0);
  const auto less = [&](int32_t a, int32_t b) { return y[a] < y[b] || (y[a] == y[b] && a > b); };
  auto rest = order_.end();
  std::make_heap(order_.begin(), rest, less);
  const auto pop = [&] {
    std::pop_heap(order_.begin(), rest, less);
    return chances_[static_cast<size_t>(*--rest)];
  };
  if (!all_k) {
    total = 0;
    for (int64_t i = 0; i < sampling_.top_k; ++i) total += pop();
  }
  double kept = 0;
  auto end = order_.end();
  while (end != order_.begin() && (all_k || end != rest) && kept < sampling_.top_p * total) {
    if (end == rest) pop();
    kept += chances_[static_cast<size_t>(*--end)];
  }
  double left = u * kept;
  for (auto one = order_.end(); one != end;)
    if ((left -= chances_[static_cast<size_t>(*--one)]) < 0) return *one;
  return *end;
}

}  // namespace karusel
