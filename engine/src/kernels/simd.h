// Vectors of the instruction set that this file is compiled for, and the few functions on them.
// One source for all sets: GCC and Clang vector extensions, in the namespace KARUSEL_LEVEL.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__AVX__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define KARUSEL_VECTOR 16
#elif defined(__AVX__)
#define KARUSEL_VECTOR 8
#else
#define KARUSEL_VECTOR 4
#endif

namespace karusel {
namespace KARUSEL_LEVEL {

constexpr int64_t V = KARUSEL_VECTOR;  // floats in a vector

// A loop of a known, small number of rounds: unrolled before the compiler decides what lies in registers.
#define KARUSEL_UNROLL _Pragma("GCC unroll 16")

typedef float Vec __attribute__((vector_size(4 * KARUSEL_VECTOR)));
typedef int32_t Int __attribute__((vector_size(4 * KARUSEL_VECTOR)));

inline Vec load(const float* p) {
  Vec v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline void store(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }

// The first n floats, 0 < n < V; the other lanes are zero, and memory beyond is not touched.
#if defined(__AVX512F__)
inline __mmask16 first_lanes(int64_t n) { return static_cast<__mmask16>((1u << n) - 1u); }
inline Vec load(const float* p, int64_t n) { return _mm512_maskz_loadu_ps(first_lanes(n), p); }
inline void store(float* p, Vec v, int64_t n) { _mm512_mask_storeu_ps(p, first_lanes(n), v); }
#elif defined(__AVX__)
inline __m256i first_lanes(int64_t n) {
  alignas(64) static const int32_t lanes[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(lanes + 8 - n));
}
inline Vec load(const float* p, int64_t n) { return _mm256_maskload_ps(p, first_lanes(n)); }
inline void store(float* p, Vec v, int64_t n) { _mm256_maskstore_ps(p, first_lanes(n), v); }
#else
inline Vec load(const float* p, int64_t n) {
  Vec v = {};
  for (int64_t i = 0; i < V - 1; ++i)
    if (i < n) v[i] = p[i];
  return v;
}
inline void store(float* p, Vec v, int64_t n) {
  for (int64_t i = 0; i < V - 1; ++i)
    if (i < n) p[i] = v[i];
}
#endif

// Not Vec{} + x: adding zero is an operation of its own, since it turns -0 into 0.
#if defined(__AVX512F__)
inline Vec spread(float x) { return _mm512_set1_ps(x); }
#elif defined(__AVX__)
inline Vec spread(float x) { return _mm256_set1_ps(x); }
#else
inline Vec spread(float x) { return Vec{x, x, x, x}; }
#endif

// Lane k in all lanes.
#if defined(__AVX512F__)
inline Vec spread_lane(Vec x, int64_t k) {
  return _mm512_maskz_permutexvar_ps(0xFFFF, _mm512_set1_epi32(static_cast<int>(k)), x);
}
#elif defined(__AVX2__)
inline Vec spread_lane(Vec x, int64_t k) {
  return _mm256_permutevar8x32_ps(x, _mm256_set1_epi32(static_cast<int>(k)));
}
#else
inline Vec spread_lane(Vec x, int64_t k) { return spread(x[k]); }
#endif

inline Vec multiply_add(Vec a, Vec b, Vec c) { return a * b + c; }

// The first, or the last, halves of a and b, number by number in turn.
template <int FIRST, int... I>
inline Vec interleaved(Vec a, Vec b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, (FIRST + I / 2 + I % 2 * static_cast<int>(V))...);
}

// V rows become V columns: each round brings together what lay half of them apart.
inline void transpose(Vec (&v)[V]) {
  constexpr auto numbers = std::make_integer_sequence<int, static_cast<int>(V)>{};
  KARUSEL_UNROLL for (int64_t round = 1; round < V; round *= 2) {
    Vec next[V];
    KARUSEL_UNROLL for (int64_t i = 0; i < V / 2; ++i) {
      next[2 * i] = interleaved<0>(v[i], v[i + V / 2], numbers);
      next[2 * i + 1] = interleaved<V / 2>(v[i], v[i + V / 2], numbers);
    }
    KARUSEL_UNROLL for (int64_t i = 0; i < V; ++i) v[i] = next[i];
  }
}

// Two bf16 in 32 bits, the first in the lower half. A bf16 is the upper half of a float32, rounded to nearest even.
struct Pair {
  uint32_t bits;
};

inline Int load(const Pair* p) {
  Int v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline void store(Pair* p, Int v) { std::memcpy(p, &v, sizeof v); }
inline Int spread(Pair x) { return static_cast<int32_t>(x.bits) - Int{}; }

// Rounded, still in the upper half; the lower half is zero.
inline Int rounded(Vec x) {
  Int bits;
  std::memcpy(&bits, &x, sizeof bits);
  return (bits + 0x7FFF + ((bits >> 16) & 1)) & ~0xFFFF;
}

inline Int paired(Vec first, Vec second) { return ((rounded(first) >> 16) & 0xFFFF) | rounded(second); }

// Neighbours of x become pairs: V / 2 of them, or the first n.
inline void store_rounded(Pair* p, Vec x, int64_t n = V / 2) {
  typedef int16_t Half __attribute__((vector_size(2 * KARUSEL_VECTOR)));
  const Half half = __builtin_convertvector(rounded(x) >> 16, Half);
  std::memcpy(p, &half, static_cast<size_t>(n) * sizeof(Pair));
}

// c + the products of both halves.
#if defined(__AVX512BF16__)
inline Vec multiply_add(Int a, Int b, Vec c) {
  return _mm512_dpbf16_ps(c, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
}
#else
inline Vec upper(Int x) {
  x &= ~0xFFFF;
  Vec v;
  std::memcpy(&v, &x, sizeof v);
  return v;
}
inline Vec multiply_add(Int a, Int b, Vec c) { return upper(a) * upper(b) + (upper(a << 16) * upper(b << 16) + c); }
#endif

// Both return x itself when it is not a number, so that a fault stays visible. (GCC 12 warns of its own unmasked
// intrinsics for 512 bits.)
#if defined(__AVX512F__)
inline Vec maximum(Vec x, Vec bound) { return _mm512_maskz_max_ps(0xFFFF, bound, x); }
inline Vec minimum(Vec x, float bound) { return _mm512_maskz_min_ps(0xFFFF, spread(bound), x); }
#elif defined(__AVX__)
inline Vec maximum(Vec x, Vec bound) { return _mm256_max_ps(bound, x); }
inline Vec minimum(Vec x, float bound) { return _mm256_min_ps(spread(bound), x); }
#else
inline Vec maximum(Vec x, Vec bound) { return x < bound ? bound : x; }
inline Vec minimum(Vec x, float bound) { return x > bound ? spread(bound) : x; }
#endif
inline Vec maximum(Vec x, float bound) { return maximum(x, spread(bound)); }

// The sums of n vectors, n <= 8, added to what c holds if so wished.
#if defined(__AVX__)
#if defined(__AVX512F__)
inline __m256 folded(Vec v) {
  return _mm512_maskz_extractf32x8_ps(255, v, 0) + _mm512_maskz_extractf32x8_ps(255, v, 1);
}
#else
inline __m256 folded(Vec v) { return v; }
#endif
template <int N>
inline void sums(const Vec* v, bool add, float* c) {
  __m256 lanes[8] = {};
  for (int i = 0; i < N; ++i) lanes[i] = folded(v[i]);
  const __m256 a = _mm256_hadd_ps(_mm256_hadd_ps(lanes[0], lanes[1]), _mm256_hadd_ps(lanes[2], lanes[3]));
  const __m256 b = _mm256_hadd_ps(_mm256_hadd_ps(lanes[4], lanes[5]), _mm256_hadd_ps(lanes[6], lanes[7]));
  __m256 total = _mm256_permute2f128_ps(a, b, 0x20) + _mm256_permute2f128_ps(a, b, 0x31);
  __m256 before = {};
  if (add) std::memcpy(&before, c, N * sizeof(float));
  total += before;
  std::memcpy(c, &total, N * sizeof(float));
}
#else
inline float sum(Vec v);
template <int N>
inline void sums(const Vec* v, bool add, float* c) {
  for (int i = 0; i < N; ++i) c[i] = (add ? c[i] : 0.0f) + sum(v[i]);
}
#endif

inline float sum(Vec v) {
  float parts[V];
  std::memcpy(parts, &v, sizeof v);
  for (int64_t width = V / 2; width > 0; width /= 2)
    for (int64_t i = 0; i < width; ++i) parts[i] += parts[i + width];
  return parts[0];
}

// 2^t = 2^n (1 + p), n = round(t), r = t - n, p = 2^r - 1: a polynomial of degree 5 without constant term, minimax but
// for its first coefficient, which is ln 2, so that p / r is exact near zero. Error 1.1e-7 of 2^t.
inline Vec power_of_two_less_one(Vec r) {
  Vec q = r * 0.001330060651525855f + 0.009669691324234009f;
  q = q * r + 0.05550558492541313f;
  q = q * r + 0.24022282660007477f;
  q = q * r + 0.6931471824645996f;
  return q * r;
}

#if defined(__AVX512DQ__)
inline Vec rest_of(Vec t) { return _mm512_maskz_reduce_ps(0xFFFF, t, _MM_FROUND_NO_EXC); }
#endif

// Keeping p apart keeps 2^t - 1 exact near zero.
struct PowerOfTwo {
  Vec half;  // 2^n / 2
  Vec p;
};

inline PowerOfTwo power_of_two(Vec t, float bound) {  // t is taken for what of it lies in ±bound, 125 at most
  // 1.5 · 2^23 rounds to a whole number; 126 makes its bits an exponent. It is even, as r's n is where t is halfway
  // between two: an odd one would round t to the other.
  const float shift = 12582912.0f + 126.0f;
  const Vec bounded = minimum(maximum(t, -bound), bound), shifted = bounded + shift;
#if defined(__AVX512DQ__)
  const Vec r = rest_of(t);  // does not wait for the bounds
#else
  const Vec r = bounded - (shifted - shift);
#endif
  Int bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits <<= 23;
  Vec half;
  std::memcpy(&half, &bits, sizeof half);
  return {half, power_of_two_less_one(r)};
}

constexpr float LOG2_E = 1.44269504088896341f;

inline Vec exp(Vec x) {
  const Vec t = x * LOG2_E;
#if defined(__AVX512DQ__)
  const Vec r = rest_of(t);
  return _mm512_maskz_scalef_ps(0xFFFF, 1.0f + power_of_two_less_one(r), t - r);  // needs no bounds
#else
  const PowerOfTwo e = power_of_two(t, 125.0f);
  return e.half * (2.0f * e.p + 2.0f);
#endif
}

inline Vec sigmoid(Vec x) { return 1.0f / (1.0f + exp(-x)); }

// tanh(x) = m / (m + 1), m = (exp(2x) - 1) / 2; never beyond ±1, exact to the last bits near zero.
inline Vec tanh(Vec x) {
  const PowerOfTwo e = power_of_two(x * (2 * LOG2_E), 60.0f);
  const Vec m = e.half * e.p + (e.half - 0.5f);
  return m / (m + 1.0f);
}

// Calls body(offset, load, store) for whole vectors of [0, n), then once for the rest.
template <class Body>
inline void for_vectors(int64_t n, Body body) {
  int64_t j = 0;
  for (; j + V <= n; j += V)
    body(
        j, [](const float* p) { return load(p); }, [](float* p, Vec v) { store(p, v); });
  if (const int64_t rest = n - j; rest > 0)
    body(
        j, [rest](const float* p) { return load(p, rest); }, [rest](float* p, Vec v) { store(p, v, rest); });
}

inline void copy_vectors(const float* from, float* to, int64_t n) {
  for_vectors(n, [&](int64_t j, auto get, auto put) { put(to + j, get(from + j)); });
}

}  // namespace KARUSEL_LEVEL
}  // namespace karusel
