// Builds and runs programs: translates a call's arguments into the structures of kernels.h.
#include "karusel/program.h"

#include <algorithm>
#include <map>
#include <stdexcept>

#include "karusel/randomness.h"

namespace karusel {
namespace {

struct Signature {
  Kernel kernel;
  size_t arguments;
  size_t attributes;  // at least
};

const std::map<std::string, Signature>& signatures() {
  static const std::map<std::string, Signature> table = {
      {"lstm_forward", {Kernel::lstm_forward, 15, 4}},
      {"lstm_backward", {Kernel::lstm_backward, 23, 3}},
      {"dense_forward", {Kernel::dense_forward, 4, 1}},
      {"dense_backward", {Kernel::dense_backward, 6, 2}},
      {"embedding_forward", {Kernel::embedding_forward, 3, 0}},
      {"embedding_backward", {Kernel::embedding_backward, 3, 0}},
      {"layer_norm_forward", {Kernel::layer_norm_forward, 5, 1}},
      {"layer_norm_backward", {Kernel::layer_norm_backward, 7, 1}},
      {"dropout_forward", {Kernel::dropout_forward, 2, 3}},
      {"dropout_backward", {Kernel::dropout_backward, 2, 4}},
      {"weight_drop_forward", {Kernel::weight_drop_forward, 1, 2}},
      {"weight_drop_backward", {Kernel::weight_drop_backward, 1, 2}},
      {"activation_forward", {Kernel::activation_forward, 2, 1}},
      {"activation_backward", {Kernel::activation_backward, 3, 2}},
      {"softmax_forward", {Kernel::softmax_forward, 2, 0}},
      {"add", {Kernel::add, 3, 0}},
      {"broadcast_forward", {Kernel::broadcast_forward, 2, 0}},
      {"broadcast_backward", {Kernel::broadcast_backward, 2, 0}},
      {"last_forward", {Kernel::last_forward, 2, 1}},
      {"last_backward", {Kernel::last_backward, 2, 2}},
      {"mean_forward", {Kernel::mean_forward, 2, 0}},
      {"mean_backward", {Kernel::mean_backward, 2, 1}},
      {"max_forward", {Kernel::max_forward, 3, 0}},
      {"max_backward", {Kernel::max_backward, 3, 1}},
      {"transpose_forward", {Kernel::transpose_forward, 2, 1}},
      {"transpose_backward", {Kernel::transpose_backward, 2, 2}},
      {"attention_forward", {Kernel::attention_forward, 5, 1}},
      {"attention_backward", {Kernel::attention_backward, 9, 4}},
      {"squared_loss", {Kernel::squared_loss, 4, 0}},
      {"absolute_loss", {Kernel::absolute_loss, 4, 0}},
      {"huber_loss", {Kernel::huber_loss, 4, 1}},
      {"pinball_loss", {Kernel::pinball_loss, 4, 1}},
      {"binary_cross_entropy", {Kernel::binary_cross_entropy, 4, 0}},
      {"softmax_cross_entropy", {Kernel::softmax_cross_entropy, 4, 0}},
      {"ctc_loss", {Kernel::ctc_loss, 5, 0}},
      {"surrogate_loss", {Kernel::surrogate_loss, 4, 3}},
  };
  return table;
}

// Kernels that overwrite the gradients of their parameters when told to; the others add.
bool overwrites(Kernel kernel) { return kernel == Kernel::lstm_backward || kernel == Kernel::dense_backward; }

uint64_t dropout_key(uint64_t seed, uint64_t salt) { return mix(seed + salt * GOLDEN); }

bool is_loss(Kernel kernel) { return kernel >= Kernel::squared_loss; }

// Losses with one term for all numbers of a line, or of a row; the others have one for each number or label.
bool one_term(Kernel kernel) { return kernel >= Kernel::ctc_loss; }

// Where those arguments and attributes of a call stand that a program looks at itself; all others it only hands on.
namespace lstm_forward_at {
constexpr size_t W = 1, U = 2, gain = 4;
constexpr size_t dilation = 1;  // of the attributes
}  // namespace lstm_forward_at
namespace lstm_backward_at {
constexpr size_t W = 1, U = 2, gain = 3, dx = 16;
constexpr size_t dilation = 1;
}  // namespace lstm_backward_at
namespace dense_forward_at {
constexpr size_t W = 1;
constexpr size_t transposed = 0;
}  // namespace dense_forward_at
namespace dense_backward_at {
constexpr size_t W = 1, dx = 3;
constexpr size_t transposed = 1;
}  // namespace dense_backward_at
namespace weight_drop_at {
constexpr size_t W = 0;
constexpr size_t rate = 0, salt = 1;
}  // namespace weight_drop_at
namespace loss_at {
constexpr size_t y = 0, target = 1, weight = 2;
}  // namespace loss_at

bool given(const Argument& argument) { return argument.space != Space::none; }

}  // namespace

Program::Program(std::vector<Buffer> buffers, int64_t n_weights, const std::vector<CallTuple>& calls,
                 const Kernels& kernels, bool bf16)
    : buffers_(std::move(buffers)), n_weights_(n_weights), bf16_(bf16) {
  for (const CallTuple& tuple : calls) {
    Call call = read_call(tuple);
    if (call.kernel == Kernel::weight_drop_forward || call.kernel == Kernel::weight_drop_backward) {
      const Argument& w = call.arguments[weight_drop_at::W];
      drops_.push_back({w.space, w.first, w.rows * w.cols, call.attributes[weight_drop_at::rate],
                        static_cast<uint64_t>(call.attributes[weight_drop_at::salt])});
      continue;
    }
    for (const Argument& argument : call.arguments) {
      if (argument.space != Space::gradient) continue;
      call.again = call.again || has_gradient(argument.first);
      if (call.again || !overwrites(call.kernel)) added_.emplace_back(argument.first, argument.rows * argument.cols);
    }
    want_panels(call);
    if (is_loss(call.kernel)) note_loss(call);
    calls_.push_back(std::move(call));
  }
  place_panels(kernels);
}

Call Program::read_call(const CallTuple& tuple) const {
  const auto& [name, arguments, attributes] = tuple;
  const auto found = signatures().find(name);
  if (found == signatures().end()) throw std::invalid_argument("unknown kernel " + name);
  const Signature& signature = found->second;
  if (arguments.size() != signature.arguments || attributes.size() < signature.attributes)
    throw std::invalid_argument("kernel " + name + " called with other arguments than it has");

  Call call = {signature.kernel, {}, attributes};
  for (const auto& [space, index, first, rows, cols] : arguments) {
    const Argument argument = {static_cast<Space>(space), index, first, rows, cols, -1};
    const bool inside =
        argument.space == Space::none ||
        (argument.space == Space::buffer && index >= 0 && index < static_cast<int64_t>(buffers_.size()) && first >= 0 &&
         cols >= 0 && first + cols <= buffers_[static_cast<size_t>(index)].width) ||
        ((argument.space == Space::weight || argument.space == Space::gradient) && first >= 0 && rows >= 0 &&
         cols >= 0 && first + rows * cols <= n_weights_);
    if (!inside) throw std::invalid_argument("kernel " + name + " called with an argument outside its buffer");
    call.of_source |= argument.space == Space::buffer && buffers_[static_cast<size_t>(index)].extent == Extent::source;
    call.arguments.push_back(argument);
  }
  return call;
}

PackedWeight& Program::want_panels(Argument& weight, bool transposed) {
  size_t at = 0;
  while (at < packed_.size() && packed_[at].first != weight.first) ++at;
  if (at == packed_.size()) packed_.push_back({weight.first, weight.rows, weight.cols});
  (transposed ? packed_[at].panels_transposed : packed_[at].panels) = 0;
  weight.packed = static_cast<int64_t>(at);
  return packed_[at];
}

void Program::want_panels(Call& call) {
  auto& a = call.arguments;
  // Few units are not worth it; layer norm needs all of a row at once.
  const auto halved = [this](const Argument& U, const Argument& gain, float dilation) {
    return U.rows >= LEAST_HALVED && U.rows <= MOST_HALVED && !given(gain) && dilation == 1.0f && !bf16_;
  };
  switch (call.kernel) {
    case Kernel::lstm_forward: {
      using namespace lstm_forward_at;
      const bool halves = halved(a[U], a[gain], call.attributes[dilation]);
      for (size_t i : {W, U}) want_panels(a[i], false).halves = halves;
      has_halves_ = has_halves_ || halves;
      break;
    }
    case Kernel::lstm_backward: {
      using namespace lstm_backward_at;
      if (given(a[dx])) want_panels(a[W], true);
      want_panels(a[U], true).halves_transposed = halved(a[U], a[gain], call.attributes[dilation]);
      break;
    }
    case Kernel::dense_forward: {
      using namespace dense_forward_at;
      want_panels(a[W], call.attributes[transposed] != 0.0f);
      break;
    }
    case Kernel::dense_backward: {
      using namespace dense_backward_at;
      if (given(a[dx])) want_panels(a[W], call.attributes[transposed] == 0.0f);
      break;
    }
    default: break;
  }
}

void Program::note_loss(const Call& call) {
  const Argument& y = call.arguments[loss_at::y];
  const Argument& target = call.arguments[loss_at::target];
  const Argument& weight = call.arguments[loss_at::weight];
  const int64_t terms = one_term(call.kernel) ? 1 : call.kernel == Kernel::softmax_cross_entropy ? target.cols : y.cols;
  const int64_t weights = given(weight) ? weight.cols : 1;
  if (weights != 1 && (one_term(call.kernel) || weights != target.cols))
    throw std::invalid_argument("a loss has one weight per line or target");
  const Extent extent = call.kernel == Kernel::ctc_loss ? Extent::rows : buffers_[static_cast<size_t>(y.index)].extent;
  has_loss_ = true;
  loss_shape_ = {extent, terms / weights, given(weight) ? weight.index : -1, weights};
}

void Program::place_panels(const Kernels& kernels) {
  for (PackedWeight& w : packed_) {
    const auto place = [&](int64_t& at, int64_t rows, int64_t cols) {
      if (at < 0) return;
      at = panels_size_;
      const int64_t pairs = (rows + 2 * kernels.pairs - 1) / (2 * kernels.pairs) * kernels.pairs;
      panels_size_ += (cols + kernels.panel - 1) / kernels.panel * kernels.panel * (bf16_ ? pairs : rows);
    };
    place(w.panels, w.rows, w.cols);
    place(w.panels_transposed, w.cols, w.rows);
  }
}

void Program::place(std::vector<int64_t> offsets, int64_t arena_size) {
  if (offsets.size() != buffers_.size()) throw std::invalid_argument("one offset per buffer is needed");
  offsets_ = std::move(offsets);
  arena_size_ = arena_size;
}

void Program::pack(const Kernels& kernels, const float* weights, float* panels, size_t at, bool one_row) const {
  const PackedWeight& w = packed_[at];
  const Weight weight = {weights + w.first, w.rows, w.cols, nullptr, nullptr, false, bf16_};
  if (w.panels >= 0 && !(one_row && w.halves)) kernels.pack(weight, panels + w.panels);
  if (w.panels_transposed >= 0 && !(one_row && w.halves_transposed))
    kernels.pack_transposed(weight, panels + w.panels_transposed);
}

void Program::pack_half(const Kernels& kernels, const float* weights, float* panels, int half) const {
  for (const PackedWeight& w : packed_)
    if (w.halves)
      kernels.pack_half({weights + w.first, w.rows, w.cols}, half, panels + w.panels,
                        w.halves_transposed ? panels + w.panels_transposed : nullptr);
}

void Program::drop(const Kernels& kernels, uint64_t seed, Space space, float* vector) const {
  const int64_t name = 0;
  Packing line;  // each part is dropped like the only line of a batch
  line.rows = line.steps = line.total = line.batch_steps = 1;
  line.name = &name;
  for (const WeightDrop& d : drops_) {
    const Matrix part = {vector + d.first, 1, d.count, d.count};
    if (d.space == space) kernels.dropout(line, {part, part, d.rate, dropout_key(seed, d.salt), false, false});
  }
}

bool Program::has_gradient(int64_t first) const {
  for (const Call& call : calls_)
    for (const Argument& argument : call.arguments)
      if (argument.space == Space::gradient && argument.first == first) return true;
  return false;
}

void Program::clear(float* gradient) const {
  for (const auto& [first, count] : added_) std::fill_n(gradient + first, count, 0.0f);
}

double Program::run(const Frame& frame) const {
  double loss = 0;
  for (const Call& call : calls_) loss += run(frame, call);
  return loss;
}

// A call's arguments and attributes go into its kernel's structure one after the other: the order is that of kernels.h.
double Program::run(const Frame& frame, const Call& call) const {
  const Kernels& k = *frame.kernels;
  const Packing& packing = call.of_source ? *frame.source : *frame.packing;

  const auto lines = [&](const Buffer& b) {
    switch (b.extent) {
      case Extent::steps: return frame.packing->total;
      case Extent::source: return frame.source->total;
      case Extent::rows: break;
    }
    return packing.rows;
  };
  const auto buffer_at = [&](const Argument& a) {
    const Buffer& b = buffers_[static_cast<size_t>(a.index)];
    return (b.state ? frame.state : frame.arena) + offsets_[static_cast<size_t>(a.index)] + a.first;
  };
  const auto m = [&](size_t i) -> Matrix {
    const Argument& a = call.arguments[i];
    switch (a.space) {
      case Space::none: return {};
      case Space::buffer: {
        const Buffer& b = buffers_[static_cast<size_t>(a.index)];
        return {buffer_at(a), lines(b), a.cols, b.width};
      }
      // Kernels only read through arguments that their contract calls inputs.
      case Space::weight: return {const_cast<float*>(frame.weights) + a.first, a.rows, a.cols, a.cols};
      case Space::gradient: return {frame.gradient + a.first, a.rows, a.cols, a.cols};
    }
    return {};
  };
  const auto index = [&](size_t i) -> IndexMatrix {
    const Argument& a = call.arguments[i];
    const Buffer& b = buffers_[static_cast<size_t>(a.index)];
    return {reinterpret_cast<const int32_t*>(buffer_at(a)), lines(b), a.cols, b.width};
  };
  const auto weight = [&](size_t i) -> Weight {
    const Argument& a = call.arguments[i];
    Weight w = {frame.weights + a.first, a.rows, a.cols, nullptr, nullptr, false, bf16_};
    if (frame.panels && a.packed >= 0) {
      const PackedWeight& packed = packed_[static_cast<size_t>(a.packed)];
      w.halves = frame.one_row && packed.halves;
      if (packed.panels >= 0) w.panels = frame.panels + packed.panels;
      if (packed.panels_transposed >= 0) w.panels_transposed = frame.panels + packed.panels_transposed;
    }
    return w;
  };
  const auto flag = [&](size_t i) { return call.attributes[i] != 0.0f; };
  const auto number = [&](size_t i) { return static_cast<int64_t>(call.attributes[i]); };
  const auto function = [&] { return static_cast<Function>(static_cast<int>(call.attributes[0])); };
  const auto loss = [&](LossKind kind) {
    return k.loss({m(0), m(1), m(2), m(3), kind, frame.loss_scale, call.attributes.data(),
                   static_cast<int64_t>(call.attributes.size())});
  };
  const auto dropout = [&](bool accumulate) {
    const uint64_t key = dropout_key(frame.seed, static_cast<uint64_t>(number(1)));
    k.dropout(packing, {m(0), m(1), call.attributes[0], key, flag(2), accumulate});
  };

  switch (call.kernel) {
    case Kernel::lstm_forward:
      k.lstm_forward(packing, {m(0), weight(1), weight(2), m(3), m(4), m(5), m(6), m(7), m(8), m(9), m(10), m(11),
                               m(12), m(13), m(14), flag(0), number(1), flag(2), call.attributes[3], frame.share});
      return 0;
    case Kernel::lstm_backward:
      k.lstm_backward(packing, {m(0),  weight(1), weight(2), m(3),    m(4),      m(5),    m(6),     m(7),
                                m(8),  m(9),      m(10),     m(11),   m(12),     m(13),   m(14),    m(15),
                                m(16), m(17),     m(18),     m(19),   m(20),     m(21),   m(22),    flag(0),
                                number(1), flag(2), frame.add || call.again, frame.share});
      return 0;
    case Kernel::dense_forward: k.dense_forward({m(0), weight(1), m(2), m(3), flag(0)}); return 0;
    case Kernel::dense_backward:
      k.dense_backward({m(0), weight(1), m(2), m(3), m(4), m(5), flag(0), flag(1), frame.add || call.again});
      return 0;
    case Kernel::embedding_forward: k.embedding_forward({index(0), m(1), m(2)}); return 0;
    case Kernel::embedding_backward: k.embedding_backward({index(0), m(1), m(2)}); return 0;
    case Kernel::layer_norm_forward: k.layer_norm_forward({m(0), m(1), m(2), m(3), m(4), call.attributes[0]}); return 0;
    case Kernel::layer_norm_backward:
      k.layer_norm_backward({m(0), m(1), m(2), m(3), m(4), m(5), m(6), flag(0)});
      return 0;
    case Kernel::dropout_forward: dropout(false); return 0;
    case Kernel::dropout_backward: dropout(flag(3)); return 0;
    case Kernel::weight_drop_forward:
    case Kernel::weight_drop_backward: return 0;  // not among the calls: see drop()
    case Kernel::activation_forward: k.activation_forward({m(0), m(1), function()}); return 0;
    case Kernel::activation_backward: k.activation_backward({m(0), m(1), m(2), function(), flag(1)}); return 0;
    case Kernel::softmax_forward: k.softmax({m(0), m(1)}); return 0;
    case Kernel::add: k.add({m(0), m(1), m(2)}); return 0;
    case Kernel::broadcast_forward: k.broadcast_forward({m(0), m(1)}); return 0;
    case Kernel::broadcast_backward: k.broadcast_backward({m(0), m(1)}); return 0;
    case Kernel::last_forward: k.last_forward(packing, {m(0), m(1), flag(0)}); return 0;
    case Kernel::last_backward: k.last_backward(packing, {m(0), m(1), flag(0), flag(1)}); return 0;
    case Kernel::mean_forward: k.mean_forward(packing, {m(0), m(1)}); return 0;
    case Kernel::mean_backward: k.mean_backward(packing, {m(0), m(1), flag(0)}); return 0;
    case Kernel::max_forward: k.max_forward(packing, {m(0), m(1), m(2)}); return 0;
    case Kernel::max_backward: k.max_backward(packing, {m(0), m(1), m(2), flag(0)}); return 0;
    case Kernel::transpose_forward: k.transpose_forward(packing, {m(0), m(1), number(0)}); return 0;
    case Kernel::transpose_backward: k.transpose_backward(packing, {m(0), m(1), number(0), flag(1)}); return 0;
    case Kernel::attention_forward:
      k.attention_forward(*frame.packing, *frame.source, {m(0), m(1), m(2), m(3), m(4), call.attributes[0]});
      return 0;
    case Kernel::attention_backward:
      k.attention_backward(*frame.packing, *frame.source, {m(0), m(1), m(2), m(3), m(4), m(5), m(6), m(7), m(8),
                                                           call.attributes[0], flag(1), flag(2), flag(3)});
      return 0;
    case Kernel::squared_loss: return loss(LossKind::squared);
    case Kernel::absolute_loss: return loss(LossKind::absolute);
    case Kernel::huber_loss: return loss(LossKind::huber);
    case Kernel::pinball_loss: return loss(LossKind::pinball);
    case Kernel::binary_cross_entropy: return loss(LossKind::binary);
    case Kernel::softmax_cross_entropy: return k.softmax_loss({m(0), index(1), m(2), m(3), frame.loss_scale});
    case Kernel::ctc_loss: return k.ctc_loss(packing, {m(0), index(1), m(2), m(3), m(4), frame.loss_scale});
    case Kernel::surrogate_loss:
      return k.surrogate_loss({m(0), m(1), m(2), m(3), frame.loss_scale, call.attributes[0], call.attributes[1],
                               call.attributes[2]});
  }
  return 0;
}

}  // namespace karusel
