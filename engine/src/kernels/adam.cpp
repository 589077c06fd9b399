// The optimizer's step over flat vectors.
#include <cfloat>

#include "level.h"
#include "simd.h"

namespace karusel {
namespace KARUSEL_LEVEL {
namespace {

// Of positive normal numbers. Divisions and roots of 16 floats take as long as all the rest of a step: estimates of 14
// bits and one step of Newton's, right to the last bits, halve its time. It adds half of a product to the root, so
// twice the root is a product less. (Masked: see simd.h.)
#if defined(__AVX512F__)
Vec twice_root(Vec x) {
  const Vec r = _mm512_maskz_rsqrt14_ps(0xFFFF, x), y = x * r;
  return y * (1.0f - y * r) + (y + y);
}
Vec inverse(Vec x) {
  const Vec r = _mm512_maskz_rcp14_ps(0xFFFF, x);
  return r * (2.0f - x * r);
}
#else
Vec twice_root(Vec x) {
  for (int64_t i = 0; i < V; ++i) x[i] = std::sqrt(x[i]);
  return x + x;
}
Vec inverse(Vec x) { return 1.0f / x; }
#endif

// PLAIN: the gradient is not clipped, weights do not decay.
template <bool PLAIN>
void update(const AdamStep& given) {
  const AdamStep s = given;  // a copy, which no store can change
  const float shrink = 1.0f - s.rate * s.decay;
  const float scale = 2.0f / std::sqrt(s.correction2);  // of numerator and denominator
  const float step = s.rate * s.correction1 * scale, epsilon = s.epsilon * scale;
  for_vectors(s.n, [&](int64_t j, auto get, auto put) {
    const Vec g = PLAIN ? get(s.g + j) : get(s.g + j) * s.clip, before = get(s.w + j);
    Vec m = get(s.m + j), v = get(s.v + j);
    m += (1.0f - s.beta1) * (g - m);
    v = minimum(v + (1.0f - s.beta2) * (g * g - v), FLT_MAX);
    const Vec change = step * m * inverse(twice_root(v + FLT_MIN) + epsilon);
    const Vec w = PLAIN ? before - change : shrink * before - change;
    put(s.m + j, m);
    put(s.v + j, v);
    put(s.w + j, w);
    if (s.average) put(s.average + j, s.ema * get(s.average + j) + (1.0f - s.ema) * w);
  });
}

}  // namespace

void adam(const AdamStep& step) {
  if (step.clip == 1.0f && step.decay == 0.0f)
    update<true>(step);
  else
    update<false>(step);
}

void accumulate(int64_t n, const float* source, float* target) {
  for_vectors(n, [&](int64_t j, auto get, auto put) { put(target + j, get(target + j) + get(source + j)); });
}

double squared_norm(int64_t n, const float* x) {
  // Blocks of a fixed length: the sum does not depend on how callers cut the vector into such blocks.
  constexpr int64_t BLOCK = 4096;
  double total = 0;
  for (int64_t first = 0; first < n; first += BLOCK) {
    const int64_t count = n - first < BLOCK ? n - first : BLOCK;
    Vec parts = {};
    for_vectors(count, [&](int64_t j, auto get, auto) {
      const Vec v = get(x + first + j);
      parts += v * v;
    });
    total += static_cast<double>(sum(parts));
  }
  return total;
}

}  // namespace KARUSEL_LEVEL
}  // namespace karusel
