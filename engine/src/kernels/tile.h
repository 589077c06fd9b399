// The register tile of a matrix product and the loops around it.
//
//   C[M, N] = start + sum over terms of A[M, K] B[K, N]
//
// A is reached by two strides, so the same tile serves A and its transpose. B is read in panels of P columns, either
// where it lies (row-major) or laid out panel after panel. A and B hold floats, or pairs of bf16: two neighbours along
// K in 32 bits, so that K counts pairs; sums are float32 either way.
// B must be readable up to the next whole vector beyond its last column; C is never written there.
#pragma once

#include <type_traits>

#include "simd.h"

namespace karusel {
namespace KARUSEL_LEVEL {

// The tile is TILE_ROWS x TILE_VECTORS vectors of C in registers.
constexpr int64_t TILE_ROWS = 6;
constexpr int64_t TILE_VECTORS = V == 16 ? 4 : 2;
constexpr int64_t P = TILE_VECTORS * V;
#if defined(__AMX_BF16__)
constexpr int64_t PAIRS = 16;  // of bf16 along K that a product takes at once
#else
constexpr int64_t PAIRS = 1;
#endif

template <class Number>  // float or Pair
struct Term {
  const Number* a;
  int64_t a_row;   // distance between A's rows
  int64_t a_step;  // distance between A's columns
  const Number* b;
  int64_t b_row;    // distance between B's rows inside a panel
  int64_t b_panel;  // distance between panels
  int64_t K;
};

// What the sum starts from: zero, a bias in every row (row distance 0), or what C holds.
struct Start {
  const float* data = nullptr;
  int64_t row = 0;

  Start at(int64_t m, int64_t n) const { return data ? Start{data + m * row + n, row} : Start{}; }
};

constexpr int64_t CACHE_LINE = 16;  // numbers of 32 bits

// The lines of B that become a panel next, if there are any.
struct Ahead {
  int64_t lines;
  const float* first;
  int64_t stride;

  void fetch(int64_t from, int64_t to) const {
    for (int64_t i = from; i < to; ++i)
      for (int64_t j = 0; j < P; j += CACHE_LINE) __builtin_prefetch(first + i * stride + j, 0, 2);
  }
};

// What a tile does with `beside` at each step: nothing, write B's row there, so that a panel grows, or bring one line
// of the cache nearer.
enum class Beside { nothing, keep, fetch };

// acc += the products of one column of A and one row of B, whose panels have PV vectors.
template <int MR, int NV, int PV, Beside BESIDE, class Number>
KARUSEL_INLINE inline void add_products(const Number* a, int64_t a_row, const Number* b, int64_t b_panel,
                                        Number* beside, Vec (&acc)[MR][NV]) {
  decltype(load(b)) bv[NV];
  KARUSEL_UNROLL for (int j = 0; j < NV; ++j) {
    bv[j] = load(b + j / PV * b_panel + j % PV * V);
    if constexpr (BESIDE == Beside::keep) store(beside + j * V, bv[j]);
  }
  if constexpr (BESIDE == Beside::fetch) __builtin_prefetch(beside, 0, 2);
  KARUSEL_UNROLL for (int i = 0; i < MR; ++i) {
    const auto av = spread(a[i * a_row]);
    KARUSEL_UNROLL for (int j = 0; j < NV; ++j) acc[i][j] = multiply_add(av, bv[j], acc[i][j]);
  }
}

// All vectors of C are whole, or the last has `rest` columns. A sum is made of `CHAINS` sums of every so many terms.
// Loops over sums are unrolled and nothing else lives in this function, so that sums never leave the registers.
template <int MR, int NV, int CHAINS, bool WHOLE, Beside BESIDE, int PV = TILE_VECTORS, class Number>
__attribute__((noinline)) void tile_of(const Term<Number>* terms, int64_t n_terms, int64_t m, int64_t panel,
                                       int64_t rest, Start start, Number* beside, float* C, int64_t ldc) {
  static_assert(CHAINS == 1 || BESIDE == Beside::nothing);  // `beside` moves on once a step
  const auto whole = [](int j) { return WHOLE || j < NV - 1; };

  Vec acc[CHAINS][MR][NV] = {};
  if (start.data)
    KARUSEL_UNROLL for (int i = 0; i < MR; ++i) KARUSEL_UNROLL for (int j = 0; j < NV; ++j) {
      const float* from = start.data + i * start.row + j * V;
      acc[0][i][j] = whole(j) ? load(from) : load(from, rest);
    }
  for (int64_t s = 0; s < n_terms; ++s) {
    const Term<Number>& term = terms[s];
    const Number* a = term.a + m * term.a_row;
    const Number* b = term.b + panel * term.b_panel;
    const int64_t a_row = term.a_row, a_step = term.a_step, b_row = term.b_row, b_panel = term.b_panel, K = term.K;
    int64_t k = 0;
    for (; CHAINS > 1 && k + CHAINS <= K; k += CHAINS)
      KARUSEL_UNROLL for (int c = 0; c < CHAINS; ++c, a += a_step, b += b_row)
        add_products<MR, NV, PV, BESIDE>(a, a_row, b, b_panel, beside, acc[c]);
#pragma GCC unroll 4
    for (; k < K; ++k, a += a_step, b += b_row) {
      add_products<MR, NV, PV, BESIDE>(a, a_row, b, b_panel, beside, acc[0]);
      if constexpr (BESIDE != Beside::nothing) beside += BESIDE == Beside::keep ? P : CACHE_LINE;
    }
  }
  KARUSEL_UNROLL for (int i = 0; i < MR; ++i) KARUSEL_UNROLL for (int j = 0; j < NV; ++j) {
    Vec sum = acc[0][i][j];
    KARUSEL_UNROLL for (int c = 1; c < CHAINS; ++c) sum += acc[c][i][j];
    if (whole(j))
      store(C + i * ldc + j * V, sum);
    else
      store(C + i * ldc + j * V, sum, rest);
  }
}

// `valid` columns of C: all vectors but the last are whole. More than a panel's vectors come from the panels that
// follow.
template <int MR, int NV, int CHAINS = 1, int PV = TILE_VECTORS, class Number>
inline void tile(const Term<Number>* terms, int64_t n_terms, int64_t m, int64_t panel, int64_t valid, Start start,
                 float* C, int64_t ldc) {
  const int64_t rest = valid - (NV - 1) * V;
  Number* const nowhere = nullptr;
  if (rest == V)
    tile_of<MR, NV, CHAINS, true, Beside::nothing, PV>(terms, n_terms, m, panel, rest, start, nowhere, C, ldc);
  else
    tile_of<MR, NV, CHAINS, false, Beside::nothing, PV>(terms, n_terms, m, panel, rest, start, nowhere, C, ldc);
}

template <int MR, class Number>
inline void tile_columns(const Term<Number>* terms, int64_t n_terms, int64_t m, int64_t panel, int64_t valid,
                         Start start, float* C, int64_t ldc) {
  constexpr int CHAINS = MR == 1 ? 4 : 1;  // a sum takes four cycles to add to, and two begin in each
  const int64_t vectors = (valid + V - 1) / V;
  if constexpr (TILE_VECTORS == 4) {
    if (vectors == 4) return tile<MR, 4>(terms, n_terms, m, panel, valid, start, C, ldc);
    if (vectors == 3) return tile<MR, 3>(terms, n_terms, m, panel, valid, start, C, ldc);
  }
  if (vectors == 2) return tile<MR, 2, CHAINS>(terms, n_terms, m, panel, valid, start, C, ldc);
  tile<MR, 1, CHAINS>(terms, n_terms, m, panel, valid, start, C, ldc);
}

template <class Number>
KARUSEL_INLINE inline void tile_rows(int64_t rows, const Term<Number>* terms, int64_t n_terms, int64_t m, int64_t panel,
                                     int64_t valid, Start start, float* C, int64_t ldc) {
  switch (rows) {
    case 1: return tile_columns<1>(terms, n_terms, m, panel, valid, start, C, ldc);
    case 2: return tile_columns<2>(terms, n_terms, m, panel, valid, start, C, ldc);
    case 3: return tile_columns<3>(terms, n_terms, m, panel, valid, start, C, ldc);
    case 4: return tile_columns<4>(terms, n_terms, m, panel, valid, start, C, ldc);
    case 5: return tile_columns<5>(terms, n_terms, m, panel, valid, start, C, ldc);
    default: return tile_columns<6>(terms, n_terms, m, panel, valid, start, C, ldc);
  }
}

// M rows are shared out to tiles evenly: 6 + 1 would leave a slow tile of one row, 4 + 3 does not.
struct Tiles {
  int64_t count, least, longer;  // the first `longer` tiles have least + 1 rows

  explicit Tiles(int64_t M) : count((M + TILE_ROWS - 1) / TILE_ROWS), least(M / count), longer(M % count) {}
  int64_t rows(int64_t i) const { return least + (i < longer); }
};

// A whole panel's tile of one of several `Tiles`, which have four rows at least.
template <Beside BESIDE, class Number>
inline void tile_beside(int64_t rows, const Term<Number>* terms, int64_t n_terms, int64_t m, int64_t panel, Start start,
                        Number* beside, float* C, int64_t ldc) {
  constexpr int NV = TILE_VECTORS;
  switch (rows) {
    case 4: return tile_of<4, NV, 1, true, BESIDE>(terms, n_terms, m, panel, V, start, beside, C, ldc);
    case 5: return tile_of<5, NV, 1, true, BESIDE>(terms, n_terms, m, panel, V, start, beside, C, ldc);
    default: return tile_of<6, NV, 1, true, BESIDE>(terms, n_terms, m, panel, V, start, beside, C, ldc);
  }
}

// One or two rows leave most of a tile's registers idle: wider tiles.
template <int MR, int NV, class Number>
inline void few_rows(int64_t N, const Term<Number>* terms, int64_t n_terms, Start start, float* C, int64_t ldc,
                     bool backwards) {
  constexpr int64_t WIDTH = NV * V;
  const int64_t wide = N / WIDTH;
  for (int64_t i = 0; i < wide; ++i) {
    const int64_t n = (backwards ? wide - 1 - i : i) * WIDTH;
    tile<MR, NV>(terms, n_terms, 0, n / P, WIDTH, start.at(0, n), C + n, ldc);
  }
  for (int64_t n = wide * WIDTH; n < N; n += P)
    tile_columns<MR>(terms, n_terms, 0, n / P, N - n < P ? N - n : P, start.at(0, n), C + n, ldc);
}

// Columns [first, last) of one row, from wherever in a panel of PV vectors, at most WIDEST vectors at once. The sums
// are the same however columns are taken together, since all are made of CHAINS sums.
template <int CHAINS, int WIDEST, int PV>
inline void multiply_row(int64_t first, int64_t last, const Term<float>& term, float* C) {
  constexpr int64_t WIDTH = PV * V;
  int64_t width = 0;
  for (int64_t n = first; n < last; n += width) {
    const int64_t inside = n % WIDTH, left = last - n;
    Term<float> from = term;
    from.b += inside;
    const auto columns = [&](auto vectors) {
      tile<1, decltype(vectors)::value, CHAINS, PV>(&from, 1, 0, n / WIDTH, width, Start{}, C + n, 0);
    };
    if (inside == 0 && left >= WIDEST * V) {
      width = WIDEST * V;
      columns(std::integral_constant<int, WIDEST>{});
    } else if (inside == 0 && left >= 4 * V) {
      width = 4 * V;
      columns(std::integral_constant<int, 4>{});
    } else {
      width = WIDTH - inside < left ? WIDTH - inside : left;
      if (width > 2 * V)
        columns(std::integral_constant<int, 3>{});
      else if (width > V)
        columns(std::integral_constant<int, 2>{});
      else
        columns(std::integral_constant<int, 1>{});
    }
  }
}

// `backwards`: from the last columns to the first. Alternating steps then find in the cache what they left. Panels that
// no core's cache holds are fetched one ahead, each of the current panel's tiles bringing its share.
template <class Number>
inline void multiply(int64_t M, int64_t N, const Term<Number>* terms, int64_t n_terms, Start start, float* C,
                     int64_t ldc, bool backwards = false) {
  if (M <= 0) return;
  if (M == 1) return few_rows<1, 8>(N, terms, n_terms, start, C, ldc, backwards);
  if (M == 2) return few_rows<2, 4>(N, terms, n_terms, start, C, ldc, backwards);
  constexpr int64_t BEYOND_CACHE = 1 << 18;  // numbers: a megabyte
  constexpr int64_t ENOUGH_TILES = 4;        // to fetch a panel meanwhile
  const Tiles tiles(M);
  const int64_t panels = (N + P - 1) / P;
  const Term<Number>& last = terms[n_terms - 1];  // an LSTM's U, the larger part
  const bool fetches = last.K * N >= BEYOND_CACHE && last.b_row == P && tiles.count >= ENOUGH_TILES;
  for (int64_t at = 0; at < panels; ++at) {
    const int64_t panel = backwards ? panels - 1 - at : at, n = panel * P;
    const int64_t valid = N - n < P ? N - n : P;
    const bool fetch = fetches && valid == P && at + 1 < panels;
    for (int64_t i = 0, m = 0; i < tiles.count; m += tiles.rows(i++)) {
      const Start from = start.at(m, n);
      float* to = C + m * ldc + n;
      if (fetch) {
        const Number* next = last.b + (panel + (backwards ? -1 : 1)) * last.b_panel;
        Number* share = const_cast<Number*>(next) + last.K * P * i / tiles.count;  // fetched, not written
        tile_beside<Beside::fetch>(tiles.rows(i), terms, n_terms, m, panel, from, share, to, ldc);
      } else {
        tile_rows(tiles.rows(i), terms, n_terms, m, panel, valid, from, to, ldc);
      }
    }
  }
}

}  // namespace KARUSEL_LEVEL
}  // namespace karusel
