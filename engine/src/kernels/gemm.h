// Matrix products: the register tile and the loops around it.
//
//   C[M, N] = start + sum over terms of A[M, K] B[K, N]
//
// A is reached by two strides, so the same tile serves A and its transpose. B is read in panels of P
// columns, either where it lies (row-major) or laid out panel after panel (Kernels::pack).
// A and B must be readable up to the next whole vector beyond their last column; C is never written there.
#pragma once

#include "karusel/shapes.h"
#include "simd.h"

namespace karusel {
namespace KARUSEL_LEVEL {

// The tile is TILE_ROWS x TILE_VECTORS vectors of C in registers.
constexpr int64_t TILE_ROWS = 6;
constexpr int64_t TILE_VECTORS = V == 16 ? 4 : 2;
constexpr int64_t P = TILE_VECTORS * V;

struct Term {
  const float* a = nullptr;
  int64_t a_row = 0;   // distance between A's rows
  int64_t a_step = 0;  // distance between A's columns
  const float* b = nullptr;
  int64_t b_row = 0;    // distance between B's rows inside a panel
  int64_t b_panel = 0;  // distance between panels
  int64_t K = 0;
};

// What the sum starts from: zero, a bias in every row (row distance 0), or what C holds.
struct Start {
  const float* data = nullptr;
  int64_t row = 0;

  Start at(int64_t m, int64_t n) const { return data ? Start{data + m * row + n, row} : Start{}; }
};

inline int64_t panels_size(int64_t K, int64_t N) { return (N + P - 1) / P * P * K; }

constexpr int64_t FEW_ROWS = 2;  // so few leave most of a tile's registers idle

// Lines of a times a weight: from its panels, or where it lies.
inline Term times(const float* a, int64_t a_row, const Weight& W) {
  if (W.panels) return {a, a_row, 1, W.panels, P, P * W.rows, W.rows};
  return {a, a_row, 1, W.data, W.cols, P, W.rows};
}

// `valid` columns of C: all vectors but the last are whole. More than a panel's vectors come from the panels that follow.
template <int MR, int NV>
inline void tile(const Term* terms, int64_t n_terms, int64_t m, int64_t panel, int64_t column, int64_t valid, Start start,
                 float* C, int64_t ldc) {
  const int64_t rest = valid - (NV - 1) * V;
  const auto whole = [rest](int j) { return j < NV - 1 || rest == V; };

  Vec acc[MR][NV];
  for (int i = 0; i < MR; ++i)
    for (int j = 0; j < NV; ++j) {
      const float* from = start.data + i * start.row + j * V;
      acc[i][j] = !start.data ? Vec{} : whole(j) ? load(from) : load(from, rest);
    }
  for (int64_t s = 0; s < n_terms; ++s) {
    const Term& term = terms[s];
    const float* a = term.a + m * term.a_row;
    const float* b = term.b + panel * term.b_panel + column;
    const int64_t a_row = term.a_row, a_step = term.a_step, b_row = term.b_row, b_panel = term.b_panel, K = term.K;
#pragma GCC unroll 4
    for (int64_t k = 0; k < K; ++k) {
      Vec bv[NV];
      for (int j = 0; j < NV; ++j) bv[j] = load(b + j / TILE_VECTORS * b_panel + j % TILE_VECTORS * V);
      for (int i = 0; i < MR; ++i) {
        const Vec av = spread(a[i * a_row]);
        for (int j = 0; j < NV; ++j) acc[i][j] += av * bv[j];
      }
      a += a_step;
      b += b_row;
    }
  }
  for (int i = 0; i < MR; ++i)
    for (int j = 0; j < NV; ++j) {
      if (whole(j))
        store(C + i * ldc + j * V, acc[i][j]);
      else
        store(C + i * ldc + j * V, acc[i][j], rest);
    }
}

template <int MR>
inline void tile_columns(const Term* terms, int64_t n_terms, int64_t m, int64_t panel, int64_t valid, Start start,
                         float* C, int64_t ldc) {
  const int64_t vectors = (valid + V - 1) / V;
  if constexpr (TILE_VECTORS == 4) {
    if (vectors == 4) return tile<MR, 4>(terms, n_terms, m, panel, 0, valid, start, C, ldc);
    if (vectors == 3) return tile<MR, 3>(terms, n_terms, m, panel, 0, valid, start, C, ldc);
  }
  if (vectors == 2) return tile<MR, 2>(terms, n_terms, m, panel, 0, valid, start, C, ldc);
  tile<MR, 1>(terms, n_terms, m, panel, 0, valid, start, C, ldc);
}

// Wider tiles for few rows.
template <int MR, int NV>
inline void few_rows(int64_t N, const Term* terms, int64_t n_terms, Start start, float* C, int64_t ldc, bool backwards) {
  constexpr int64_t WIDTH = NV * V;
  const int64_t wide = N / WIDTH;
  for (int64_t i = 0; i < wide; ++i) {
    const int64_t n = (backwards ? wide - 1 - i : i) * WIDTH;
    tile<MR, NV>(terms, n_terms, 0, n / P, 0, WIDTH, start.at(0, n), C + n, ldc);
  }
  for (int64_t n = wide * WIDTH; n < N; n += P)
    tile_columns<MR>(terms, n_terms, 0, n / P, N - n < P ? N - n : P, start.at(0, n), C + n, ldc);
}

// M rows are shared out to tiles evenly: 6 + 1 would leave a slow tile of one row, 4 + 3 does not.
struct Tiles {
  int64_t count, least, longer;  // the first `longer` tiles have least + 1 rows

  explicit Tiles(int64_t M) : count((M + TILE_ROWS - 1) / TILE_ROWS), least(M / count), longer(M % count) {}
  int64_t rows(int64_t i) const { return least + (i < longer); }
};

KARUSEL_INLINE inline void tile_rows(int64_t rows, const Term* terms, int64_t n_terms, int64_t m, int64_t panel, int64_t valid,
                      Start start, float* C, int64_t ldc) {
  switch (rows) {
    case 1: return tile_columns<1>(terms, n_terms, m, panel, valid, start, C, ldc);
    case 2: return tile_columns<2>(terms, n_terms, m, panel, valid, start, C, ldc);
    case 3: return tile_columns<3>(terms, n_terms, m, panel, valid, start, C, ldc);
    case 4: return tile_columns<4>(terms, n_terms, m, panel, valid, start, C, ldc);
    case 5: return tile_columns<5>(terms, n_terms, m, panel, valid, start, C, ldc);
    default: return tile_columns<6>(terms, n_terms, m, panel, valid, start, C, ldc);
  }
}

// `backwards`: few rows go through the columns from the end. Alternating steps then find in the cache what they left.
inline void multiply(int64_t M, int64_t N, const Term* terms, int64_t n_terms, Start start, float* C, int64_t ldc,
                     bool backwards = false) {
  if (M <= 0) return;
  if (M == 1) return few_rows<1, 8>(N, terms, n_terms, start, C, ldc, backwards);
  if (M == 2) return few_rows<2, 4>(N, terms, n_terms, start, C, ldc, backwards);
  const Tiles tiles(M);
  for (int64_t panel = 0, n = 0; n < N; ++panel, n += P) {
    const int64_t valid = N - n < P ? N - n : P;
    for (int64_t i = 0, m = 0; i < tiles.count; m += tiles.rows(i++))
      tile_rows(tiles.rows(i), terms, n_terms, m, panel, valid, start.at(m, n), C + m * ldc + n, ldc);
  }
}

// C[M, R] (+)= A[M, K] W^T for W [R, K] where it lies: scalar products along contiguous rows.
template <int NR>
inline void dots(const float* a, const float* w, int64_t w_stride, int64_t K, bool add, float* c) {
  Vec acc[NR] = {};
  int64_t k = 0;
  for (; k + V <= K; k += V) {
    const Vec av = load(a + k);
    for (int j = 0; j < NR; ++j) acc[j] += av * load(w + j * w_stride + k);
  }
  if (const int64_t rest = K - k; rest > 0) {
    const Vec av = load(a + k, rest);
    for (int j = 0; j < NR; ++j) acc[j] += av * load(w + j * w_stride + k, rest);
  }
  sums<NR>(acc, add, c);
}

// C[M, W.rows] (+)= A[M, W.cols] W^T. `backwards` as for multiply.
inline void multiply_transposed(int64_t M, const float* A, int64_t lda, const Weight& W, bool add, float* C, int64_t ldc,
                                bool backwards = false) {
  if (W.panels_transposed) {
    Term term = {A, lda, 1, W.panels_transposed, P, P * W.cols, W.cols};
    if (backwards) term = {A + W.cols - 1, lda, -1, W.panels_transposed + (W.cols - 1) * P, -P, P * W.cols, W.cols};
    return multiply(M, W.rows, &term, 1, add ? Start{C, ldc} : Start{}, C, ldc, backwards);
  }
  constexpr int64_t MANY = 8;
  const int64_t many = W.rows / MANY;
  for (int64_t m = 0; m < M; ++m) {
    const float* a = A + m * lda;
    float* c = C + m * ldc;
    for (int64_t i = 0; i < many; ++i) {
      const int64_t r = (backwards ? many - 1 - i : i) * MANY;
      dots<MANY>(a, W.data + r * W.cols, W.cols, W.cols, add, c + r);
    }
    int64_t r = many * MANY;
    for (; r + 2 <= W.rows; r += 2) dots<2>(a, W.data + r * W.cols, W.cols, W.cols, add, c + r);
    for (; r < W.rows; ++r) dots<1>(a, W.data + r * W.cols, W.cols, W.cols, add, c + r);
  }
}

// dW += A^T B for a few lines: each row of dW is read and written once, without the loops of a tile.
template <int LINES>
inline void add_few_lines(const float* A, int64_t M, int64_t lda, const float* B, int64_t N, int64_t ldb, float* dW,
                          int64_t ldw) {
  for (int64_t m = 0; m < M; ++m) {
    Vec a[LINES];
    for (int i = 0; i < LINES; ++i) a[i] = spread(A[i * lda + m]);
    float* row = dW + m * ldw;
    for_vectors(N, [&](int64_t j, auto get, auto put) {
      Vec total = get(row + j);
      for (int i = 0; i < LINES; ++i) total += a[i] * get(B + i * ldb + j);
      put(row + j, total);
    });
  }
}

// to[i] = line i of `from` up to N columns, N columns apart. Whole vectors are copied: what they hold beyond is
// overwritten by the next line or never used.
template <int64_t N>
inline void copy_lines(int64_t lines, const float* from, int64_t stride, float* to) {
  for (int64_t i = 0; i < lines; ++i) {
    Vec line[(N + V - 1) / V];
    for (int64_t j = 0; j < N; j += V) line[j / V] = load(from + i * stride + j);
    for (int64_t j = 0; j < N; j += V) store(to + i * N + j, line[j / V]);
  }
}

// dW[A.cols, B.cols] += A^T B over `lines` lines: the gradient of a weight.
// Lines far apart in memory fall on the same few cache sets, so blocks of both are copied together: B as a panel,
// A as the columns of one tile after those of the other.
inline void add_transposed_product(int64_t lines, const float* A, int64_t M, int64_t lda, const float* B, int64_t N,
                                   int64_t ldb, float* dW, int64_t ldw) {
  constexpr int64_t BLOCK_LINES = 256, BLOCK_ROWS = 32 * TILE_ROWS, NEAR = 128;
  switch (lines) {
    case 1: return add_few_lines<1>(A, M, lda, B, N, ldb, dW, ldw);
    case 2: return add_few_lines<2>(A, M, lda, B, N, ldb, dW, ldw);
    case 3: return add_few_lines<3>(A, M, lda, B, N, ldb, dW, ldw);
    case 4: return add_few_lines<4>(A, M, lda, B, N, ldb, dW, ldw);
    default: break;
  }
  if (lines <= 8 || M <= FEW_ROWS || (lda <= NEAR && ldb <= NEAR)) {
    const Term term = {A, 1, lda, B, ldb, P, lines};
    return multiply(M, N, &term, 1, {dW, ldw}, dW, ldw);
  }
  alignas(64) float a_block[BLOCK_LINES * BLOCK_ROWS + V];
  alignas(64) float b_block[BLOCK_LINES * P];
  for (int64_t k = 0; k < lines; k += BLOCK_LINES) {
    const int64_t K = lines - k < BLOCK_LINES ? lines - k : BLOCK_LINES;
    for (int64_t m = 0; m < M; m += BLOCK_ROWS) {
      const int64_t rows = M - m < BLOCK_ROWS ? M - m : BLOCK_ROWS;
      const Tiles tiles(rows);
      for (int64_t i = 0, first = m; i < tiles.count; first += tiles.rows(i++))
        copy_lines<TILE_ROWS>(K, A + k * lda + first, lda, a_block + i * K * TILE_ROWS);
      for (int64_t n = 0; n < N; n += P) {
        const int64_t cols = N - n < P ? N - n : P;
        copy_lines<P>(K, B + k * ldb + n, ldb, b_block);
        for (int64_t i = 0, first = m; i < tiles.count; first += tiles.rows(i++)) {
          const Term term = {a_block + i * K * TILE_ROWS, 1, TILE_ROWS, b_block, P, 0, K};
          float* c = dW + first * ldw + n;
          tile_rows(tiles.rows(i), &term, 1, 0, 0, cols, {c, ldw}, c, ldw);
        }
      }
    }
  }
}

// db += the sum of all lines: their product with ones.
inline void add_lines(int64_t lines, const float* B, int64_t N, int64_t ldb, float* db) {
  const float one = 1.0f;
  const Term term = {&one, 0, 0, B, ldb, P, lines};
  multiply(1, N, &term, 1, {db, 0}, db, N);
}

}  // namespace KARUSEL_LEVEL
}  // namespace karusel
