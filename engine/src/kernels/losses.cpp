// Losses and their gradients with respect to the predictions.
#include <cmath>

#include "level.h"
#include "simd.h"

namespace karusel {
namespace KARUSEL_LEVEL {
namespace {

// Sums value(y, target, quantile) over everything of non-zero weight; value returns {loss, slope}.
struct Point {
  float loss;
  float slope;
};

template <class F>
double sum_lines(const Loss& call, int64_t per_target, F point) {
  const bool per_line = !call.weight || call.weight.cols == 1;
  double total = 0;
  for (int64_t r = 0; r < call.y.rows; ++r) {
    const float* weights = call.weight ? call.weight.row(r) : nullptr;
    const float of_line = weights && per_line ? weights[0] : 1.0f;
    double line = 0;
    for (int64_t j = 0; j < call.target.cols; ++j) {
      const float w = per_line ? of_line : weights[j];
      const int64_t first = j * per_target;
      if (w == 0.0f) {
        if (call.dy) std::memset(call.dy.row(r) + first, 0, sizeof(float) * static_cast<size_t>(per_target));
        continue;
      }
      const float target = call.target.row(r)[j];
      double of_target = 0;
      for (int64_t k = 0; k < per_target; ++k) {
        const Point p = point(call.y.row(r)[first + k], target, k);
        of_target += static_cast<double>(p.loss);
        if (call.dy) call.dy.row(r)[first + k] = call.scale * w * p.slope;
      }
      line += per_line ? of_target : static_cast<double>(w) * of_target;
    }
    total += static_cast<double>(of_line) * line;
  }
  return total;
}

}  // namespace

double loss(const Loss& call) {
  switch (call.kind) {
    case LossKind::squared:
      return sum_lines(call, 1, [](float y, float t, int64_t) { return Point{(y - t) * (y - t), 2.0f * (y - t)}; });
    case LossKind::absolute:
      return sum_lines(call, 1, [](float y, float t, int64_t) {
        return Point{std::fabs(y - t), y > t ? 1.0f : (y < t ? -1.0f : 0.0f)};
      });
    case LossKind::huber: {
      const float d = call.settings[0];
      return sum_lines(call, 1, [d](float y, float t, int64_t) {
        const float e = y - t, size = std::fabs(e);
        if (size <= d) return Point{0.5f * e * e, e};
        return Point{d * (size - 0.5f * d), e > 0 ? d : -d};
      });
    }
    case LossKind::pinball:
      return sum_lines(call, call.n_settings, [&](float y, float t, int64_t k) {
        const float q = call.settings[k], e = t - y;
        return e >= 0 ? Point{q * e, e > 0 ? -q : 0.0f} : Point{(q - 1.0f) * e, 1.0f - q};
      });
    case LossKind::binary:
      return sum_lines(call, 1, [](float y, float t, int64_t) {
        // log(1 + exp(y)) - t y, written so that neither part overflows
        const float soft = std::log1p(std::exp(-std::fabs(y)));
        const float p = y >= 0 ? 1.0f / (1.0f + std::exp(-y)) : std::exp(y) / (1.0f + std::exp(y));
        return Point{(y > 0 ? y : 0.0f) - t * y + soft, p - t};
      });
  }
  return NAN;
}

namespace {

float largest(const float* y, int64_t n) {
  float top = y[0];
  int64_t j = 0;
  if (n >= V) {
    Vec tops = load(y);
    for (j = V; j + V <= n; j += V) tops = maximum(load(y + j), tops);
    for (int64_t i = 0; i < V; ++i) top = tops[i] > top ? tops[i] : top;
  }
  for (; j < n; ++j) top = y[j] > top ? y[j] : top;
  return top;
}

}  // namespace

double softmax_loss(const SoftmaxLoss& call) {
  const int64_t K = call.target.cols, O = call.y.cols / K;
  double total = 0;
  for (int64_t at = 0; at < call.y.rows * K; ++at) {
    const int64_t r = at / K, k = at % K;
    const float w = call.weight ? call.weight.row(r)[call.weight.cols == 1 ? 0 : k] : 1.0f;
    if (w == 0.0f) {
      if (call.dy) std::memset(call.dy.row(r) + k * O, 0, sizeof(float) * static_cast<size_t>(O));
      continue;
    }
    const float* y = call.y.row(r) + k * O;
    const int64_t target = call.target.row(r)[k];
    const float top = largest(y, O);
    Vec partial = {};
    int64_t j = 0;
    for (; j + V <= O; j += V) partial += exp(load(y + j) - top);
    float mass = sum(partial);
    for (; j < O; ++j) mass += std::exp(y[j] - top);
    const float log_mass = std::log(mass) + top;
    total += static_cast<double>(w) * static_cast<double>(log_mass - y[target]);
    if (call.dy) {
      const float scale = call.scale * w;
      const float own = y[target];
      float* dy = call.dy.row(r) + k * O;
      for_vectors(O, [&](int64_t i, auto get, auto put) { put(dy + i, exp(get(y + i) - log_mass) * scale); });
      dy[target] = scale * (std::exp(own - log_mass) - 1.0f);
    }
  }
  return total;
}

}  // namespace KARUSEL_LEVEL
}  // namespace karusel
