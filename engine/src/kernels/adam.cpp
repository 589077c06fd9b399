// The optimizer's step over flat vectors.
#include <cfloat>

#include "level.h"
#include "simd.h"

namespace karusel {
namespace KARUSEL_LEVEL {
namespace {

// Of positive normal numbers. Divisions and roots of 16 floats take as long as all the rest of a step: estimates of 14
// bits and one step of Newton's, right to the last bits, halve its time. (Masked: see simd.h.)
#if defined(__AVX512F__)
Vec root(Vec x) {
  const Vec r = _mm512_maskz_rsqrt14_ps(0xFFFF, x);
  return x * (r * (1.5f - 0.5f * x * r * r));
}
Vec quotient(Vec x, Vec y) {
  const Vec r = _mm512_maskz_rcp14_ps(0xFFFF, y);
  return x * (r * (2.0f - y * r));
}
#else
Vec root(Vec x) {
  for (int64_t i = 0; i < V; ++i) x[i] = std::sqrt(x[i]);
  return x;
}
Vec quotient(Vec x, Vec y) { return x / y; }
#endif

}  // namespace

void adam(const AdamStep& s) {
  const float shrink = 1.0f - s.rate * s.decay;
  const float step = s.rate * s.correction1;
  const float root_correction = std::sqrt(s.correction2);
  for_vectors(s.n, [&](int64_t j, auto get, auto put) {
    const Vec g = get(s.g + j) * s.clip;
    const Vec m = s.beta1 * get(s.m + j) + (1.0f - s.beta1) * g;
    const Vec v = s.beta2 * get(s.v + j) + (1.0f - s.beta2) * g * g;
    const Vec rms = root(minimum(maximum(v, FLT_MIN), FLT_MAX));
    const Vec w = shrink * get(s.w + j) - quotient(step * m, rms * root_correction + s.epsilon);
    put(s.m + j, m);
    put(s.v + j, v);
    put(s.w + j, w);
    if (s.average) put(s.average + j, s.ema * get(s.average + j) + (1.0f - s.ema) * w);
  });
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
