// Connectionist temporal classification: the likelihood of a string of symbols over all its alignments.
#include <algorithm>
#include <cmath>

#include "level.h"
#include "simd.h"

namespace karusel {
namespace KARUSEL_LEVEL {
namespace {

constexpr float NEVER = -INFINITY;

// log(exp a + exp b + exp c)
float log_sum(float a, float b, float c) {
  const float top = std::max(a, std::max(b, c));
  if (top == NEVER) return NEVER;
  return top + std::log(std::exp(a - top) + std::exp(b - top) + std::exp(c - top));
}

// A row's states: blank, symbol 1, blank, symbol 2, ..., blank; state s of an alignment emits `symbol(s)`.
struct Row {
  const CtcLoss& call;
  const Packing& packing;
  int64_t r;
  int64_t steps;
  int64_t states = 1;

  Row(const Packing& packing, const CtcLoss& call, int64_t r)
      : call(call), packing(packing), r(r), steps(packing.length[r]) {
    while (states < 2 * steps + 1 && call.target.row(line(states / 2))[0] >= 0) states += 2;
  }

  int64_t line(int64_t t) const { return packing.offset[t] + r; }
  int32_t symbol(int64_t s) const { return s % 2 ? call.target.row(line(s / 2))[0] : 0; }
  // Whether an alignment may go from state s to s + 2, without the blank between.
  bool skips(int64_t s) const { return s % 2 && s + 2 < states && symbol(s) != symbol(s + 2); }
};

// Subtracts the largest number of a line from all of it; returns it.
float normalise(float* line, int64_t n) {
  const float top = *std::max_element(line, line + n);
  if (top > NEVER)
    for (int64_t s = 0; s < n; ++s) line[s] -= top;
  return top;
}

// Lines alpha_t of a row, each less its largest number; returns log P. `log_mass` has log sum_k exp y_tk.
double forward(const Row& row, float* alpha, float* log_mass) {
  const int64_t S = row.states, O = row.call.y.cols;
  double shifts = 0;
  for (int64_t t = 0; t < row.steps; ++t) {
    const float* y = row.call.y.row(row.line(t));
    const float top = *std::max_element(y, y + O);
    float mass = 0;
    for (int64_t k = 0; k < O; ++k) mass += std::exp(y[k] - top);
    log_mass[t] = top + std::log(mass);

    float* now = alpha + t * S;
    const float* before = now - S;
    for (int64_t s = 0; s < S; ++s) {
      const float paths = t == 0 ? (s < 2 ? 0.0f : NEVER)
                                 : log_sum(before[s], s > 0 ? before[s - 1] : NEVER,
                                           s > 1 && row.skips(s - 2) ? before[s - 2] : NEVER);
      now[s] = paths + (y[row.symbol(s)] - log_mass[t]);
    }
    shifts += static_cast<double>(normalise(now, S));
  }
  const float* last = alpha + (row.steps - 1) * S;
  return shifts + static_cast<double>(log_sum(last[S - 1], S > 1 ? last[S - 2] : NEVER, NEVER));
}

// dy = factor (p - how likely each symbol is at t, given the string). Line t of alpha, once used, is overwritten with
// beta_t and the emission at t, which the step before needs.
void backward(const Row& row, float* alpha, const float* log_mass, float factor) {
  const int64_t S = row.states, O = row.call.y.cols;
  for (int64_t t = row.steps; t-- > 0;) {
    const float* y = row.call.y.row(row.line(t));
    float* dy = row.call.dy.row(row.line(t));
    for (int64_t k = 0; k < O; ++k) dy[k] = factor * std::exp(y[k] - log_mass[t]);

    float* now = alpha + t * S;
    const float* next = now + S;
    const bool last = t == row.steps - 1;
    // All ways on from state s, without its own emission.
    const auto beta = [&](int64_t s) {
      if (last) return s + 2 < S ? NEVER : 0.0f;
      return log_sum(next[s], s + 1 < S ? next[s + 1] : NEVER, row.skips(s) ? next[s + 2] : NEVER);
    };
    float mass = 0, top = NEVER;
    for (int64_t s = 0; s < S; ++s) top = std::max(top, now[s] + beta(s));
    for (int64_t s = 0; s < S; ++s) mass += std::exp(now[s] + beta(s) - top);
    for (int64_t s = 0; s < S; ++s) {
      const float on = beta(s);
      const int32_t k = row.symbol(s);
      dy[k] -= factor * std::exp(now[s] + on - top) / mass;
      now[s] = on + (y[k] - log_mass[t]);
    }
    normalise(now, S);
  }
}

}  // namespace

double ctc_loss(const Packing& packing, const CtcLoss& call) {
  double total = 0;
  for (int64_t r = 0; r < packing.rows; ++r) {
    const Row row(packing, call, r);
    const float w = call.weight ? call.weight.row(r)[0] : 1.0f;
    if (w == 0.0f) {
      for (int64_t t = 0; call.dy && t < row.steps; ++t)
        std::memset(call.dy.row(row.line(t)), 0, sizeof(float) * static_cast<size_t>(call.dy.cols));
      continue;
    }
    float* alpha = call.work.data;
    float* log_mass = alpha + row.steps * row.states;
    total -= static_cast<double>(w) * forward(row, alpha, log_mass);
    if (call.dy) backward(row, alpha, log_mass, call.scale * w);
  }
  return total;
}

}  // namespace KARUSEL_LEVEL
}  // namespace karusel
