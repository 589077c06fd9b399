// Layer normalisation over each line.
#include "level.h"
#include "norm.h"

namespace karusel {
namespace KARUSEL_LEVEL {

void layer_norm_forward(const LayerNormForward& call) {
  const int64_t W = call.x.cols;
  for (int64_t r = 0; r < call.x.rows; ++r) {
    const float* x = call.x.row(r);
    const auto [mean, scale] = moments(W, x, call.epsilon);
    float* y = call.y.row(r);
    for_vectors(W, [&, mean = mean, scale = scale](int64_t j, auto get, auto put) {
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
      float* dx = call.dx.row(r);
      normal_backward(W, scale, normal, slope, [&](int64_t j, Vec value, auto get, auto put) {
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
