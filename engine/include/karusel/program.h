// A program: a flat list of kernel calls on named buffers, lowered in Python (src/karusel/program).
#pragma once

#include <cstdint>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "karusel/kernels.h"

namespace karusel {

enum class Extent : int { steps = 0, rows = 1, source = 2 };

// A buffer has one line per step of each row (N), one per row (B), or one per step of each row's source (M), of
// `width` 4-byte numbers. A call on lines of sources runs over the sources alone: lines per row are then in the
// order of the sources, and scratch.
// A state buffer outlives a run; every other one lives in the arena at a planned offset.
struct Buffer {
  Extent extent;
  int64_t width;
  bool state;
};

enum class Space : int { none = 0, buffer = 1, weight = 2, gradient = 3 };

// An argument of a call. buffer: columns [first, first + cols) of buffer `index`.
// weight, gradient: `first` is the offset in the flat vector of a [rows, cols] array.
struct Argument {
  Space space = Space::none;
  int64_t index = 0;
  int64_t first = 0;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t packed = -1;  // which PackedWeight holds this weight's panels
};

enum class Kernel : int {
  lstm_forward,
  lstm_backward,
  dense_forward,
  dense_backward,
  embedding_forward,
  embedding_backward,
  layer_norm_forward,
  layer_norm_backward,
  dropout_forward,
  dropout_backward,
  weight_drop_forward,
  weight_drop_backward,
  activation_forward,
  activation_backward,
  softmax_forward,
  add,
  broadcast_forward,
  broadcast_backward,
  last_forward,
  last_backward,
  mean_forward,
  mean_backward,
  max_forward,
  max_backward,
  transpose_forward,
  transpose_backward,
  attention_forward,
  attention_backward,
  squared_loss,
  absolute_loss,
  huber_loss,
  pinball_loss,
  binary_cross_entropy,
  softmax_cross_entropy,
  ctc_loss,
  surrogate_loss,
};

struct Call {
  Kernel kernel;
  std::vector<Argument> arguments;  // in the order of kernels.h, which src/karusel/program/kernels.py repeats
  std::vector<float> attributes;
  bool of_source = false;  // runs over the rows' sources
  bool again = false;      // its weight's gradient is another call's, too
};

// A weight that products read in panels: where it lies, where its panels begin (-1: not needed).
struct PackedWeight {
  int64_t first, rows, cols;
  int64_t panels = -1, panels_transposed = -1;
  bool halves = false, halves_transposed = false;  // of one row, they are laid out by halves
};

// Part of a flat vector, of weights or of gradients, that loses some of its numbers in each batch.
struct WeightDrop {
  Space space;
  int64_t first, count;
  float rate;
  uint64_t salt;
};

// What a call needs to know besides itself.
struct Frame {
  const Kernels* kernels;
  const Packing* packing;
  const Packing* source;  // nullptr: rows have none
  float* arena;
  float* state;
  const float* weights;
  float* gradient;
  bool add;             // to what `gradient` holds; else it is overwritten
  const float* panels;  // nullptr: products read the weights where they lie
  uint64_t seed;        // dropout: of this step of this training
  float loss_scale;
  bool one_row;  // panels are those of one row
  bool share;    // two threads may work on an LSTM's pass
};

class Program {
 public:
  using ArgumentTuple = std::tuple<int, int64_t, int64_t, int64_t, int64_t>;
  using CallTuple = std::tuple<std::string, std::vector<ArgumentTuple>, std::vector<float>>;

  // kernels: those that will run it, which say how panels lie. bf16: panels hold it.
  // Throws std::invalid_argument for a call that does not fit its kernel.
  Program(std::vector<Buffer> buffers, int64_t n_weights, const std::vector<CallTuple>& calls, const Kernels& kernels,
          bool bf16 = false);

  // Where each buffer begins: in the arena of a slice, or in the state.
  void place(std::vector<int64_t> offsets, int64_t arena_size);

  // Lays packed()[at] out in panels, for one row without what pack_half() does.
  void pack(const Kernels& kernels, const float* weights, float* panels, size_t at, bool one_row) const;

  // Lays out what one half of the units, 0 or 1, of every LSTM reads when it works on one row.
  void pack_half(const Kernels& kernels, const float* weights, float* panels, int half) const;

  // Whether weights are dropped. If so, run() must get weights that drop() went over, and gradients go through it when
  // they are complete: both once for a batch, whatever its slices.
  bool drops() const { return !drops_.empty(); }
  void drop(const Kernels& kernels, uint64_t seed, Space space, float* vector) const;

  // Clears what run() adds to without being told to: call it before a run that overwrites the gradient.
  void clear(float* gradient) const;

  // Runs all calls on one slice; returns the sum of the losses met.
  double run(const Frame& frame) const;

  const std::vector<Buffer>& buffers() const { return buffers_; }
  const std::vector<PackedWeight>& packed() const { return packed_; }

  // Whether an LSTM works on one row by halves.
  bool has_halves() const { return has_halves_; }
  int64_t offset(size_t buffer) const { return offsets_[buffer]; }
  int64_t arena_size() const { return arena_size_; }
  int64_t panels_size() const { return panels_size_; }
  int64_t n_weights() const { return n_weights_; }
  bool bf16() const { return bf16_; }

  // The loss, if the program has one: lines of its predictions, weights of each, and how many terms of the loss
  // a weight stands for.
  struct LossShape {
    Extent extent;
    int64_t terms;
    int64_t weight_buffer;  // -1: none
    int64_t weights;        // 1 where there is none
  };
  bool has_loss() const { return has_loss_; }
  const LossShape& loss_shape() const { return loss_shape_; }

 private:
  Call read_call(const CallTuple&) const;
  bool has_gradient(int64_t first) const;                        // whether a call so far has one that begins there
  PackedWeight& want_panels(Argument& weight, bool transposed);  // of the weight, or of its transpose
  void want_panels(Call&);                                       // of all weights that its products read in them
  void note_loss(const Call&);
  void place_panels(const Kernels& kernels);  // once all that are wanted are known
  double run(const Frame& frame, const Call& call) const;

  std::vector<Buffer> buffers_;
  std::vector<Call> calls_;
  std::vector<PackedWeight> packed_;
  std::vector<WeightDrop> drops_;
  std::vector<int64_t> offsets_;
  int64_t arena_size_ = 0;
  int64_t n_weights_ = 0;
  int64_t panels_size_ = 0;
  bool bf16_ = false;
  bool has_halves_ = false;
  std::vector<std::pair<int64_t, int64_t>> added_;  // parts of the gradient that kernels only add to: first, count
  bool has_loss_ = false;
  LossShape loss_shape_ = {};
};

}  // namespace karusel
