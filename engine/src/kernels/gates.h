// An LSTM's gates of one row, forward and back. Equations: kernels.h. Of H units some that lie side by side are worked
// on: `units`, which are the first of what each pointer points to.
#pragma once

#include <cfloat>

#include "simd.h"

namespace karusel {
namespace KARUSEL_LEVEL {

//   i, f, o = sigmoid(a),  g = tanh(a),  c = f c_before + i g,  h = o tanh(c);  keep: dropout of g
// In loops of their own: each is short enough for the processor to work on many vectors at once.
// a: before activation, a_gate between its gates; activated into `gates`, which may be the same.
inline void gates_forward(int64_t units, const float* a, int64_t a_gate, float* gates, int64_t H, const float* c_before,
                          const float* keep, float* c, float* h) {
  const auto sigmoids = [&](int64_t n, int64_t gate) {
    const float* from = a + gate * a_gate;
    float* to = gates + gate * H;
    for_vectors(n, [&](int64_t j, auto get, auto put) { put(to + j, sigmoid(get(from + j))); });
  };
  if (units == H) {
    sigmoids(2 * H, 0);
  } else {
    sigmoids(units, 0);
    sigmoids(units, 1);
  }
  for_vectors(units, [&](int64_t j, auto get, auto put) { put(gates + 2 * H + j, tanh(get(a + 2 * a_gate + j))); });
  sigmoids(units, 3);
  for_vectors(units, [&](int64_t j, auto get, auto put) {
    const Vec i = get(gates + j), f = get(gates + H + j), g = get(gates + 2 * H + j), o = get(gates + 3 * H + j);
    const Vec state = i * (keep ? g * get(keep + j) : g) + (c_before ? f * get(c_before + j) : Vec{});
    put(c + j, state);
    put(h + j, o * tanh(state));
  });
}

// What comes back to a step of one row; each part may be missing.
struct Incoming {
  const float* later;   // dh by way of the later step's gates
  const float* dh;      // dh of the output of this step
  const float* dh_end;  // dh of the final state, at the row's last step
};

// a: gates in, their gradient out. carry: dc from the later step in (if there is one), for the earlier step out.
// tanh(c) is h / o: one division instead of computing it anew.
inline void gates_backward(int64_t units, int64_t H, float* a, const float* c_before, const float* keep,
                           const float* h, const Incoming& in, float* carry) {
  for_vectors(units, [&](int64_t j, auto get, auto put) {
    const Vec i = get(a + j), f = get(a + H + j), g = get(a + 2 * H + j), o = get(a + 3 * H + j);
    const Vec ht = get(h + j);
    Vec dh = in.later ? get(in.later + j) : Vec{};
    if (in.dh) dh += get(in.dh + j);
    if (in.dh_end) dh += get(in.dh_end + j);
    Vec dc = dh * (o - ht * (ht / maximum(o, FLT_MIN)));  // o (1 - tanh(c)^2), also where o is 0
    if (in.later) dc += get(carry + j);
    const Vec written = keep ? dc * get(keep + j) : dc;
    put(a + j, written * g * i * (1.0f - i));
    put(a + H + j, c_before ? dc * get(c_before + j) * f * (1.0f - f) : Vec{});
    put(a + 2 * H + j, written * i * (1.0f - g * g));
    put(a + 3 * H + j, dh * ht * (1.0f - o));
    put(carry + j, dc * f);
  });
}

}  // namespace KARUSEL_LEVEL
}  // namespace karusel
