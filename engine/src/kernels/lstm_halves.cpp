// The LSTM of one row, its units in two halves, on one thread or on two. On two, each half multiplies what it has of h,
// or what it has for itself of the gradient, while the other's part is on its way. On one thread the sums are the same.
#include "gates.h"
#include "gemm.h"
#include "halves.h"
#include "karusel/kernels.h"
#include "karusel/threads.h"
#include "level.h"

namespace karusel {
namespace KARUSEL_LEVEL {
namespace {

// Numbers of an array for a half's gates, and for all units. Where arrays lie in their page is not left to the stack:
// some places cost a third of a step. No two begin at the same one.
constexpr int64_t MOST_GATES = 4 * (MOST_HALVED / 2) + 208, MOST_SUMS = MOST_HALVED + 464;

// The lines of an array in the order of time, or against it.
struct Times {
  int64_t steps;
  bool against;

  int64_t at(int64_t k) const { return against ? steps - 1 - k : k; }
};

// One line times lines [first, first + K) of panels that have `rows`. Every other step runs through them from the end:
// what the step before left in the nearest cache is read first.
Term<float> term(const float* a, const float* panels, int64_t width, int64_t rows, int64_t first, int64_t K,
                 bool backwards) {
  if (backwards) return {a + K - 1, 0, -1, panels + (first + K - 1) * width, -width, width * rows, K};
  return {a, 0, 1, panels + first * width, width, width * rows, K};
}

const float* part(const Matrix& m, int64_t line, int64_t j) { return m ? m.row(line) + j : nullptr; }

}  // namespace

void lstm_forward_halves(const Packing& packing, const LstmForward& call) {
  const int64_t H = call.c.cols, I = call.x.cols;
  const Times time = {packing.steps, call.reverse};
  alignas(4096) float bias[2][MOST_GATES], a[2][MOST_GATES];  // of each half, its gates side by side

  in_halves(call.share, [&](Partner& partner) {
    for (int i = partner.first; i < partner.last; ++i)
      for (int64_t gate = 0; gate < 4; ++gate) {
        const auto [j, units] = half_of(H, i);
        copy_vectors(call.b.data + gate * H + j, bias[i] + gate * units, units);
      }

    for (int64_t k = 0; k < packing.steps; ++k) {
      const int64_t t = time.at(k), before = k > 0 ? time.at(k - 1) : 0;
      const Matrix &h = k > 0 ? call.h : call.h0, &c = k > 0 ? call.c : call.c0;
      const bool backwards = (packing.steps_before + k) % 2 == 1;

      const auto from_h = [&](int i, int units_of) {
        const auto [j, count] = half_of(H, units_of);
        return term(part(h, before, j), call.U.panels + half_panels(H, i, H), P, H, j, count, backwards);
      };
      const auto multiply_half = [&](int i, const Term<float>* terms, int64_t n_terms, const float* start) {
        multiply(1, 4 * half_of(H, i).count, terms, n_terms, {start, 0}, a[i], 0, backwards);
      };
      for (int n = partner.first; n < partner.last; ++n) {
        const int i = partner.alone() && backwards ? 1 - n : n;
        const float* W = call.W.panels + half_panels(H, i, I);
        const Term<float> own[] = {term(call.x.row(t), W, P, I, 0, I, backwards), from_h(i, i)};
        multiply_half(i, own, h ? 2 : 1, bias[i]);
        partner.wait();
        const Term<float> other = from_h(i, 1 - i);
        if (h) multiply_half(i, &other, 1, a[i]);
      }
      for (int i = partner.first; i < partner.last; ++i) {
        const auto [j, units] = half_of(H, i);
        gates_forward(units, a[i], units, call.gates.row(call.tape ? t : 0) + j, H, part(c, before, j),
                      part(call.keep, t, j), call.c.row(t) + j, call.h.row(t) + j);
      }
      partner.done();
    }
  });
}

void lstm_backward_halves(const Packing& packing, const LstmBackward& call) {
  const int64_t H = call.c.cols, G = 4 * H, T = packing.steps;
  const Matrix& gates = call.gates;
  const Times time = {T, !call.reverse};
  const bool keeps_sum = call.sum.rows == T;
  alignas(4096) float da[2][MOST_GATES];      // of each half, its gates side by side
  alignas(4096) float sums[2][2][MOST_SUMS];  // dh by way of the gates of each half; one for every other step

  in_halves(call.share, [&](Partner& partner) {
    for (int64_t k = 0; k < T; ++k) {
      const int64_t t = time.at(k), before = k + 1 < T ? time.at(k + 1) : 0;
      const bool last = k == 0, first = k + 1 == T;  // steps, in the order in which the LSTM went
      const Matrix& c = first ? call.c0 : call.c;
      float* const sum = call.sum.row(keeps_sum ? t : 0);

      for (int i = partner.first; i < partner.last; ++i) {
        const auto [j, units] = half_of(H, i);
        if (last && keeps_sum) std::memset(sum + j, 0, static_cast<size_t>(units) * sizeof(float));
        const Incoming in = {last ? nullptr : sum + j, part(call.dh, t, j), last ? part(call.dhn, 0, j) : nullptr};
        gates_backward(units, H, gates.row(t) + j, part(c, before, j), part(call.keep, t, j), call.h.row(t) + j, in,
                       call.carry.row(0) + j);
        for (int64_t gate = 0; gate < 4; ++gate)
          copy_vectors(gates.row(t) + gate * H + j, da[i] + gate * units, units);
      }

      float* const to = first ? call.dh0.data : call.sum.row(keeps_sum ? before : 0);
      if (!to) continue;
      const bool backwards = k % 2 == 1;
      auto& by_way_of = sums[k % 2];
      const auto multiply_units = [&](int i, Units units) {
        const int64_t rows = 4 * half_of(H, i).count;
        const float* panels = call.U.panels_transposed + half_panels_transposed(H, i);
        const Term<float> all = term(da[i], panels, width_transposed(H), rows, 0, rows, backwards);
        if (narrow_panels(H))
          multiply_row<4, 4, TILE_VECTORS / 2>(units.first, units.first + units.count, all, by_way_of[i]);
        else
          multiply_row<V == 16 ? 2 : 1, 8, TILE_VECTORS>(units.first, units.first + units.count, all, by_way_of[i]);
      };
      if (partner.alone()) {
        for (int i = 0; i < 2; ++i) multiply_units(backwards ? 1 - i : i, {0, H});
      } else {
        multiply_units(partner.first, half_of(H, 1 - partner.first));
        partner.done();
        multiply_units(partner.first, half_of(H, partner.first));
        partner.wait();
      }
      for (int i = partner.first; i < partner.last; ++i) {
        const auto [first_unit, units] = half_of(H, i);
        const float *const one = by_way_of[0] + first_unit, *const other = by_way_of[1] + first_unit;
        float* const dh = to + first_unit;
        for_vectors(units, [&](int64_t j, auto get, auto put) { put(dh + j, get(one + j) + get(other + j)); });
      }
    }
    partner.done();
    partner.wait();

    for (int i = partner.first; i < partner.last; ++i) {
      const auto [j, units] = half_of(H, i);
      if (call.dc0) copy_vectors(call.carry.row(0) + j, call.dc0.row(0) + j, units);
      if (call.dx) {
        const int64_t line = i * (T / 2), lines = i == 0 ? T / 2 : T - T / 2;
        multiply_transposed(lines, gates.row(line), gates.stride, call.W, call.accumulate, call.dx.row(line),
                            call.dx.stride);
      }
      for (int64_t n = j; n < G; n += H) {
        multiply_and_sum_lines(T, call.x.data, call.x.cols, call.x.stride, gates.data + n, units, gates.stride, false,
                               call.add, call.dW.data + n, call.dW.stride, call.db.data + n);
        bool add = call.add;
        const auto multiply_pairs = [&](int64_t lines, const Matrix& h, int64_t earlier, int64_t later) {
          multiply_lines(lines, h.row(earlier), H, h.stride, gates.row(later) + n, units, gates.stride, false, add,
                         call.dU.data + n, call.dU.stride);
          add = true;
        };
        if (call.h0) multiply_pairs(1, call.h0, 0, time.at(T - 1));
        if (T > 1) multiply_pairs(T - 1, call.h, call.reverse ? 1 : 0, call.reverse ? 0 : 1);
        for (int64_t r = 0; !add && r < H; ++r)
          std::memset(call.dU.row(r) + n, 0, static_cast<size_t>(units) * sizeof(float));
      }
    }
  });
}

}  // namespace KARUSEL_LEVEL
}  // namespace karusel
