// Dot-product attention of each row's steps over the steps of its source, and its gradient. Contract: kernels.h.
//
// A row's lines lie apart from each other, so its products are made line by line: of a line with many lines, and of
// many lines in one sum.
#include <algorithm>
#include <type_traits>

#include "level.h"
#include "simd.h"

namespace karusel {
namespace KARUSEL_LEVEL {
namespace {

// The lines of one row in an array.
struct Lines {
  const Matrix& array;
  const Packing& packing;
  int64_t row;

  int64_t count() const { return packing.length[row]; }
  float* operator[](int64_t t) const { return array.row(packing.offset[t] + row); }
};

// to[i] = x · lines[first + i]
template <int N>
void dots_of(const float* x, int64_t width, const Lines& lines, int64_t first, float* to) {
  const float* line[N];
  for (int i = 0; i < N; ++i) line[i] = lines[first + i];
  Vec total[N] = {};
  for_vectors(width, [&](int64_t j, auto get, auto) {
    const Vec part = get(x + j);
    for (int i = 0; i < N; ++i) total[i] += part * get(line[i] + j);
  });
  sums<N>(total, false, to);
}

// visit(s, x · lines[s]) for all lines.
template <class Visit>
void dots(const float* x, int64_t width, const Lines& lines, Visit visit) {
  const auto some = [&](auto n, int64_t first) {
    float found[n()];
    dots_of<n()>(x, width, lines, first, found);
    for (int i = 0; i < n(); ++i) visit(first + i, found[i]);
  };
  int64_t s = 0;
  for (; s + 8 <= lines.count(); s += 8) some(std::integral_constant<int, 8>(), s);
  for (; s + 2 <= lines.count(); s += 2) some(std::integral_constant<int, 2>(), s);
  for (; s < lines.count(); ++s) some(std::integral_constant<int, 1>(), s);
}

// to (+)= sum_t weight(t) lines[t]
template <class Weight>
void weighted_sum(const Lines& lines, int64_t width, Weight weight, bool add, float* to) {
  constexpr int NV = 4;
  int64_t j = 0;
  for (; j + NV * V <= width; j += NV * V) {
    Vec total[NV] = {};
    for (int i = 0; add && i < NV; ++i) total[i] = load(to + j + i * V);
    for (int64_t t = 0; t < lines.count(); ++t) {
      const Vec w = spread(weight(t));
      for (int i = 0; i < NV; ++i) total[i] += w * load(lines[t] + j + i * V);
    }
    for (int i = 0; i < NV; ++i) store(to + j + i * V, total[i]);
  }
  for_vectors(width - j, [&](int64_t k, auto get, auto put) {
    Vec total = add ? get(to + j + k) : Vec{};
    for (int64_t t = 0; t < lines.count(); ++t) total += spread(weight(t)) * get(lines[t] + j + k);
    put(to + j + k, total);
  });
}

// p = softmax(scale · p)
void softmax_of(float* p, int64_t n, float scale) {
  const float top = *std::max_element(p, p + n);
  float mass = 0;
  for_vectors(n, [&](int64_t j, auto get, auto put) { put(p + j, exp(scale * (get(p + j) - top))); });
  for (int64_t s = 0; s < n; ++s) mass += p[s];
  for (int64_t s = 0; s < n; ++s) p[s] /= mass;
}

void clear(const Matrix& gradient, bool accumulate) {
  for (int64_t line = 0; !accumulate && line < gradient.rows; ++line)
    std::memset(gradient.row(line), 0, sizeof(float) * static_cast<size_t>(gradient.cols));
}

}  // namespace

void attention_forward(const Packing& packing, const Packing& source, const AttentionForward& call) {
  for (int64_t r = 0; r < packing.rows; ++r) {
    const int64_t its = source.place[r];
    const Lines queries = {call.queries, packing, r}, context = {call.context, packing, r};
    const Lines weights = {call.weights, packing, r};
    const Lines keys = {call.keys, source, its}, values = {call.values, source, its};
    for (int64_t t = 0; t < queries.count(); ++t) {
      float* p = weights[t];
      dots(queries[t], call.keys.cols, keys, [p](int64_t s, float score) { p[s] = score; });
      softmax_of(p, keys.count(), call.scale);
      weighted_sum(values, call.values.cols, [p](int64_t s) { return p[s]; }, false, context[t]);
    }
  }
}

void attention_backward(const Packing& packing, const Packing& source, const AttentionBackward& call) {
  const int64_t H = call.keys.cols, D = call.values.cols;
  const float scale = call.scale;
  clear(call.dvalues, call.accumulate_values);
  clear(call.dkeys, call.accumulate_keys);
  for (int64_t r = 0; r < packing.rows; ++r) {
    const int64_t its = source.place[r];
    const Lines queries = {call.queries, packing, r}, dqueries = {call.dqueries, packing, r};
    const Lines context = {call.context, packing, r}, dcontext = {call.dcontext, packing, r};
    const Lines weights = {call.weights, packing, r};
    const Lines keys = {call.keys, source, its}, values = {call.values, source, its};
    const Lines dkeys = {call.dkeys, source, its}, dvalues = {call.dvalues, source, its};
    const int64_t S = keys.count();

    for (int64_t s = 0; call.dvalues && s < S; ++s)
      weighted_sum(dcontext, D, [&](int64_t t) { return weights[t][s]; }, true, dvalues[s]);

    // The gradient of the scores: p (dp - sum p dp), dp = dcontext · values, so that the sum is dcontext · context.
    for (int64_t t = 0; t < queries.count(); ++t) {
      float* p = weights[t];
      float mean = 0;
      dots_of<1>(dcontext[t], D, context, t, &mean);
      dots(dcontext[t], D, values, [p, mean](int64_t s, float dp) { p[s] *= dp - mean; });
      const auto dscore = [p, scale](int64_t s) { return scale * p[s]; };
      if (call.dqueries) weighted_sum(keys, H, dscore, call.accumulate_queries, dqueries[t]);
    }

    for (int64_t s = 0; call.dkeys && s < S; ++s)
      weighted_sum(queries, H, [&](int64_t t) { return scale * weights[t][s]; }, true, dkeys[s]);
  }
}

}  // namespace KARUSEL_LEVEL
}  // namespace karusel
