// The LSTM of one row of a few units. They stay in registers from step to step: the next gates wait for no store, and
// weights are so few that they are read where they lie.
#include "karusel/kernels.h"
#include "level.h"
#include "simd.h"

namespace karusel {
namespace KARUSEL_LEVEL {
namespace {

// get and put reach as much of a vector as there are units.
template <class Get, class Put>
void row_forward(const Packing& packing, const LstmForward& call, Get get, Put put) {
  const int64_t H = call.c.cols, G = 4 * H;
  Vec h = call.h0 ? get(call.h0.data) : Vec{}, c = call.c0 ? get(call.c0.data) : Vec{};

  for (int64_t k = 0; k < packing.steps; ++k) {
    const int64_t t = call.reverse ? packing.steps - 1 - k : k;
    struct Gates {
      Vec i = {}, f = {}, g = {}, o = {};
    } even, odd;  // sums of every other term
    const auto add = [&](Gates& a, Vec factor, const float* row) {
      a.i = multiply_add(factor, get(row), a.i);
      a.f = multiply_add(factor, get(row + H), a.f);
      a.g = multiply_add(factor, get(row + 2 * H), a.g);
      a.o = multiply_add(factor, get(row + 3 * H), a.o);
    };
    add(even, spread(1.0f), call.b.data);
    const float* x = call.x.row(t);
    for (int64_t j = 0; j < call.x.cols; ++j) add(odd, spread(x[j]), call.W.data + j * G);
    int64_t j = 0;
    for (; j + 2 <= H; j += 2) {
      add(even, spread_lane(h, j), call.U.data + j * G);
      add(odd, spread_lane(h, j + 1), call.U.data + (j + 1) * G);
    }
    if (j < H) add(even, spread_lane(h, j), call.U.data + j * G);

    const Vec i = sigmoid(even.i + odd.i), f = sigmoid(even.f + odd.f), g = tanh(even.g + odd.g);
    const Vec o = sigmoid(even.o + odd.o);
    c = i * (call.keep ? g * get(call.keep.row(t)) : g) + f * c;
    h = o * tanh(c);
    if (call.tape) {
      float* gates = call.gates.row(t);
      put(gates, i);
      put(gates + H, f);
      put(gates + 2 * H, g);
      put(gates + 3 * H, o);
    }
    put(call.c.row(t), c);
    put(call.h.row(t), h);
  }
}

}  // namespace

bool lstm_forward_row(const Packing& packing, const LstmForward& call) {
  const int64_t H = call.c.cols;
  if (packing.rows != 1 || H > V || call.dilation != 1 || call.gain || call.W.bf16) return false;
  if (H == V)
    row_forward(packing, call, [](const float* p) { return load(p); }, [](float* p, Vec v) { store(p, v); });
  else
    row_forward(packing, call, [H](const float* p) { return load(p, H); }, [H](float* p, Vec v) { store(p, v, H); });
  return true;
}

}  // namespace KARUSEL_LEVEL
}  // namespace karusel
