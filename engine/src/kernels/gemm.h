// The matrix products that kernels are made of: lines times weights, times their transpose, and the gradient of a
// weight. A weight whose panels hold bf16 is multiplied in bf16; its lines are rounded on the way.
// Lines must be readable 16 floats beyond their last column.
#pragma once

#include "karusel/shapes.h"
#include "tile.h"
#if defined(__AMX_BF16__)
#include "tile_amx.h"
#endif

namespace karusel {
namespace KARUSEL_LEVEL {

// Lines of `a` times a weight.
struct Factor {
  const float* a = nullptr;
  int64_t a_row = 0;
  const Weight* W = nullptr;
};

constexpr int64_t MOST_FACTORS = 2;
constexpr int64_t SCRATCH_PAIRS = 1 << 16;  // a quarter of a megabyte on the stack

// Of K numbers, filled up with zero to what a product takes at once.
inline int64_t pairs(int64_t K) { return (K + 2 * PAIRS - 1) / (2 * PAIRS) * PAIRS; }

// Rows of floats as rows of bf16 pairs, the last one filled up with zero.
inline void round_rows(int64_t rows, const float* a, int64_t a_row, int64_t K, Pair* to) {
  for (int64_t i = 0; i < rows; ++i, a += a_row, to += pairs(K)) {
    int64_t k = 0;
    for (; k + V <= K; k += V) store_rounded(to + k / 2, load(a + k));
    int64_t p = k / 2;
    if (k < K) {
      const int64_t there = (K - k + 1) / 2;
      store_rounded(to + p, load(a + k, K - k), there);
      p += there;
    }
    for (; p < pairs(K); ++p) to[p] = {0};
  }
}

// The product of rounded lines and weights; false, with nothing done, if one line fills more than the scratch.
inline bool multiply_rounded(int64_t M, int64_t N, const Factor* factors, int64_t n_factors, bool transposed,
                             Start start, float* C, int64_t ldc, bool backwards) {
  Pair scratch[SCRATCH_PAIRS];
  int64_t width = 0;
  for (int64_t s = 0; s < n_factors; ++s) width += pairs(transposed ? factors[s].W->cols : factors[s].W->rows);
  const int64_t most = SCRATCH_PAIRS / width;
  if (most == 0) return false;
  for (int64_t m = 0; m < M; m += most) {
    const int64_t rows = M - m < most ? M - m : most;
    Term<Pair> terms[MOST_FACTORS];
    Pair* to = scratch;
    for (int64_t s = 0; s < n_factors; ++s) {
      const Factor& f = factors[s];
      const int64_t K = transposed ? f.W->cols : f.W->rows;
      round_rows(rows, f.a + m * f.a_row, f.a_row, K, to);
      const float* panels = transposed ? f.W->panels_transposed : f.W->panels;
      terms[s] = {to, pairs(K), 1, reinterpret_cast<const Pair*>(panels), P, P * pairs(K), pairs(K)};
      to += rows * pairs(K);
    }
    multiply(rows, N, terms, n_factors, start.at(m, 0), C + m * ldc, ldc, backwards);
  }
  return true;
}

// C[M, N] = start + the sum of all factors. `backwards`: see tile.h.
inline void multiply(int64_t M, int64_t N, const Factor* factors, int64_t n_factors, Start start, float* C, int64_t ldc,
                     bool backwards = false) {
  const bool bf16 = factors[0].W->panels && factors[0].W->bf16;
  if (bf16 && multiply_rounded(M, N, factors, n_factors, false, start, C, ldc, backwards)) return;
  Term<float> terms[MOST_FACTORS];
  for (int64_t s = 0; s < n_factors; ++s) {
    const auto& [a, a_row, W] = factors[s];
    if (W->panels && !bf16)
      terms[s] = {a, a_row, 1, W->panels, P, P * W->rows, W->rows};
    else
      terms[s] = {a, a_row, 1, W->data, W->cols, P, W->rows};
  }
  multiply(M, N, terms, n_factors, start, C, ldc, backwards);
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

// C[M, W.rows] (+)= A[M, W.cols] W^T. `backwards` runs one row through W from the end, for the cache's sake.
inline void multiply_transposed(int64_t M, const float* A, int64_t lda, const Weight& W, bool add, float* C,
                                int64_t ldc, bool backwards = false) {
  if (M <= 0) return;
  const Start start = add ? Start{C, ldc} : Start{};
  const Factor factor = {A, lda, &W};
  if (W.panels_transposed && W.bf16 && multiply_rounded(M, W.rows, &factor, 1, true, start, C, ldc, backwards)) return;
  if (W.panels_transposed && !W.bf16) {
    Term<float> term = {A, lda, 1, W.panels_transposed, P, P * W.cols, W.cols};
    if (backwards) {
      term.a += W.cols - 1, term.b += (W.cols - 1) * P;
      term.a_step = -1, term.b_row = -P;
    }
    return multiply(M, W.rows, &term, 1, start, C, ldc, backwards);
  }
  for (int64_t m = 0; m < M; ++m) {
    const float* a = A + m * lda;
    float* c = C + m * ldc;
    const int64_t whole = W.rows / 8;
    for (int64_t i = 0; i < whole; ++i) {
      const int64_t r = 8 * (backwards ? whole - 1 - i : i);
      dots<8>(a, W.data + r * W.cols, W.cols, W.cols, add, c + r);
    }
    int64_t r = 8 * whole;
    for (; r + 2 <= W.rows; r += 2) dots<2>(a, W.data + r * W.cols, W.cols, W.cols, add, c + r);
    for (; r < W.rows; ++r) dots<1>(a, W.data + r * W.cols, W.cols, W.cols, add, c + r);
  }
}

// dW (+)= A^T B for a few lines, of which some columns of B stay in registers for all rows of dW.
template <int LINES, int NV, class Get, class Put>
inline void few_columns(const float* A, int64_t M, int64_t lda, const float* B, int64_t ldb, bool add, float* dW,
                        int64_t ldw, Get get, Put put) {
  Vec b[LINES][NV];
  KARUSEL_UNROLL for (int i = 0; i < LINES; ++i) KARUSEL_UNROLL for (int j = 0; j < NV; ++j)
    b[i][j] = get(B + i * ldb + j * V);
  for (int64_t m = 0; m < M; ++m, dW += ldw) {
    Vec sum[NV] = {};
    KARUSEL_UNROLL for (int j = 0; add && j < NV; ++j) sum[j] = get(dW + j * V);
    KARUSEL_UNROLL for (int i = 0; i < LINES; ++i) {
      const Vec a = spread(A[i * lda + m]);
      KARUSEL_UNROLL for (int j = 0; j < NV; ++j) sum[j] = multiply_add(a, b[i][j], sum[j]);
    }
    KARUSEL_UNROLL for (int j = 0; j < NV; ++j) put(dW + j * V, sum[j]);
  }
}

template <int LINES>
inline void few_lines(const float* A, int64_t M, int64_t lda, const float* B, int64_t N, int64_t ldb, bool add,
                      float* dW, int64_t ldw) {
  int64_t n = 0;
  for (; n + P <= N; n += P)
    few_columns<LINES, TILE_VECTORS>(
        A, M, lda, B + n, ldb, add, dW + n, ldw, [](const float* p) { return load(p); },
        [](float* p, Vec v) { store(p, v); });
  for_vectors(N - n, [&](int64_t j, auto get, auto put) {
    few_columns<LINES, 1>(A, M, lda, B + n + j, ldb, add, dW + n + j, ldw, get, put);
  });
}

// to[i] = line i of `from`, N columns apart, of which there are `cols`; as pairs, lines 2i and 2i + 1 together. Whole
// vectors are copied: what they hold beyond is overwritten by the next line or never used.
template <int64_t N>
inline void copy_lines(int64_t lines, const float* from, int64_t stride, int64_t cols, float* to) {
  for (int64_t i = 0; i < lines; ++i) {
    Vec line[(N + V - 1) / V];
    for (int64_t j = 0; j < N; j += V) line[j / V] = j < cols ? load(from + i * stride + j) : Vec{};
    for (int64_t j = 0; j < N; j += V) store(to + i * N + j, line[j / V]);
  }
}

template <int64_t N>
inline void copy_lines(int64_t lines, const float* from, int64_t stride, int64_t cols, Pair* to) {
  for (int64_t i = 0; i < 2 * pairs(lines); i += 2, to += N) {
    Int line[(N + V - 1) / V];
    for (int64_t j = 0; j < N; j += V)
      line[j / V] = paired(j < cols && i < lines ? load(from + i * stride + j) : Vec{},
                           j < cols && i + 1 < lines ? load(from + (i + 1) * stride + j) : Vec{});
    for (int64_t j = 0; j < N; j += V) store(to + j, line[j / V]);
  }
}

inline int64_t numbers(int64_t K, float) { return K; }
inline int64_t numbers(int64_t K, Pair) { return pairs(K); }
constexpr int64_t lines_of(int64_t K, float) { return K; }
constexpr int64_t lines_of(int64_t K, Pair) { return 2 * K; }

// The columns of one tile after those of the other: a block of A whose lines are K.
template <class Number>
inline void copy_columns(int64_t lines, int64_t K, const float* from, int64_t stride, int64_t rows, Number* a) {
  const Tiles tiles(rows);
  for (int64_t i = 0, first = 0; i < tiles.count; first += tiles.rows(i++))
    copy_lines<TILE_ROWS>(lines, from + first, stride, TILE_ROWS, a + i * K * TILE_ROWS);
}

// Such a block times a panel. Each tile brings its share of the next panel nearer.
template <class Number>
inline void multiply_columns(int64_t rows, int64_t cols, int64_t K, const Number* a, const Number* b, Ahead ahead,
                             Start start, float* C, int64_t ldc) {
  const Tiles tiles(rows);
  for (int64_t i = 0, first = 0; i < tiles.count; first += tiles.rows(i++)) {
    ahead.fetch(ahead.lines * i / tiles.count, ahead.lines * (i + 1) / tiles.count);
    const Term<Number> term = {a + i * K * TILE_ROWS, 1, TILE_ROWS, b, P, 0, K};
    tile_rows(tiles.rows(i), &term, 1, 0, 0, cols, start.at(first, 0), C + first * ldc, ldc);
  }
}

// Lines far apart in memory fall on the same few cache sets, so blocks of both are copied together, B as a panel.
template <class Number>
inline void multiply_blocks(int64_t lines, const float* A, int64_t M, int64_t lda, const float* B, int64_t N,
                            int64_t ldb, bool add, float* dW, int64_t ldw) {
  constexpr int64_t BLOCK = V == 16 ? 128 : 256, BLOCK_ROWS = (V == 16 ? 64 : 32) * TILE_ROWS;
  constexpr int64_t BLOCK_LINES = lines_of(BLOCK, Number{});
  alignas(64) Number a_block[BLOCK * BLOCK_ROWS + V];
  alignas(64) Number b_block[BLOCK * P];  // in the nearest cache
  for (int64_t k = 0; k < lines; k += BLOCK_LINES) {
    const int64_t here = lines - k < BLOCK_LINES ? lines - k : BLOCK_LINES;
    const int64_t K = numbers(here, Number{});
    for (int64_t m = 0; m < M; m += BLOCK_ROWS) {
      const int64_t rows = M - m < BLOCK_ROWS ? M - m : BLOCK_ROWS;
      copy_columns(here, K, A + k * lda + m, lda, rows, a_block);
      for (int64_t n = 0; n < N; n += P) {
        const int64_t cols = N - n < P ? N - n : P;
        copy_lines<P>(here, B + k * ldb + n, ldb, cols, b_block);
        float* c = dW + m * ldw + n;
        const Ahead ahead = {n + P < N ? here : 0, B + k * ldb + n + P, ldb};
        multiply_columns(rows, cols, K, a_block, b_block, ahead, add || k > 0 ? Start{c, ldw} : Start{}, c, ldw);
      }
    }
  }
}

// Lines not so far apart: a block of B is kept as a panel by the first tile that reads it, A is read where it lies.
inline void multiply_kept(int64_t lines, const float* A, int64_t M, int64_t lda, const float* B, int64_t N, int64_t ldb,
                          bool add, float* dW, int64_t ldw) {
  constexpr int64_t BLOCK = V == 16 ? 192 : 256;
  alignas(64) float panel[BLOCK * P];  // in the nearest cache
  const Tiles tiles(M);
  for (int64_t k = 0; k < lines; k += BLOCK) {
    const int64_t K = lines - k < BLOCK ? lines - k : BLOCK;
    for (int64_t n = 0; n < N; n += P) {
      const int64_t cols = N - n < P ? N - n : P;
      const Term<float> lies = {A + k * lda, 1, lda, B + k * ldb + n, ldb, 0, K};
      const Start start = add || k > 0 ? Start{dW + n, ldw} : Start{};
      const bool keep = cols == P && tiles.count > 1;
      if (keep) tile_beside<Beside::keep>(tiles.rows(0), &lies, 1, 0, 0, start, panel, dW + n, ldw);
      const Term<float> term = keep ? Term<float>{lies.a, 1, lda, panel, P, 0, K} : lies;
      for (int64_t i = keep, m = keep ? tiles.rows(0) : 0; i < tiles.count; m += tiles.rows(i++))
        tile_rows(tiles.rows(i), &term, 1, m, 0, cols, start.at(m, 0), dW + m * ldw + n, ldw);
    }
  }
}

constexpr int64_t FEW_LINES = 8;  // too few to pay for a copy of what they are multiplied by

// dW[A.cols, B.cols] (+)= A^T B over `lines` lines: the gradient of a weight, in bf16 if that is set.
inline void multiply_lines(int64_t lines, const float* A, int64_t M, int64_t lda, const float* B, int64_t N,
                           int64_t ldb, bool bf16, bool add, float* dW, int64_t ldw) {
  constexpr int64_t FEW_ROWS = 2, NEAR = 128, FAR = 512;
  switch (lines) {
    case 1: return few_lines<1>(A, M, lda, B, N, ldb, add, dW, ldw);
    case 2: return few_lines<2>(A, M, lda, B, N, ldb, add, dW, ldw);
    case 3: return few_lines<3>(A, M, lda, B, N, ldb, add, dW, ldw);
    case 4: return few_lines<4>(A, M, lda, B, N, ldb, add, dW, ldw);
    default: break;
  }
  if (lines <= FEW_LINES || M <= FEW_ROWS || (lda <= NEAR && ldb <= NEAR && !bf16)) {
    const Term<float> term = {A, 1, lda, B, ldb, P, lines};
    return multiply(M, N, &term, 1, add ? Start{dW, ldw} : Start{}, dW, ldw);
  }
  if (bf16) return multiply_blocks<Pair>(lines, A, M, lda, B, N, ldb, add, dW, ldw);
  if (lda <= FAR && ldb <= FAR) return multiply_kept(lines, A, M, lda, B, N, ldb, add, dW, ldw);
  multiply_blocks<float>(lines, A, M, lda, B, N, ldb, add, dW, ldw);
}

// db (+)= the sum of all lines: their product with ones.
inline void sum_lines(int64_t lines, const float* B, int64_t N, int64_t ldb, bool add, float* db) {
  const float one = 1.0f;
  const Term<float> term = {&one, 0, 0, B, ldb, P, lines};
  multiply(1, N, &term, 1, add ? Start{db, 0} : Start{}, db, N);
}

// Both. Where A has so few columns that ones fit the tile beside them, B is read once.
inline void multiply_and_sum_lines(int64_t lines, const float* A, int64_t M, int64_t lda, const float* B, int64_t N,
                                   int64_t ldb, bool bf16, bool add, float* dW, int64_t ldw, float* db) {
  constexpr int64_t BLOCK = 512;
  if (M >= TILE_ROWS || lines <= FEW_LINES || bf16) {
    sum_lines(lines, B, N, ldb, add, db);
    return multiply_lines(lines, A, M, lda, B, N, ldb, bf16, add, dW, ldw);
  }
  float a[BLOCK * TILE_ROWS], c[TILE_ROWS * P];
  const auto row = [&](int64_t m, int64_t n) { return m < M ? dW + m * ldw + n : db + n; };
  for (int64_t k = 0; k < lines; k += BLOCK) {
    const int64_t K = lines - k < BLOCK ? lines - k : BLOCK;
    for (int64_t i = 0; i < K; ++i) {
      for (int64_t m = 0; m < M; ++m) a[i * (M + 1) + m] = A[(k + i) * lda + m];
      a[i * (M + 1) + M] = 1.0f;
    }
    for (int64_t n = 0; n < N; n += P) {
      const int64_t cols = N - n < P ? N - n : P;
      const size_t bytes = static_cast<size_t>(cols) * sizeof(float);
      const bool more = add || k > 0;
      for (int64_t m = 0; more && m <= M; ++m) std::memcpy(c + m * P, row(m, n), bytes);
      const Term<float> term = {a, 1, M + 1, B + k * ldb + n, ldb, 0, K};
      tile_rows(M + 1, &term, 1, 0, 0, cols, more ? Start{c, P} : Start{}, c, P);
      for (int64_t m = 0; m <= M; ++m) std::memcpy(row(m, n), c + m * P, bytes);
    }
  }
}

}  // namespace KARUSEL_LEVEL
}  // namespace karusel
