#include "karusel/executor.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "karusel/randomness.h"
#include "karusel/threads.h"

namespace karusel {
namespace {

constexpr int64_t MOST_LANES = 16;
constexpr int64_t PIECE = 1 << 13;        // weights that one task updates
constexpr int64_t FEW_WEIGHTS = 1 << 14;  // of fewer, handing work out costs more than it saves,
constexpr int64_t FEW_TO_WAKE = 1 << 15;  // or of so few where the other threads are not at work already
constexpr int64_t ENOUGH_SLICES = 4;      // for the threads: more only where slices would be too large, and fewer unless
constexpr int64_t ENOUGH_ROWS = 4;        // each has rows,
constexpr int64_t ENOUGH_TILE_ROWS = 16;  // of which a matrix tile of bf16 takes so many at once,
constexpr int64_t ENOUGH_WORK = 200'000;  // products of a pass forward,
constexpr int64_t ENOUGH_LINES = 48;      // and so many of them for each number of its gradient
constexpr int64_t FEW_LINES = 16;         // products of so few lines in all read weights where they lie
constexpr int64_t OWN_PANELS = 1 << 18;   // so many numbers each thread lays out for itself

using Clock = std::chrono::steady_clock;

auto end_after(double seconds) { return Clock::now() + std::chrono::duration<double>(seconds); }

// n / by, rounded up.
int64_t divided(int64_t n, int64_t by) { return (n + by - 1) / by; }

// The rows of a slice, or their sources: how they lie, and which example each is.
struct Lines {
  const Packing& packing;
  const int64_t* example;
};

struct Slice {
  Lines own, source;
};

// Copies between a caller's array and the packed lines of a slice.
template <class Copy>
void for_lines(const Program& program, const Stream& stream, const Slice& slice, float* arena, Copy copy) {
  const size_t index = static_cast<size_t>(stream.buffer);
  const Buffer& buffer = program.buffers()[index];
  const auto& [packing, example] = buffer.extent == Extent::source ? slice.source : slice.own;
  float* lines = arena + program.offset(index) + stream.first;
  float* values = static_cast<float*>(stream.values);
  for (int64_t r = 0; r < packing.rows; ++r) {
    const int64_t e = example[r];
    float* from = values + stream.starts[e];
    const int64_t steps = buffer.extent == Extent::rows ? 1 : packing.length[r];
    for (int64_t t = 0; t < steps; ++t) {
      const int64_t line = buffer.extent == Extent::rows ? r : packing.offset[t] + r;
      copy(lines + line * buffer.width, from + t * stream.stride, e);
    }
  }
}

void copy_numbers(float* to, const float* from, int64_t n) {
  if (n == 1)
    std::memcpy(to, from, sizeof(float));
  else
    std::memcpy(to, from, static_cast<size_t>(n) * sizeof(float));
}

float shift_of(const Stream& stream, int64_t e) { return stream.shift ? stream.shift[e] : 0.0f; }
float scale_of(const Stream& stream, int64_t e) { return stream.scale ? stream.scale[e] : 1.0f; }

// Fills an input's lines in a slice.
void gather(const Program& program, const Stream& stream, const Slice& slice, float* arena) {
  if (!stream.shift && !stream.scale)
    return for_lines(program, stream, slice, arena,
                     [n = stream.width](float* line, const float* value, int64_t) { copy_numbers(line, value, n); });
  for_lines(program, stream, slice, arena, [&](float* line, const float* value, int64_t e) {
    const float shift = shift_of(stream, e), scale = scale_of(stream, e);
    for (int64_t j = 0; j < stream.width; ++j) line[j] = (value[j] - shift) * scale;
  });
}

// Writes an output's lines of a slice where its caller wants them.
void scatter(const Program& program, const Stream& stream, const Slice& slice, float* arena) {
  for_lines(program, stream, slice, arena,
            [n = stream.width](const float* line, float* value, int64_t) { copy_numbers(value, line, n); });
}

}  // namespace

uint64_t step_seed(uint64_t seed, int64_t step) { return mix(mix(seed) + static_cast<uint64_t>(step) * GOLDEN); }

void Executor::Side::reserve(int64_t rows, int64_t steps) {
  active.resize(static_cast<size_t>(steps));
  offset.resize(static_cast<size_t>(steps) + 1);
  for (auto* v : {&length, &name, &example, &place}) v->resize(static_cast<size_t>(rows));
}

// The packing of rows whose lengths and names are filled in, longest first.
Packing Executor::Side::pack(int64_t rows, int64_t longest) {
  Packing packing;
  packing.rows = rows;
  packing.steps = length[0];
  packing.batch_steps = longest;
  int64_t active_rows = rows;
  for (int64_t t = 0; t < packing.steps; ++t) {
    while (length[static_cast<size_t>(active_rows - 1)] <= t) --active_rows;
    active[static_cast<size_t>(t)] = active_rows;
    offset[static_cast<size_t>(t)] = packing.total;
    packing.total += active_rows;
  }
  offset[static_cast<size_t>(packing.steps)] = packing.total;
  packing.active = active.data();
  packing.offset = offset.data();
  packing.length = length.data();
  packing.name = name.data();
  packing.place = place.data();
  return packing;
}

Executor::Executor(Program program, int64_t slice_rows, int64_t max_steps, int64_t source_steps, int threads)
    : program_(std::move(program)),
      kernels_(kernels()),
      slice_rows_(slice_rows),
      max_steps_(max_steps),
      source_steps_(source_steps),
      threads_(std::max(1, threads)) {
  workers_.resize(static_cast<size_t>(threads_));
  for (Worker& w : workers_) {
    w.own.reserve(slice_rows, max_steps);
    if (source_steps > 0) w.source.reserve(slice_rows, source_steps);
  }
  count_.resize(static_cast<size_t>(max_steps) + 2);
}

float* Executor::reserve(Floats& floats, int64_t n) {
  if (floats.size() >= n && floats.data()) return floats.data();
  ++allocations_;
  return floats.resize(n);
}

// Where the rows that count stand in the batch. A row of no weight adds nothing to a loss, so it is left out where
// nothing else is asked of it.
void Executor::choose_rows(const Examples& examples, Selection batch) {
  const size_t n = static_cast<size_t>(batch.count);
  if (sorted_.size() < n) {
    ++allocations_;
    for (auto* v : {&chosen_, &sorted_, &place_}) v->resize(n);
  }
  const Stream* weights = examples.outputs.empty() ? weights_of(examples) : nullptr;
  batch_rows_ = longest_ = longest_source_ = 0;
  for (int64_t i = 0; i < batch.count; ++i) {
    longest_ = std::max(longest_, examples.lengths[batch.order[i]]);
    if (source_steps_ > 0) longest_source_ = std::max(longest_source_, examples.source_lengths[batch.order[i]]);
  }
  for (int64_t i = 0; i < batch.count; ++i)
    if (!weights || has_weight(examples, *weights, batch.order[i])) chosen_[static_cast<size_t>(batch_rows_++)] = i;
  if (batch_rows_ > 0) return;
  for (; batch_rows_ < batch.count; ++batch_rows_) chosen_[static_cast<size_t>(batch_rows_)] = batch_rows_;
}

// The rows chosen, longest first, equal ones in the order given: a counting sort.
void Executor::sort_rows(const Examples& examples, Selection batch) {
  const size_t n = static_cast<size_t>(batch_rows_);
  const auto row = [&](size_t i) { return batch.order[chosen_[i]]; };
  std::fill(count_.begin(), count_.end(), 0);
  lines_ = 0;
  for (size_t i = 0; i < n; ++i) {
    const int64_t length = examples.lengths[row(i)];
    if (length < 1 || length > max_steps_) throw std::invalid_argument("a row's length is outside the plan");
    ++count_[static_cast<size_t>(length)];
    lines_ += length;
    if (source_steps_ == 0) continue;
    const int64_t source = examples.source_lengths[row(i)];
    if (source < 1 || source > source_steps_) throw std::invalid_argument("a source's length is outside the plan");
    lines_ += source;
  }
  int64_t before = 0;
  for (size_t length = count_.size(); length-- > 0;) {
    const int64_t here = count_[length];
    count_[length] = before;
    before += here;
  }
  for (size_t i = 0; i < n; ++i) {
    const size_t length = static_cast<size_t>(examples.lengths[row(i)]);
    const size_t to = static_cast<size_t>(count_[length]++);
    sorted_[to] = row(i);
    place_[to] = chosen_[i];
  }
}

// How many slices a batch is cut into. A row among few costs little more than among many, so even few are shared,
// unless handing them out, or adding up one more gradient, would cost what that saves.
int64_t Executor::slices_of(bool with_gradient) const {
  int64_t work = 0;
  for (const PackedWeight& w : program_.packed()) work += lines_ * w.rows * w.cols;
  const int64_t rows = program_.bf16() && kernels_.pairs > 1 ? ENOUGH_TILE_ROWS : ENOUGH_ROWS;
  const int64_t enough = std::max(ENOUGH_WORK, with_gradient ? ENOUGH_LINES * program_.n_weights() : 0);
  const int64_t wanted = std::min({ENOUGH_SLICES, divided(batch_rows_, rows), work / enough});
  const int64_t slices = std::max(divided(batch_rows_, slice_rows_), wanted);
  return slices > 1 ? slices + slices % 2 : 1;  // so that none is left over for one of two threads
}

// The sources of a slice's rows, longest first, equal ones in the order of the rows.
void Executor::order_sources(const Examples& examples, Worker& worker, int64_t rows) const {
  const Side& own = worker.own;
  Side& source = worker.source;
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t length = examples.source_lengths[own.example[static_cast<size_t>(r)]];
    int64_t place = 0;
    for (int64_t other = 0; other < rows; ++other) {
      const int64_t its = examples.source_lengths[own.example[static_cast<size_t>(other)]];
      place += its > length || (its == length && other < r);
    }
    const size_t to = static_cast<size_t>(place);
    source.place[static_cast<size_t>(r)] = place;
    source.example[to] = own.example[static_cast<size_t>(r)];
    source.name[to] = own.name[static_cast<size_t>(r)];
    source.length[to] = length;
  }
}

double Executor::run_slice(Frame frame, const Examples& examples, Worker& worker, int64_t slice, int64_t slices) const {
  // Rows are dealt out like cards, so that the slices of a ragged batch are about equally long.
  int64_t rows = 0;
  for (int64_t i = slice; i < batch_rows_; i += slices, ++rows) {
    const size_t r = static_cast<size_t>(rows);
    worker.own.example[r] = sorted_[static_cast<size_t>(i)];
    worker.own.name[r] = place_[static_cast<size_t>(i)];
    worker.own.length[r] = examples.lengths[worker.own.example[r]];
  }
  const Packing own = worker.own.pack(rows, longest_);
  Packing source;
  if (source_steps_ > 0) {
    order_sources(examples, worker, rows);
    source = worker.source.pack(rows, longest_source_);
  }

  frame.packing = &own;
  frame.source = &source;
  frame.arena = worker.arena.data();
  const Slice lines = {{own, worker.own.example.data()}, {source, worker.source.example.data()}};
  for (const Stream& stream : examples.inputs) gather(program_, stream, lines, frame.arena);
  const double loss = program_.run(frame);
  for (const Stream& stream : examples.outputs) scatter(program_, stream, lines, frame.arena);
  return loss;
}

const Stream* Executor::weights_of(const Examples& examples) const {
  if (!program_.has_loss()) return nullptr;
  for (const Stream& stream : examples.inputs)
    if (stream.buffer == program_.loss_shape().weight_buffer) return &stream;
  return nullptr;
}

bool Executor::has_weight(const Examples& examples, const Stream& weights, int64_t e) const {
  const Program::LossShape& shape = program_.loss_shape();
  const float* w = static_cast<const float*>(weights.values) + weights.starts[e];
  const int64_t lines = shape.extent == Extent::steps ? examples.lengths[e] : 1;
  for (int64_t t = 0; t < lines; ++t)
    for (int64_t j = 0; j < shape.weights; ++j)
      if (w[t * weights.stride + j] != shift_of(weights, e)) return true;
  return false;
}

// The sum of the weights of all terms of the batch's loss: what it is divided by.
double Executor::batch_weight(const Examples& examples, Selection batch) const {
  if (!program_.has_loss()) return 0;
  const Program::LossShape& shape = program_.loss_shape();
  const Stream* weights = weights_of(examples);
  double total = 0;
  for (int64_t i = 0; i < batch.count; ++i) {
    const int64_t e = batch.order[i];
    const int64_t lines = shape.extent == Extent::steps ? examples.lengths[e] : 1;
    if (!weights) {
      total += static_cast<double>(lines);
      continue;
    }
    const float* w = static_cast<const float*>(weights->values) + weights->starts[e];
    const float shift = shift_of(*weights, e), scale = scale_of(*weights, e);
    for (int64_t t = 0; t < lines; ++t)
      for (int64_t j = 0; j < shape.weights; ++j)
        total += static_cast<double>((w[t * weights->stride + j] - shift) * scale);
  }
  return total * static_cast<double>(shape.terms);
}

// The weights with those left out that this batch drops.
const float* Executor::drop_weights(const float* weights, uint64_t seed) {
  if (!program_.drops()) return weights;
  float* dropped = reserve(dropped_, program_.n_weights());
  std::memcpy(dropped, weights, static_cast<size_t>(program_.n_weights()) * sizeof(float));
  program_.drop(kernels_, seed, Space::weight, dropped);
  return dropped;
}

void Executor::pack(const Frame& frame, float* panels, int threads) const {
  parallel(threads, static_cast<int64_t>(program_.packed().size()), [&](int64_t i, int) {
    program_.pack(kernels_, frame.weights, panels, static_cast<size_t>(i), frame.one_row);
  });
  if (frame.one_row)
    in_halves(frame.share, [&](Partner& partner) {
      for (int i = partner.first; i < partner.last; ++i) program_.pack_half(kernels_, frame.weights, panels, i);
    });
}

// How the rows chosen are worked on; takes the memory for it.
Executor::Cut Executor::cut_batch(const Examples& examples, bool with_gradient) {
  Cut cut;
  cut.slices = slices_of(with_gradient);
  cut.lanes = with_gradient ? std::min(cut.slices, MOST_LANES) : cut.slices;
  cut.workers = static_cast<int>(std::min<int64_t>(threads_, cut.lanes));
  const int64_t longest = std::max(examples.lengths[sorted_[0]], longest_source_);
  cut.panels = divided(batch_rows_, cut.slices) * longest > FEW_LINES ? program_.panels_size() : 0;
  cut.own_panels = cut.panels > 0 && cut.panels <= OWN_PANELS;

  if (static_cast<int64_t>(lanes_.size()) < cut.lanes) {
    ++allocations_;
    lanes_.resize(static_cast<size_t>(cut.lanes));
  }
  for (int64_t i = 0; with_gradient && i < cut.lanes; ++i)
    reserve(lanes_[static_cast<size_t>(i)].gradient, program_.n_weights());
  for (int i = 0; i < cut.workers; ++i) {
    Worker& worker = workers_[static_cast<size_t>(i)];
    reserve(worker.arena, program_.arena_size());
    if (cut.own_panels) reserve(worker.panels, cut.panels);
    worker.packed = false;
  }
  if (cut.panels > 0 && !cut.own_panels) reserve(panels_, cut.panels);
  return cut;
}

// Runs all slices; leaves a loss, and with a gradient one of those, in each lane.
void Executor::run_slices(const Frame& frame, const Examples& examples, const Cut& cut, bool with_gradient) {
  if (frame.panels) pack(frame, panels_.data(), weight_threads_);
  parallel(cut.workers, cut.lanes, [&](int64_t i, int number) {
    Lane& lane = lanes_[static_cast<size_t>(i)];
    Worker& worker = workers_[static_cast<size_t>(number)];
    Frame own = frame;
    if (cut.own_panels) {
      if (!worker.packed) pack(frame, worker.panels.data(), 1);
      worker.packed = true;
      own.panels = worker.panels.data();
    }
    own.gradient = lane.gradient.data();
    if (with_gradient) program_.clear(own.gradient);
    lane.loss = 0;
    for (int64_t slice = i; slice < cut.slices; slice += cut.lanes) {
      lane.loss += run_slice(own, examples, worker, slice, cut.slices);
      own.add = true;
    }
  });
}

Total Executor::run_batch(const float* weights, const Examples& examples, Selection batch, uint64_t seed,
                          bool with_gradient) {
  if (batch.count <= 0) return {};
  choose_rows(examples, batch);
  sort_rows(examples, batch);
  const Cut cut = cut_batch(examples, with_gradient);
  weight_threads_ = program_.n_weights() < (cut.workers > 1 ? FEW_WEIGHTS : FEW_TO_WAKE) ? 1 : threads_;

  Total total;
  total.weight = batch_weight(examples, batch);
  Frame frame = {};
  frame.kernels = &kernels_;
  frame.weights = drop_weights(weights, seed);
  frame.one_row = batch_rows_ == 1;
  if (cut.panels > 0 && !cut.own_panels) frame.panels = panels_.data();
  frame.seed = seed;
  frame.loss_scale = total.weight > 0 ? static_cast<float>(1.0 / total.weight) : 0.0f;

  const auto run = [&](bool share) {
    frame.share = shared_ = share;
    run_slices(frame, examples, cut, with_gradient);
  };
  if (frame.one_row && cut.panels > 0 && threads_ > 1 && program_.has_halves())
    sharing_.take(lines_, run);
  else
    run(false);

  for (int64_t i = 0; i < cut.lanes; ++i) total.loss += lanes_[static_cast<size_t>(i)].loss;
  if (with_gradient) {
    add_lanes(cut.lanes);
    program_.drop(kernels_, seed, Space::gradient, lanes_[0].gradient.data());
  }
  return total;
}

// Work over the flat vectors is cut into pieces of a fixed length, whoever does them.
template <class F>
void Executor::for_pieces(F f) const {
  const int64_t n = program_.n_weights();
  parallel(weight_threads_, divided(n, PIECE),
           [&](int64_t i, int) { f(i, i * PIECE, std::min(PIECE, n - i * PIECE)); });
}

void Executor::add_lanes(int64_t lanes) {
  if (lanes < 2) return;
  for_pieces([&](int64_t, int64_t first, int64_t n) {
    for (int64_t i = 1; i < lanes; ++i)
      kernels_.accumulate(n, lanes_[static_cast<size_t>(i)].gradient.data() + first, lanes_[0].gradient.data() + first);
  });
}

double Executor::gradient_norm() {
  const size_t pieces = static_cast<size_t>(divided(program_.n_weights(), PIECE));
  if (norms_.size() < pieces) {
    ++allocations_;
    norms_.resize(pieces);
  }
  for_pieces([&](int64_t piece, int64_t first, int64_t n) {
    norms_[static_cast<size_t>(piece)] = kernels_.squared_norm(n, lanes_[0].gradient.data() + first);
  });
  double total = 0;
  for (size_t i = 0; i < pieces; ++i) total += norms_[i];
  return std::sqrt(total);
}

void Executor::update(Optimizer& o, float rate) {
  ++o.step;
  AdamStep whole = {};
  whole.rate = rate;
  whole.beta1 = o.beta1;
  whole.beta2 = o.beta2;
  whole.epsilon = o.epsilon;
  whole.decay = o.decay;
  whole.ema = o.ema;
  whole.correction1 =
      static_cast<float>(1.0 / (1.0 - std::pow(static_cast<double>(o.beta1), static_cast<double>(o.step))));
  whole.correction2 =
      static_cast<float>(1.0 / (1.0 - std::pow(static_cast<double>(o.beta2), static_cast<double>(o.step))));
  if (o.clip_norm > 0) {
    const double norm = gradient_norm();
    if (norm > static_cast<double>(o.clip_norm))
      whole.clip = static_cast<float>(static_cast<double>(o.clip_norm) / norm);
  }
  const auto step = [&](int64_t first, int64_t n) {
    AdamStep piece = whole;
    piece.n = n;
    piece.w = o.w + first;
    piece.g = lanes_[0].gradient.data() + first;
    piece.m = o.m + first;
    piece.v = o.v + first;
    piece.average = o.average ? o.average + first : nullptr;
    kernels_.adam(piece);
  };
  if (!shared_) return for_pieces([&](int64_t, int64_t first, int64_t n) { step(first, n); });
  in_halves(true, [&](Partner& partner) {  // always the same half, whose m and v lie in the thread's cache
    for (int i = partner.first; i < partner.last; ++i) {
      const auto [first, n] = half_of(program_.n_weights(), i);
      step(first, n);
    }
  });
}

int64_t Executor::evaluate(const float* weights, const Examples& examples, Selection selection, int64_t batch,
                           int64_t first_batch, double seconds, Total& total) {
  const std::lock_guard<Turn> turn(turn_);
  const FlushDenormals flush;
  const auto end = end_after(seconds);
  int64_t batches = 0;
  for (int64_t first = first_batch * batch; first < selection.count; first += batch) {
    const Total one =
        run_batch(weights, examples, {selection.order + first, std::min(batch, selection.count - first)}, 0, false);
    total.loss += one.loss;
    total.weight += one.weight;
    ++batches;
    if (Clock::now() >= end) break;
  }
  return batches;
}

Total Executor::gradient(const float* weights, const Examples& examples, Selection selection, uint64_t seed,
                         float* gradient) {
  const std::lock_guard<Turn> turn(turn_);
  const FlushDenormals flush;
  const Total total = run_batch(weights, examples, selection, seed, true);
  std::memcpy(gradient, lanes_[0].gradient.data(), static_cast<size_t>(program_.n_weights()) * sizeof(float));
  return total;
}

Progress Executor::train(Optimizer& optimizer, const Examples& examples, Selection selection, int64_t batch,
                         int64_t first_batch, const float* rates, uint64_t seed, double seconds, Total* totals) {
  const std::lock_guard<Turn> turn(turn_);
  const FlushDenormals flush;
  const auto end = end_after(seconds);
  const int64_t begun = optimizer.step;
  Progress progress;
  for (int64_t i = first_batch; i * batch < selection.count; ++i) {
    const Selection rows = {selection.order + i * batch, std::min(batch, selection.count - i * batch)};
    const Total one = run_batch(optimizer.w, examples, rows, step_seed(seed, optimizer.step), true);
    if (!std::isfinite(one.loss)) {
      progress.finite = false;
      return progress;
    }
    // A batch whose targets are all masked teaches nothing: no step, not even one of momentum.
    if (one.weight > 0) update(optimizer, rates[optimizer.step - begun]);
    totals[i] = one;
    ++progress.batches;
    if (Clock::now() >= end) break;
  }
  return progress;
}

}  // namespace karusel
