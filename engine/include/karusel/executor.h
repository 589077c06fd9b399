// Runs a program over examples: one batch, many batches, or a whole training.
//
// A batch is cut into slices of a fixed number of rows; each slice runs the whole program in an arena of
// its own, and slices go to lanes, which collect gradients. The cut depends on the batch alone and lanes are
// added in their order, so results are the same bits on any number of threads.
#pragma once

#include <vector>

#include "karusel/choice.h"
#include "karusel/floats.h"
#include "karusel/program.h"
#include "karusel/threads.h"

namespace karusel {

// One array that feeds `width` columns of a buffer, from `first` on, or is filled from them. Example e's line
// for step t begins at values[starts[e] + t · stride]; a buffer with one line per row uses t = 0. What an input
// feeds is (value - shift[e]) · scale[e].
struct Stream {
  int64_t buffer;
  int64_t first;
  int64_t width;
  void* values;
  const int64_t* starts;
  int64_t stride;
  const float* shift = nullptr;  // of floating-point inputs; nullptr: 0
  const float* scale = nullptr;  // nullptr: 1
};

struct Examples {
  const int64_t* lengths = nullptr;         // of each example
  const int64_t* source_lengths = nullptr;  // of each example's source
  std::vector<Stream> inputs;
  std::vector<Stream> outputs;
};

// Some examples in some order.
struct Selection {
  const int64_t* order;
  int64_t count;
};

struct Optimizer {
  float* w;
  float* m;
  float* v;
  float* average;  // optional
  float beta1, beta2, epsilon, decay, ema;
  float clip_norm;  // 0: no clipping
  int64_t step;     // steps made before
};

// Sums over batches: loss / weight is the mean loss.
struct Total {
  double loss = 0;
  double weight = 0;
};

struct Progress {
  int64_t batches = 0;
  bool finite = true;  // false: the batch after these had a loss that is not finite, and changed nothing
};

// Threads may share one: they take turns.
class Executor {
 public:
  // slice_rows, max_steps and source_steps (0: rows have no sources) are what the program's arena was planned for.
  Executor(Program program, int64_t slice_rows, int64_t max_steps, int64_t source_steps, int threads);

  // Runs forward over batches first_batch, first_batch + 1, ... of the selection, until it ends or `seconds` have
  // passed; fills the outputs and adds to `total`. Returns how many batches that were.
  int64_t evaluate(const float* weights, const Examples&, Selection, int64_t batch, int64_t first_batch, double seconds,
                   Total& total);

  // One batch of all selected examples; fills the outputs, and gradient [n_weights] is overwritten.
  Total gradient(const float* weights, const Examples&, Selection, uint64_t seed, float* gradient);

  // Batches first_batch, first_batch + 1, ... of the selection, until it ends or `seconds` have passed; rates are the
  // learning rates of the steps they come to. Fills the outputs, and totals[batch]. An output may be an input of a
  // later batch.
  Progress train(Optimizer&, const Examples&, Selection, int64_t batch, int64_t first_batch, const float* rates,
                 uint64_t seed, double seconds, Total* totals);

  // How often memory was taken since the beginning.
  int64_t allocations() const { return allocations_; }

 private:
  // How a slice's rows, or their sources, lie in memory, and which example each is.
  struct Side {
    std::vector<int64_t> active, offset, length, name, example, place;

    void reserve(int64_t rows, int64_t steps);
    Packing pack(int64_t rows, int64_t longest);
  };
  struct Worker {
    Floats arena;
    Floats panels;  // where a thread's own cost less than those that another one has just written
    bool packed = false;
    Side own, source;
  };
  struct Lane {
    Floats gradient;
    double loss = 0;
  };
  // How a batch is worked on.
  struct Cut {
    int64_t slices, lanes;
    int workers;
    int64_t panels;   // numbers of the weights' panels; 0: products read the weights where they lie
    bool own_panels;  // each thread lays them out for itself
  };

  // Runs one batch; with a gradient, leaves the sum over lanes in the first lane.
  Total run_batch(const float* weights, const Examples&, Selection batch, uint64_t seed, bool with_gradient);
  Cut cut_batch(const Examples&, bool with_gradient);
  void run_slices(const Frame&, const Examples&, const Cut&, bool with_gradient);
  double run_slice(Frame, const Examples&, Worker&, int64_t slice, int64_t slices) const;
  void order_sources(const Examples&, Worker&, int64_t rows) const;
  void choose_rows(const Examples&, Selection batch);
  void sort_rows(const Examples&, Selection batch);
  int64_t slices_of(bool with_gradient) const;
  const Stream* weights_of(const Examples&) const;
  bool has_weight(const Examples&, const Stream& weights, int64_t e) const;
  double batch_weight(const Examples&, Selection batch) const;
  const float* drop_weights(const float* weights, uint64_t seed);
  void pack(const Frame&, float* panels, int threads) const;
  template <class F>
  void for_pieces(F f) const;  // f(piece, first weight, weights)
  void add_lanes(int64_t lanes);
  double gradient_norm();
  void update(Optimizer&, float rate);
  float* reserve(Floats&, int64_t n);

  Turn turn_;
  Program program_;
  const Kernels& kernels_;
  int64_t slice_rows_, max_steps_, source_steps_;
  int threads_;
  std::vector<Worker> workers_;
  std::vector<Lane> lanes_;
  std::vector<int64_t> chosen_;          // places in the batch of the rows that count
  std::vector<int64_t> sorted_, place_;  // those rows, longest first: the example, its place in the batch
  std::vector<int64_t> count_;           // scratch of the counting sort
  std::vector<double> norms_;            // per piece of the gradient
  int64_t batch_rows_ = 0;
  int64_t lines_ = 0;                    // of all rows of the batch, and of their sources
  int weight_threads_ = 1;               // that work over all weights is handed to
  bool shared_ = false;                  // two threads have a half each of one row's units
  Choice sharing_;                       // alone or shared
  int64_t longest_ = 0;                  // of the batch, rows of no weight included
  int64_t longest_source_ = 0;
  Floats panels_, dropped_;
  int64_t allocations_ = 0;
};

// What dropout draws from in a step of a training with a seed; src/karusel/randomness.py says the same.
uint64_t step_seed(uint64_t seed, int64_t step);

}  // namespace karusel
