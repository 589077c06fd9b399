// Layer normalisation over each line.
#include "level.h"
#include "simd.h"

namespace karusel {
namespace KARUSEL_LEVEL {
namespace {

// The sum of f(vector) over a line. Lanes beyond the end are cleared, whatever f makes of them.
template <class F>
float line_sum(int64_t n, F f) {
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
  return sum(total);
}

}  // namespace

void layer_norm_forward(const LayerNormForward& call) {
  const int64_t W = call.x.cols;
  for (int64_t r = 0; r < call.x.rows; ++r) {
    const float* x = call.x.row(r);
    const float mean = line_sum(W, [&](int64_t j, auto get) { return get(x + j); }) / static_cast<float>(W);
    const float variance = line_sum(W,
                                    [&](int64_t j, auto get) {
                                      const Vec e = get(x + j) - mean;
                                      return e * e;
                                    }) /
                           static_cast<float>(W);
    const float scale = 1.0f / std::sqrt(variance + call.epsilon);
    float* y = call.y.row(r);
    for_vectors(W, [&](int64_t j, auto get, auto put) {
      put(y + j, (get(x + j) - mean) * scale * get(call.gain.data + j) + get(call.bias.data + j));
    });
    call.stats.row(r)[0] = mean;
    call.stats.row(r)[1] = scale;
  }
}

void layer_norm_backward(const LayerNormBackward& call) {
  const int64_t W = call.x.cols;
  for (int64_t r = 0; r < call.x.rows; ++r) {
    const float* x = call.x.row(r);
    const float* dy = call.dy.row(r);
    const float mean = call.stats.row(r)[0], scale = call.stats.row(r)[1];
    const auto normal = [&](int64_t j, auto get) { return (get(x + j) - mean) * scale; };
    const auto slope = [&](int64_t j, auto get) { return get(dy + j) * get(call.gain.data + j); };

    if (call.dx) {
      const float a = line_sum(W, slope) / static_cast<float>(W);
      const float b =
          line_sum(W, [&](int64_t j, auto get) { return slope(j, get) * normal(j, get); }) / static_cast<float>(W);
      float* dx = call.dx.row(r);
      for_vectors(W, [&](int64_t j, auto get, auto put) {
        const Vec value = (slope(j, get) - a - normal(j, get) * b) * scale;
        put(dx + j, call.accumulate ? get(dx + j) + value : value);
      });
    }
    for_vectors(W, [&](int64_t j, auto get, auto put) {
      put(call.dgain.data + j, get(call.dgain.data + j) + get(dy + j) * normal(j, get));
      put(call.dbias.data + j, get(call.dbias.data + j) + get(dy + j));
    });
  }
}

}  // namespace KARUSEL_LEVEL
}  // namespace karusel
