// Activations, softmax, sums, broadcasts, the last step, dropout.
#include "karusel/randomness.h"
#include "level.h"
#include "simd.h"

namespace karusel {
namespace KARUSEL_LEVEL {
namespace {

// y = f(x) or y += f(x), element by element.
template <class F>
void map_lines(const Matrix& y, bool add, F f) {
  for (int64_t r = 0; r < y.rows; ++r)
    for_vectors(y.cols, [&](int64_t j, auto get, auto put) {
      const Vec value = f(r, j, get);
      put(y.row(r) + j, add ? get(y.row(r) + j) + value : value);
    });
}

template <class F>
void with_function(Function function, F f) {
  switch (function) {
    case Function::tanh: return f([](Vec x) { return tanh(x); }, [](Vec y) { return 1.0f - y * y; });
    case Function::sigmoid: return f([](Vec x) { return sigmoid(x); }, [](Vec y) { return y * (1.0f - y); });
    case Function::relu:
      return f([](Vec x) { return maximum(x, 0.0f); }, [](Vec y) { return y > Vec{} ? spread(1.0f) : Vec{}; });
  }
}

}  // namespace

void activation_forward(const ActivationForward& call) {
  with_function(call.function, [&](auto value, auto) {
    map_lines(call.y, false, [&](int64_t r, int64_t j, auto get) { return value(get(call.x.row(r) + j)); });
  });
}

void activation_backward(const ActivationBackward& call) {
  with_function(call.function, [&](auto, auto slope) {
    map_lines(call.dx, call.accumulate,
              [&](int64_t r, int64_t j, auto get) { return get(call.dy.row(r) + j) * slope(get(call.y.row(r) + j)); });
  });
}

void softmax(const Softmax& call) {
  for (int64_t r = 0; r < call.x.rows; ++r) {
    const float* x = call.x.row(r);
    float* y = call.y.row(r);
    float top = x[0];
    for (int64_t j = 1; j < call.x.cols; ++j) top = x[j] > top ? x[j] : top;
    float total = 0;
    for (int64_t j = 0; j < call.x.cols; ++j) total += y[j] = std::exp(x[j] - top);
    for (int64_t j = 0; j < call.x.cols; ++j) y[j] /= total;
  }
}

void add(const Add& call) {
  map_lines(call.y, false,
            [&](int64_t r, int64_t j, auto get) { return get(call.a.row(r) + j) + get(call.b.row(r) + j); });
}

void broadcast_forward(const BroadcastForward& call) {
  map_lines(call.y, false, [&](int64_t, int64_t j, auto get) { return get(call.p.data + j); });
}

void broadcast_backward(const BroadcastBackward& call) {
  for (int64_t r = 0; r < call.dy.rows; ++r)
    for_vectors(call.dy.cols, [&](int64_t j, auto get, auto put) {
      put(call.dp.data + j, get(call.dp.data + j) + get(call.dy.row(r) + j));
    });
}

void last_forward(const Packing& packing, const LastForward& call) {
  for (int64_t r = 0; r < packing.rows; ++r) {
    const int64_t t = call.reverse ? 0 : packing.length[r] - 1;
    std::memcpy(call.y.row(r), call.x.row(packing.offset[t] + r), sizeof(float) * static_cast<size_t>(call.y.cols));
  }
}

void last_backward(const Packing& packing, const LastBackward& call) {
  if (!call.accumulate)
    for (int64_t line = 0; line < packing.total; ++line)
      std::memset(call.dx.row(line), 0, sizeof(float) * static_cast<size_t>(call.dx.cols));
  for (int64_t r = 0; r < packing.rows; ++r) {
    const int64_t t = call.reverse ? 0 : packing.length[r] - 1;
    float* dx = call.dx.row(packing.offset[t] + r);
    const float* dy = call.dy.row(r);
    for_vectors(call.dx.cols, [&](int64_t j, auto get, auto put) { put(dx + j, get(dx + j) + get(dy + j)); });
  }
}

namespace {

// Number i of the mask is 0 at the call's rate, otherwise what keeps the mean: a function of key and place alone.
void draw_mask(const Dropout& call, uint64_t first, int64_t n, float* mask) {
  const float scale = 1.0f / (1.0f - call.rate);
  for (int64_t i = 0; i < n; ++i) {
    const uint64_t drawn = mix(call.key + (first + static_cast<uint64_t>(i)) * GOLDEN) >> 40;  // 24 bits
    mask[i] = static_cast<float>(drawn) * 0x1p-24f >= call.rate ? scale : 0.0f;
  }
}

// n columns of a line, from j on.
void apply_mask(const Dropout& call, int64_t line, int64_t j, int64_t n, const float* mask) {
  float* y = call.y.row(line) + j;
  for_vectors(n, [&](int64_t i, auto get, auto put) {
    const Vec value = call.x ? get(call.x.row(line) + j + i) * get(mask + i) : get(mask + i);
    put(y + i, call.accumulate ? get(y + i) + value : value);
  });
}

}  // namespace

void dropout(const Packing& packing, const Dropout& call) {
  constexpr int64_t BLOCK = 256;
  const int64_t W = call.y.cols;
  const bool per_step = call.y.rows == packing.total && packing.total != packing.rows;
  for (int64_t r = 0; r < packing.rows; ++r) {
    const int64_t steps = per_step ? packing.length[r] : 1;
    const int64_t served = call.shared ? steps : 1;  // by one mask
    for (int64_t t = 0; t < steps; t += served)
      for (int64_t j = 0; j < W; j += BLOCK) {
        const uint64_t first = static_cast<uint64_t>((packing.name[r] * packing.batch_steps + t) * W + j);
        const int64_t n = W - j < BLOCK ? W - j : BLOCK;
        float mask[BLOCK];
        draw_mask(call, first, n, mask);
        for (int64_t s = t; s < t + served; ++s)
          apply_mask(call, per_step ? packing.offset[s] + r : r, j, n, mask);
      }
  }
}

}  // namespace KARUSEL_LEVEL
}  // namespace karusel
