// The contracts of all kernels: shapes, who fills what, aliasing, scratch.
//
// Unless a line says otherwise: inputs are read only, outputs are overwritten whole, gradients of
// parameters (dW, dU, db, ...) are added to when `add` is set (or there is no such member), no output may overlap an
// input, and nothing is allocated. dx and its like are optional; they are added to when `accumulate` is set, else
// overwritten. "lines" means N (one line per step of each row) or B (one line per row), whatever the caller passes.
#pragma once

#include "karusel/shapes.h"

namespace karusel {

// Gate order, here and in every file of the project: i, f, g, o, each H columns wide.
//
//   a_t = x_t W + h_{t-d} U + b                      [4H]
//   i, f, o = sigmoid(a_i), sigmoid(a_f), sigmoid(a_o);   g = tanh(a_g)
//   c_t = f · c_{t-d} + i · g;      h_t = o · tanh(c_t)
//
// With a gain (layer norm), n_t = (z_t - mean) / sqrt(variance + epsilon) over the 4H numbers of z_t = h_{t-d} U, and
// a_t = x_t W + gain · n_t + b.
//
// d is the dilation. With reverse set, time runs from each row's last step to its first and t-d reads
// t+d. Where t-d lies before the row's beginning, h0 and c0 stand in, or zero if they are not given:
// slot (t mod d) of h0 [B, d·H], or the only slot of h0 [B, H].
struct LstmForward {
  Matrix x;       // [N, I]
  Weight W;       // [I, 4H]
  Weight U;       // [H, 4H]
  Matrix b;       // [1, 4H]
  Matrix gain;    // optional [1, 4H]; normal and scale are given exactly when it is
  Matrix h0;      // optional [B, slots·H], slots is 1 or d
  Matrix c0;      // optional, given exactly when h0 is
  Matrix keep;    // optional [N, H]: what the candidate g is multiplied by as it is written into c; needs a tape
  Matrix gates;   // out: activated gates [N, 4H] (tape), or scratch [B, 4H] (no tape)
  Matrix normal;  // out: n [N, 4H] (tape), or scratch [B, 4H] (no tape)
  Matrix scale;   // out: 1 / sqrt(variance + epsilon) [N, 1] (tape), or scratch [B, 1] (no tape)
  Matrix c;       // out [N, H]
  Matrix h;       // out [N, H], may be columns of a wider array
  Matrix hn;      // optional out [B, slots·H]: the last d states, oldest first (slots = d), or the last (slots = 1);
  Matrix cn;      //   may be h0 and c0 themselves: they are written after all else is read
  bool reverse = false;
  int64_t dilation = 1;
  bool tape = true;
  float epsilon = 0;
  bool share = false;  // two threads may work on it: the same bits
};

// The gradient of LstmForward run with a tape. dh or dhn must be given.
struct LstmBackward {
  Matrix x;     // [N, I]
  Weight W;     // [I, 4H]
  Weight U;     // [H, 4H]
  Matrix gain;  // as in the forward call, and so are the next four
  Matrix h0;
  Matrix c0;
  Matrix keep;
  Matrix scale;
  Matrix gates;   // in: the forward call's; out: the gradient of a, [N, 4H]
  Matrix normal;  // in: the forward call's; out: the gradient of z where a state came before, [N, 4H]
  Matrix c;       // [N, H]
  Matrix h;       // [N, H]
  Matrix dh;      // optional [N, H]
  Matrix dhn;     // optional [B, H] (slots = 1)
  Matrix sum;     // dh that comes back from the following step: scratch [B, H], or out [N, H], 0 where none follows
  Matrix carry;   // scratch [B, d·H]: dc on its way to the step before
  Matrix dx;      // optional out [N, I]
  Matrix dW;
  Matrix dU;
  Matrix db;
  Matrix dgain;  // given exactly when gain is
  Matrix dh0;    // optional out [B, H], overwritten (slots = 1)
  Matrix dc0;    // optional out [B, H], overwritten (slots = 1)
  bool reverse = false;
  int64_t dilation = 1;
  bool accumulate = false;
  bool add = true;
  bool share = false;
};

// y = x W + b, line by line; W is [O, I] and its transpose stands in the equation when `transposed` is set.
struct DenseForward {
  Matrix x;  // [lines, I]
  Weight W;  // [I, O]
  Matrix b;  // optional [1, O]
  Matrix y;  // out [lines, O]
  bool transposed = false;
};

struct DenseBackward {
  Matrix x;
  Weight W;
  Matrix dy;
  Matrix dx;  // optional out
  Matrix dW;
  Matrix db;  // optional
  bool accumulate = false;
  bool transposed = false;
  bool add = true;
};

// y = E[index], the K indices of a line side by side. Indices are checked before they come here.
struct EmbeddingForward {
  IndexMatrix index;  // [lines, K]
  Matrix E;           // [V, D]
  Matrix y;           // out [lines, K·D]
};

struct EmbeddingBackward {
  IndexMatrix index;
  Matrix dy;
  Matrix dE;  // added to
};

// y = gain · (x - mean) / sqrt(variance + epsilon) + bias, over each line (Ba, Kiros, Hinton 2016).
struct LayerNormForward {
  Matrix x;
  Matrix gain;
  Matrix bias;
  Matrix y;      // out
  Matrix stats;  // out [lines, 2]: mean, 1 / sqrt(variance + epsilon)
  float epsilon = 1e-5f;
};

struct LayerNormBackward {
  Matrix x;
  Matrix gain;
  Matrix stats;
  Matrix dy;
  Matrix dx;  // optional out
  Matrix dgain;
  Matrix dbias;
  bool accumulate = false;
};

// y = x · keep / (1 - rate), keep drawn per element by (key, row name, step, column); when `shared`, all steps of a
// row share what is drawn for its first. The backward pass is the same call on gradients.
struct Dropout {
  Matrix x;  // optional: 1 throughout
  Matrix y;  // out, may be x
  float rate = 0;
  uint64_t key = 0;
  bool shared = false;
  bool accumulate = false;
};

enum class Function : int { tanh = 0, sigmoid = 1, relu = 2 };

struct ActivationForward {
  Matrix x;
  Matrix y;  // out, may be x
  Function function = Function::tanh;
};

// From the output: tanh' = 1 - y², sigmoid' = y (1 - y), relu' = [y > 0].
struct ActivationBackward {
  Matrix y;
  Matrix dy;
  Matrix dx;  // out, may be dy
  Function function = Function::tanh;
  bool accumulate = false;
};

// y = exp(x - max x) / sum, line by line.
struct Softmax {
  Matrix x;
  Matrix y;  // out, may be x
};

// y = a + b. y may be a or b.
struct Add {
  Matrix a;
  Matrix b;
  Matrix y;
};

// Every line of y is p (forward); dp is added the sum of all lines of dy (backward).
struct BroadcastForward {
  Matrix p;  // [1, W]
  Matrix y;  // out [lines, W]
};

struct BroadcastBackward {
  Matrix dy;
  Matrix dp;  // added to
};

// y[r] = x at row r's last step (its first, when reverse). Backward writes zero elsewhere unless it
// accumulates.
struct LastForward {
  Matrix x;  // [N, W]
  Matrix y;  // out [B, W]
  bool reverse = false;
};

struct LastBackward {
  Matrix dy;  // [B, W]
  Matrix dx;  // out [N, W]
  bool reverse = false;
  bool accumulate = false;
};

// y[r] = the mean of x over row r's steps, or the largest of each number; `at` keeps its step, the first one.
// Backward: every step gets its share of dy, or the step that was kept all of it.
struct MeanForward {
  Matrix x;  // [N, W]
  Matrix y;  // out [B, W]
};

struct MeanBackward {
  Matrix dy;  // [B, W]
  Matrix dx;  // out [N, W]
  bool accumulate = false;
};

struct MaxForward {
  Matrix x;   // [N, W]
  Matrix y;   // out [B, W]
  Matrix at;  // out [B, W]
};

struct MaxBackward {
  Matrix dy;  // [B, W]
  Matrix at;  // [B, W]
  Matrix dx;  // out [N, W]
  bool accumulate = false;
};

// A row's steps as a grid of C columns, written row by row, read column by column: 0, C, 2C, ..., 1, C + 1, ...
struct TransposeForward {
  Matrix x;  // [N, W]
  Matrix y;  // out [N, W]
  int64_t columns = 1;
};

struct TransposeBackward {
  Matrix dy;  // [N, W]
  Matrix dx;  // out [N, W]
  int64_t columns = 1;
  bool accumulate = false;
};

// Each step t of a row attends to all steps s of its source (dot-product attention; Luong, Pham, Manning 2015):
//   context_t = sum_s p_ts values_s;   p_t = softmax over s of scale · queries_t · keys_s
struct AttentionForward {
  Matrix queries;  // [N, H]
  Matrix keys;     // [M, H]
  Matrix values;   // [M, D], may be keys
  Matrix context;  // out [N, D]
  Matrix weights;  // out [N, longest source]: p, of which a row fills as many columns as its source has steps
  float scale = 1;
};

struct AttentionBackward {
  Matrix queries;
  Matrix keys;
  Matrix values;
  Matrix context;
  Matrix dcontext;
  Matrix weights;   // in: the forward call's; out: the gradient of the scores, before scaling
  Matrix dqueries;  // optional out
  Matrix dkeys;     // optional out
  Matrix dvalues;   // optional out; may be dkeys, which then accumulate
  float scale = 1;
  bool accumulate_queries = false;
  bool accumulate_keys = false;
  bool accumulate_values = false;
};

// Losses. All return sum_ro w_ro l(y_ro, target_ro), not yet divided, and write
// dy = scale · w_ro · dl/dy when dy is wanted. w_ro = w_r when there is one weight per line. What has
// weight 0 is skipped: its target is never read, its gradient is zero.
//   squared (y - t)²;  absolute |y - t|;  huber, delta d: e²/2 if |e| <= d, else d (|e| - d/2);
//   pinball, quantile q: max(q e, (q - 1) e), e = t - y; column j·Q + k of y is quantile k of target j;
//   binary: cross-entropy of sigmoid(y) with t in [0, 1].
enum class LossKind : int { squared = 0, absolute = 1, huber = 2, pinball = 3, binary = 4 };

struct Loss {
  Matrix y;       // [lines, O]; pinball [lines, O·Q]
  Matrix target;  // [lines, O]
  Matrix weight;  // optional [lines, 1] or [lines, O]
  Matrix dy;      // optional out, may be y
  LossKind kind = LossKind::squared;
  float scale = 1;
  const float* settings = nullptr;  // huber: delta; pinball: the quantiles
  int64_t n_settings = 0;
};

// Cross-entropy of softmax(y) with K class indices per line, each with O columns of y to itself.
struct SoftmaxLoss {
  Matrix y;            // [lines, K·O]
  IndexMatrix target;  // [lines, K], in 0..O-1
  Matrix weight;       // optional [lines, 1] or [lines, K]
  Matrix dy;           // optional out, may be y
  float scale = 1;
};

// Connectionist temporal classification (Graves et al. 2006): -log of the probability that softmax(y_1), softmax(y_2),
// ... emit a row's string, summed over all its alignments: symbols in their order, any of them repeated, with blanks
// (number 0) anywhere between, and at least one between two equal symbols. A row's symbols are the targets of its
// first steps; -1 stands in all others. A string needs at least as many steps as it has symbols and equal neighbours.
// Logarithms of float32, less the largest of each step; sums over steps in double.
struct CtcLoss {
  Matrix y;            // [N, O]
  IndexMatrix target;  // [N, 1], in 1..O-1, or -1 past the string's end
  Matrix weight;       // optional [B, 1]
  Matrix dy;           // optional out [N, O]
  Matrix work;         // scratch [N, 2·longest+2] without gaps, for strings of at most `longest` symbols
  float scale = 1;
};

// The clipped surrogate of policy gradients (Schulman et al. 2017), a squared error of the value, and the entropy:
//   -min(r a, clip(r, 1 - clip, 1 + clip) a) + value (v - gain)² - entropy H(p),   r = p[action] / exp(before),
// p = softmax of all columns of y but the last, v = the last; target = action, before, a, gain.
struct SurrogateLoss {
  Matrix y;       // [lines, A+1]
  Matrix target;  // [lines, 4]
  Matrix weight;  // optional [lines, 1]
  Matrix dy;      // optional out
  float scale = 1;
  float clip = 0, value = 0, entropy = 0;
};

// One step of Adam (Kingma & Ba 2015; decoupled weight decay: Loshchilov & Hutter 2019) on n numbers:
//   g = clip · g;  w = w (1 - rate · decay);  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g²
//   w = w - rate · correction1 · m / (sqrt(v · correction2) + epsilon),   correction = 1 / (1 - beta^step)
//   average = ema average + (1 - ema) w, when average is given
struct AdamStep {
  int64_t n = 0;
  float* w = nullptr;
  const float* g = nullptr;
  float* m = nullptr;
  float* v = nullptr;
  float* average = nullptr;
  float rate = 0, beta1 = 0, beta2 = 0, epsilon = 0, decay = 0, clip = 1, correction1 = 1, correction2 = 1, ema = 0;
};

// One set of kernels, compiled for one instruction set.
struct Kernels {
  const char* level;
  int64_t panel;  // columns of a panel
  int64_t pairs;  // rows of a panel of bf16 are a multiple of these, each two rows of the weight
  bool bf16;      // whether the processor multiplies bf16 itself; otherwise float32 does it, slower

  void (*lstm_forward)(const Packing&, const LstmForward&);
  void (*lstm_backward)(const Packing&, const LstmBackward&);
  void (*dense_forward)(const DenseForward&);
  void (*dense_backward)(const DenseBackward&);
  void (*embedding_forward)(const EmbeddingForward&);
  void (*embedding_backward)(const EmbeddingBackward&);
  void (*layer_norm_forward)(const LayerNormForward&);
  void (*layer_norm_backward)(const LayerNormBackward&);
  void (*dropout)(const Packing&, const Dropout&);
  void (*activation_forward)(const ActivationForward&);
  void (*activation_backward)(const ActivationBackward&);
  void (*softmax)(const Softmax&);
  void (*add)(const Add&);
  void (*broadcast_forward)(const BroadcastForward&);
  void (*broadcast_backward)(const BroadcastBackward&);
  void (*last_forward)(const Packing&, const LastForward&);
  void (*last_backward)(const Packing&, const LastBackward&);
  void (*mean_forward)(const Packing&, const MeanForward&);
  void (*mean_backward)(const Packing&, const MeanBackward&);
  void (*max_forward)(const Packing&, const MaxForward&);
  void (*max_backward)(const Packing&, const MaxBackward&);
  void (*transpose_forward)(const Packing&, const TransposeForward&);
  void (*transpose_backward)(const Packing&, const TransposeBackward&);
  void (*attention_forward)(const Packing&, const Packing& source, const AttentionForward&);
  void (*attention_backward)(const Packing&, const Packing& source, const AttentionBackward&);
  double (*loss)(const Loss&);
  double (*softmax_loss)(const SoftmaxLoss&);
  double (*ctc_loss)(const Packing&, const CtcLoss&);
  double (*surrogate_loss)(const SurrogateLoss&);

  // Lays a weight out in panels: panels[n / P][k][n % P] = W[k, n], zero beyond N; or of W transposed.
  // `panels` holds K · N rounded up to whole panels.
  void (*pack)(const Weight& W, float* panels);
  void (*pack_transposed)(const Weight& W, float* panels);
  // The part that one half of an LSTM's units, 0 or 1, reads of its weights, in the same memory; either may be nullptr.
  void (*pack_half)(const Weight& W, int half, float* panels, float* panels_transposed);

  void (*adam)(const AdamStep&);
  void (*accumulate)(int64_t n, const float* source, float* target);  // target += source
  double (*squared_norm)(int64_t n, const float* x);
};

// The best set that this processor runs, or the one that KARUSEL_LEVEL names (portable, v2, v3, v4, v4bf16, v4amx).
// Throws std::runtime_error when the named one is unknown or not supported here.
const Kernels& kernels();

// The names of the sets that this processor can run, the best last; nullptr ends the list.
const char* const* supported_levels();

}  // namespace karusel
