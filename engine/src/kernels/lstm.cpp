// The LSTM over a ragged batch, one direction, and its gradient. Equations and contracts: kernels.h.
//
// At step t the first active[t] rows work. Of these the first ones follow a step of their own; the rest begin here
// and start from the initial state. Forward in time all begin together; reversed, a row begins at its own last step,
// so that rows join as time runs back.
#include "gates.h"
#include "gemm.h"
#include "karusel/kernels.h"
#include "level.h"
#include "norm.h"

namespace karusel {
namespace KARUSEL_LEVEL {
namespace {

// A step, and those that the recurrence joins it with: the earlier one that it follows, the later one that follows it.
struct Step {
  int64_t t;
  int64_t rows;       // that work in it
  int64_t line;       // its first line
  int64_t following;  // rows that have the earlier step too
  int64_t earlier_line;
  int64_t followed;  // rows that have the later step too
  int64_t later_line;
};

Step step_at(const Packing& p, int64_t t, int64_t dilation, bool reverse) {
  const int64_t earlier = reverse ? t + dilation : t - dilation;
  const int64_t later = reverse ? t - dilation : t + dilation;
  const auto shared = [&](int64_t other) {  // rows that have both steps
    return other < 0 || other >= p.steps ? 0 : p.active[other > t ? other : t];
  };
  const auto line = [&](int64_t other) { return other < 0 || other >= p.steps ? 0 : p.offset[other]; };
  return {t, p.active[t], p.offset[t], shared(earlier), line(earlier), shared(later), line(later)};
}

// A state that some rows start from: lines of an array, or nothing, which means zero.
struct State {
  const float* data;
  int64_t stride;

  const float* row(int64_t r) const { return data ? data + r * stride : nullptr; }
};

State slot(const Matrix& initial, int64_t H, int64_t t) {
  if (!initial) return {nullptr, 0};
  const int64_t slots = initial.cols / H;
  return {initial.data + (t % slots) * H, initial.stride};
}

// n: z in, normalised out; a += gain · n. Returns 1 / sqrt(variance + epsilon).
float norm_forward(const Matrix& gain, float epsilon, float* n, float* a) {
  const Moments z = moments(gain.cols, n, epsilon);
  for_vectors(gain.cols, [&](int64_t j, auto get, auto put) {
    const Vec normal = (get(n + j) - z.mean) * z.scale;
    put(n + j, normal);
    put(a + j, get(a + j) + normal * get(gain.data + j));
  });
  return z.scale;
}

// n: normalised in, the gradient of z out.
void norm_backward(const Matrix& gain, const float* da, float scale, float* n, float* dgain) {
  const int64_t G = gain.cols;
  for_vectors(G, [&](int64_t j, auto get, auto put) { put(dgain + j, get(dgain + j) + get(da + j) * get(n + j)); });
  normal_backward(
      G, scale, [&](int64_t j, auto get) { return get(n + j); },
      [&](int64_t j, auto get) { return get(da + j) * get(gain.data + j); },
      [&](int64_t j, Vec dz, auto, auto put) { put(n + j, dz); });
}

void copy_row(const float* from, float* to, int64_t n) {
  std::memmove(to, from, static_cast<size_t>(n) * sizeof(float));
}

void clear_row(float* row, int64_t n) { std::memset(row, 0, static_cast<size_t>(n) * sizeof(float)); }

void clear_rows(const Matrix& m) {
  for (int64_t r = 0; r < m.rows; ++r) clear_row(m.row(r), m.cols);
}

void rows_forward(const Packing& packing, const LstmForward& call) {
  const int64_t H = call.c.cols, d = call.dilation;
  for (int64_t k = 0; k < packing.steps; ++k) {
    const Step s = step_at(packing, call.reverse ? packing.steps - 1 - k : k, d, call.reverse);
    const int64_t gate_line = call.tape ? s.line : 0;

    const auto rows = [&](int64_t first, int64_t count, State h_before, State c_before) {
      if (count <= 0) return;
      const Factor factors[2] = {{call.x.row(s.line + first), call.x.stride, &call.W},
                                 {h_before.row(first), h_before.stride, &call.U}};
      const bool normed = call.gain && h_before.data;
      const bool backwards = (packing.steps_before + k) % 2 == 1;
      multiply(count, 4 * H, factors, h_before.data && !normed ? 2 : 1, {call.b.data, 0},
               call.gates.row(gate_line + first), call.gates.stride, backwards);
      if (normed)
        multiply(count, 4 * H, factors + 1, 1, {}, call.normal.row(gate_line + first), call.normal.stride, backwards);
      for (int64_t r = first; r < first + count; ++r) {
        float* a = call.gates.row(gate_line + r);
        if (normed)
          *call.scale.row(gate_line + r) = norm_forward(call.gain, call.epsilon, call.normal.row(gate_line + r), a);
        gates_forward(H, a, H, a, H, c_before.row(r), call.keep ? call.keep.row(s.line + r) : nullptr,
                      call.c.row(s.line + r), call.h.row(s.line + r));
      }
    };
    rows(0, s.following, {call.h.row(s.earlier_line), call.h.stride}, {call.c.row(s.earlier_line), call.c.stride});
    rows(s.following, s.rows - s.following, slot(call.h0, H, s.t), slot(call.c0, H, s.t));
  }
}

// hn and cn.
void last_states(const Packing& packing, const LstmForward& call) {
  const int64_t H = call.c.cols;
  const int64_t slots = call.hn.cols / H;
  for (int64_t r = 0; r < packing.rows; ++r) {
    for (int64_t i = 0; i < slots; ++i) {
      const int64_t t = call.reverse ? 0 : packing.length[r] - slots + i;
      if (t >= 0) {
        const int64_t line = packing.offset[t] + r;
        copy_row(call.h.row(line), call.hn.row(r) + i * H, H);
        if (call.cn) copy_row(call.c.row(line), call.cn.row(r) + i * H, H);
      } else if (call.h0) {  // shorter than the dilation: older states move up
        copy_row(slot(call.h0, H, t + slots).row(r), call.hn.row(r) + i * H, H);
        if (call.cn) copy_row(slot(call.c0, H, t + slots).row(r), call.cn.row(r) + i * H, H);
      } else {
        clear_row(call.hn.row(r) + i * H, H);
        if (call.cn) clear_row(call.cn.row(r) + i * H, H);
      }
    }
  }
}

}  // namespace

void lstm_forward(const Packing& packing, const LstmForward& call) {
  if (call.U.halves)
    lstm_forward_halves(packing, call);
  else if (!lstm_forward_row(packing, call))
    rows_forward(packing, call);
  if (call.hn) last_states(packing, call);
}

void lstm_backward(const Packing& packing, const LstmBackward& call) {
  if (call.U.halves) return lstm_backward_halves(packing, call);
  const int64_t H = call.c.cols, d = call.dilation;
  const int64_t G = 4 * H;
  const Matrix& gates = call.gates;
  const Matrix& back = call.gain ? call.normal : call.gates;  // the gradient of h U
  const bool keeps_sum = call.sum.rows == packing.total;

  clear_rows(call.dh0);
  clear_rows(call.dc0);
  if (!call.add) clear_rows(call.dgain);

  for (int64_t k = 0; k < packing.steps; ++k) {
    const Step s = step_at(packing, call.reverse ? k : packing.steps - 1 - k, d, call.reverse);
    const bool last = call.reverse ? s.t == 0 : true;  // rows from `first_end` on end in this step
    const int64_t first_end = call.reverse ? 0 : (s.t + 1 < packing.steps ? packing.active[s.t + 1] : 0);

    const int64_t sum_line = keeps_sum ? s.line : 0;

    multiply_transposed(s.followed, back.row(s.later_line), back.stride, call.U, false, call.sum.row(sum_line),
                        call.sum.stride, k % 2 == 1);
    for (int64_t r = s.followed; keeps_sum && r < s.rows; ++r) clear_row(call.sum.row(sum_line + r), H);

    const State c0 = slot(call.c0, H, s.t);
    for (int64_t r = 0; r < s.rows; ++r) {
      const bool ends = last && r >= first_end;
      const Incoming in = {r < s.followed ? call.sum.row(sum_line + r) : nullptr,
                           call.dh ? call.dh.row(s.line + r) : nullptr, ends && call.dhn ? call.dhn.row(r) : nullptr};
      const float* c_before = r < s.following ? call.c.row(s.earlier_line + r) : c0.row(r);
      const float* keep = call.keep ? call.keep.row(s.line + r) : nullptr;
      gates_backward(H, H, gates.row(s.line + r), c_before, keep, call.h.row(s.line + r), in,
                     call.carry.row(r) + (s.t % d) * H);
      if (call.gain && (r < s.following || call.h0))
        norm_backward(call.gain, gates.row(s.line + r), *call.scale.row(s.line + r), back.row(s.line + r),
                      call.dgain.data);
    }
    if (call.dh0)
      multiply_transposed(s.rows - s.following, back.row(s.line + s.following), back.stride, call.U, true,
                          call.dh0.row(s.following), call.dh0.stride);
    for (int64_t r = s.following; call.dc0 && r < s.rows; ++r) {
      const float* carry = call.carry.row(r) + (s.t % d) * H;
      float* start = call.dc0.row(r);
      for_vectors(H, [&](int64_t j, auto get, auto put) { put(start + j, get(start + j) + get(carry + j)); });
    }
  }

  if (call.dx)
    multiply_transposed(packing.total, gates.data, gates.stride, call.W, call.accumulate, call.dx.data, call.dx.stride);
  multiply_and_sum_lines(packing.total, call.x.data, call.x.cols, call.x.stride, gates.data, G, gates.stride,
                         call.W.bf16, call.add, call.dW.data, call.dW.stride, call.db.data);

  // dU sums over all pairs of a step and the one before. Steps whose pairs lie one behind the other in
  // memory are taken together: with equal lengths that is one product over all of time.
  bool add = call.add;
  const auto multiply_pairs = [&](int64_t lines, const float* h, int64_t h_stride, int64_t line) {
    if (lines > 0)
      multiply_lines(lines, h, H, h_stride, back.row(line), G, back.stride, call.U.bf16, add, call.dU.data,
                     call.dU.stride);
    add = add || lines > 0;
  };
  int64_t lines = 0, first = 0, first_before = 0;
  for (int64_t t = 0; t < packing.steps; ++t) {
    const Step s = step_at(packing, t, d, call.reverse);
    if (s.following > 0) {
      if (lines == 0 || s.line != first + lines || s.earlier_line != first_before + lines) {
        multiply_pairs(lines, call.h.row(first_before), call.h.stride, first);
        lines = 0;
        first = s.line;
        first_before = s.earlier_line;
      }
      lines += s.following;
    }
    if (const State h0 = slot(call.h0, H, t); h0.data)
      multiply_pairs(s.rows - s.following, h0.row(s.following), h0.stride, s.line + s.following);
  }
  multiply_pairs(lines, call.h.row(first_before), call.h.stride, first);
  if (!add) clear_rows(call.dU);
}

}  // namespace KARUSEL_LEVEL
}  // namespace karusel
