// The engine without Python: kernels against their obvious versions, whole programs against finite
// differences and against themselves on other numbers of threads. Run under sanitizers by ./dev sanitize.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <thread>
#include <vector>

#include "karusel/executor.h"
#include "karusel/stepper.h"
#include "karusel/threads.h"

using namespace karusel;

namespace {

int failures = 0;

void check(bool ok, const char* what) {
  if (!ok) {
    std::printf("FAILED: %s\n", what);
    ++failures;
  }
}

// Numbers in [-1, 1), the same on every machine.
struct Random {
  uint64_t state = 1;
  float next() {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<float>(static_cast<int64_t>(state >> 33) - (1 << 30)) / static_cast<float>(1 << 30);
  }
};

std::vector<float> numbers(Random& random, int64_t n) {
  // Tiles read up to 16 floats behind a weight.
  std::vector<float> v(static_cast<size_t>(n) + 16);
  for (int64_t i = 0; i < n; ++i) v[static_cast<size_t>(i)] = random.next();
  return v;
}

Matrix matrix(std::vector<float>& v, int64_t rows, int64_t cols) { return {v.data(), rows, cols, cols}; }

void test_dense() {
  Random random;
  for (int64_t lines : {1, 2, 3, 4, 7, 13, 40, 400})
    for (int64_t I : {1, 5, 17, 130})
      for (int64_t O : {1, 3, 16, 50, 129, 260})
        for (bool panels : {false, true}) {
          auto x = numbers(random, lines * I), W = numbers(random, I * O), b = numbers(random, O);
          auto y = numbers(random, lines * O), dy = numbers(random, lines * O), dx = numbers(random, lines * I);
          auto dW = numbers(random, I * O), db = numbers(random, O);
          const int64_t P = kernels().panel;
          const double most = 1.5e-7 * static_cast<double>(std::max({lines, I, O}));  // of the longest sum's terms
          std::vector<float> plain(static_cast<size_t>((O + P - 1) / P * P * I)),
              turned(static_cast<size_t>((I + P - 1) / P * P * O));
          Weight weight = {W.data(), I, O, nullptr, nullptr};
          if (panels) {
            kernels().pack(weight, plain.data());
            kernels().pack_transposed(weight, turned.data());
            weight.panels = plain.data();
            weight.panels_transposed = turned.data();
          }
          const auto dW_before = dW, dx_before = dx;
          kernels().dense_forward({matrix(x, lines, I), weight, matrix(b, 1, O), matrix(y, lines, O)});
          kernels().dense_backward({matrix(x, lines, I), weight, matrix(dy, lines, O), matrix(dx, lines, I),
                                    matrix(dW, I, O), matrix(db, 1, O), true});
          double worst = 0;
          for (int64_t r = 0; r < lines; ++r)
            for (int64_t o = 0; o < O; ++o) {
              double sum = static_cast<double>(b[static_cast<size_t>(o)]);
              for (int64_t i = 0; i < I; ++i)
                sum += static_cast<double>(x[static_cast<size_t>(r * I + i)]) *
                       static_cast<double>(W[static_cast<size_t>(i * O + o)]);
              worst = std::fmax(worst, std::fabs(sum - static_cast<double>(y[static_cast<size_t>(r * O + o)])));
            }
          for (int64_t i = 0; i < I; ++i)
            for (int64_t o = 0; o < O; ++o) {
              double sum = static_cast<double>(dW_before[static_cast<size_t>(i * O + o)]);
              for (int64_t r = 0; r < lines; ++r)
                sum += static_cast<double>(x[static_cast<size_t>(r * I + i)]) *
                       static_cast<double>(dy[static_cast<size_t>(r * O + o)]);
              worst = std::fmax(worst, std::fabs(sum - static_cast<double>(dW[static_cast<size_t>(i * O + o)])));
            }
          for (int64_t r = 0; r < lines; ++r)
            for (int64_t i = 0; i < I; ++i) {
              double sum = static_cast<double>(dx_before[static_cast<size_t>(r * I + i)]);
              for (int64_t o = 0; o < O; ++o)
                sum += static_cast<double>(dy[static_cast<size_t>(r * O + o)]) *
                       static_cast<double>(W[static_cast<size_t>(i * O + o)]);
              worst = std::fmax(worst, std::fabs(sum - static_cast<double>(dx[static_cast<size_t>(r * I + i)])));
            }
          check(worst < most, "dense against sums of products");

          // The transpose of the weight, transposed, is the weight.
          std::vector<float> turned_W(W.size() + 16), turned_dW(static_cast<size_t>(I * O)), again(y.size()),
              again_dx = dx_before, again_db(static_cast<size_t>(O));
          for (int64_t i = 0; i < I; ++i)
            for (int64_t o = 0; o < O; ++o) {
              turned_W[static_cast<size_t>(o * I + i)] = W[static_cast<size_t>(i * O + o)];
              turned_dW[static_cast<size_t>(o * I + i)] = dW_before[static_cast<size_t>(i * O + o)];
            }
          Weight turned_weight = {turned_W.data(), O, I, nullptr, nullptr};
          if (weight.panels) {
            turned_weight.panels = turned.data();
            turned_weight.panels_transposed = plain.data();
          }
          kernels().dense_forward(
              {matrix(x, lines, I), turned_weight, matrix(b, 1, O), matrix(again, lines, O), true});
          kernels().dense_backward({matrix(x, lines, I), turned_weight, matrix(dy, lines, O),
                                    matrix(again_dx, lines, I), matrix(turned_dW, O, I), matrix(again_db, 1, O), true,
                                    true});
          worst = 0;
          for (size_t k = 0; k < static_cast<size_t>(lines * O); ++k)
            worst = std::fmax(worst, static_cast<double>(std::fabs(again[k] - y[k])));
          for (size_t k = 0; k < static_cast<size_t>(lines * I); ++k)
            worst = std::fmax(worst, static_cast<double>(std::fabs(again_dx[k] - dx[k])));
          for (int64_t i = 0; i < I; ++i)
            for (int64_t o = 0; o < O; ++o)
              worst = std::fmax(worst, static_cast<double>(std::fabs(turned_dW[static_cast<size_t>(o * I + i)] -
                                                                     dW[static_cast<size_t>(i * O + o)])));
          check(worst < most, "dense with the weight transposed");
        }
}

// LSTM(H), last output, Dense(1), squared error, on ragged rows; buffers as the planner would place them.
struct Network {
  int64_t I, H, max_steps, slice_rows;
  int64_t n_weights() const { return 4 * H * (I + H + 1) + H + 1; }

  Program program() const {
    enum { X, GATES, C, HS, LAST, SUM, CARRY, Y, DY, DLAST, TARGET };
    const std::vector<std::pair<Extent, int64_t>> shapes = {
        {Extent::steps, I}, {Extent::steps, 4 * H}, {Extent::steps, H}, {Extent::steps, H},
        {Extent::rows, H},  {Extent::rows, H},      {Extent::rows, H},  {Extent::rows, 1},
        {Extent::rows, 1},  {Extent::rows, H},      {Extent::rows, 1}};
    std::vector<Buffer> buffers;
    std::vector<int64_t> offsets;
    int64_t size = 0;
    for (const auto& [extent, width] : shapes) {
      buffers.push_back({extent, width, false});
      offsets.push_back(size);
      size += (width * slice_rows * (extent == Extent::steps ? max_steps : 1) + 15) / 16 * 16;
    }
    using A = Program::ArgumentTuple;
    const auto buffer = [&](int i) { return A{1, i, 0, 0, shapes[static_cast<size_t>(i)].second}; };
    const A none = {0, 0, 0, 0, 0};
    const int64_t U = I * 4 * H, b = U + H * 4 * H, W2 = b + 4 * H, b2 = W2 + H;
    const auto part = [](int space, int64_t first, int64_t rows, int64_t cols) {
      return A{space, 0, first, rows, cols};
    };
    const std::vector<Program::CallTuple> calls = {
        {"weight_drop_forward", {part(2, U, H, 4 * H)}, {0.3f, 1}},
        {"lstm_forward",
         {buffer(X), part(2, 0, I, 4 * H), part(2, U, H, 4 * H), part(2, b, 1, 4 * H), none, none, none, none,
          buffer(GATES), none, none, buffer(C), buffer(HS), buffer(LAST), none},
         {0, 1, 1, 0}},
        {"dense_forward", {buffer(LAST), part(2, W2, H, 1), part(2, b2, 1, 1), buffer(Y)}, {0}},
        {"squared_loss", {buffer(Y), buffer(TARGET), none, buffer(DY)}, {}},
        {"dense_backward",
         {buffer(LAST), part(2, W2, H, 1), buffer(DY), buffer(DLAST), part(3, W2, H, 1), part(3, b2, 1, 1)},
         {0, 0}},
        {"lstm_backward",
         {buffer(X), part(2, 0, I, 4 * H), part(2, U, H, 4 * H), none, none, none, none, none, buffer(GATES), none,
          buffer(C), buffer(HS), none, buffer(DLAST), buffer(SUM), buffer(CARRY), none, part(3, 0, I, 4 * H),
          part(3, U, H, 4 * H), part(3, b, 1, 4 * H), none, none, none},
         {0, 1, 0}},
        {"weight_drop_backward", {part(3, U, H, 4 * H)}, {0.3f, 1}},
    };
    Program made(buffers, n_weights(), calls, kernels());
    made.place(offsets, size);
    return made;
  }
};

struct Data {
  std::vector<int64_t> lengths, x_starts, y_starts, order;
  std::vector<float> x, y;

  Data(int64_t n, int64_t I, int64_t max_steps) {
    Random random;
    int64_t at = 0;
    for (int64_t e = 0; e < n; ++e) {
      lengths.push_back(1 + (e * 7919) % max_steps);
      x_starts.push_back(at);
      y_starts.push_back(e);
      order.push_back((e * 31) % n);
      at += lengths.back() * I;
    }
    x = numbers(random, at);
    y = numbers(random, n);
    stride = I;
  }

  Examples examples() {
    Examples e;
    e.lengths = lengths.data();
    e.inputs = {{0, 0, stride, x.data(), x_starts.data(), stride}, {10, 0, 1, y.data(), y_starts.data(), 1}};
    return e;
  }
  Selection all() const { return {order.data(), static_cast<int64_t>(order.size())}; }

  int64_t stride = 0;
};

void test_gradient_by_finite_differences() {
  const Network network = {2, 5, 6, 16};
  Data data(19, network.I, network.max_steps);
  Executor executor(network.program(), network.slice_rows, network.max_steps, 0, 2);
  Random random;
  auto weights = numbers(random, network.n_weights());
  std::vector<float> gradient(weights.size()), ignored(weights.size());
  executor.gradient(weights.data(), data.examples(), data.all(), 0, gradient.data());
  double worst = 0;
  for (int64_t i = 0; i < network.n_weights(); ++i) {
    const size_t at = static_cast<size_t>(i);
    const float kept = weights[at], step = 1e-2f;
    const auto loss = [&](float w) {
      weights[at] = w;
      const Total total = executor.gradient(weights.data(), data.examples(), data.all(), 0, ignored.data());
      return total.loss / total.weight;
    };
    const double slope = (loss(kept + step) - loss(kept - step)) / (2.0 * static_cast<double>(step));
    weights[at] = kept;
    worst = std::fmax(worst, std::fabs(slope - static_cast<double>(gradient[at])));
  }
  check(worst < 2e-4, "gradient against finite differences");
}

// Batches of 41 short rows, or of one long row.
std::vector<float> train(int threads, int64_t H, bool one_row = false) {
  const Network network = {3, H, one_row ? 60 : 9, 16};
  const int64_t rows = one_row ? 21 : 83, batch = one_row ? 1 : 41, batches = (rows + batch - 1) / batch;
  Data data(rows, network.I, network.max_steps);
  Executor executor(network.program(), network.slice_rows, network.max_steps, 0, threads);
  Random random;
  auto w = numbers(random, network.n_weights());
  std::vector<float> m(w.size()), v(w.size()), average(w);
  Optimizer optimizer = {w.data(), m.data(), v.data(), average.data(), 0.9f, 0.999f, 1e-8f, 0.01f, 0.9f, 0.5f, 0};
  const std::vector<float> rates(static_cast<size_t>(batches), 0.01f);
  std::vector<Total> totals(rates.size());
  for (int epoch = 0; epoch < 4; ++epoch) {
    const Progress progress =
        executor.train(optimizer, data.examples(), data.all(), batch, 0, rates.data(), 7, 1e9, totals.data());
    check(progress.finite && progress.batches == batches, "training makes its steps");
  }
  const int64_t before = executor.allocations();
  executor.train(optimizer, data.examples(), data.all(), batch, 0, rates.data(), 7, 1e9, totals.data());
  check(executor.allocations() == before, "training takes no memory after its first step");
  return w;
}

void test_threads_agree() {
  for (int64_t H : {5, 64, 96}) {
    const auto one = train(1, H);
    for (int threads : {2, 3, 8}) check(train(threads, H) == one, "one thread equals many, bit for bit");
  }
}

// Of one row, each thread has half of the units: enough of them, and of steps, for that.
void test_halves_agree() {
  for (int64_t H : {64, 70, 136}) {
    const auto one = train(1, H, true);
    for (int threads : {2, 3}) check(train(threads, H, true) == one, "one thread equals two halves, bit for bit");
  }
}

void test_callers_at_once() {
  for (bool one_row : {false, true}) {
    const auto expected = train(2, 70, one_row);
    std::vector<std::thread> callers;
    std::vector<int> same(3);
    for (size_t i = 0; i < same.size(); ++i)
      callers.emplace_back([&, i] { same[i] = train(2, 70, one_row) == expected; });
    for (auto& caller : callers) caller.join();
    for (int ok : same) check(ok, "callers at once get the same bits");
  }
}

void test_halves_hear_of_each_other() {
  for (bool share : {false, true})
    for (int round = 0; round < 200; ++round) {
      int64_t steps[2] = {0, 0};
      bool heard = true;
      in_halves(share, [&](Partner& partner) {
        for (int64_t k = 1; k <= 50; ++k) {
          for (int half = partner.first; half < partner.last; ++half) steps[half] = k;
          partner.done();
          partner.wait();
          if (steps[0] < k || steps[1] < k) heard = false;
          partner.done();
          partner.wait();
        }
      });
      check(heard && steps[0] == 50 && steps[1] == 50, "each half hears of the other's steps");
    }
}

void test_every_task_runs_once() {
  for (int round = 0; round < 2000; ++round) {
    std::vector<int> done(static_cast<size_t>(round % 37));
    parallel(1 + round % 5, static_cast<int64_t>(done.size()), [&](int64_t i, int) { ++done[static_cast<size_t>(i)]; });
    for (int count : done) check(count == 1, "every task runs once");
  }
}

void test_sampler() {
  const std::vector<float> y = {-1.0f, 2.0f, 0.5f, 2.0f, -3.0f};
  const auto drawn = [&](Sampling sampling) {
    sampling.key = 7;
    Sampler sampler(sampling, static_cast<int64_t>(y.size()));
    std::vector<int> count(y.size());
    for (uint64_t step = 0; step < 3000; ++step) {
      float next[5];
      sampler.draw(y.data(), step, next);
      int32_t symbol;
      std::memcpy(&symbol, next, sizeof symbol);
      for (size_t j = 0; j < y.size(); ++j)
        count[j] += sampling.draw == Draw::notes ? next[j] != 0.0f : symbol == static_cast<int32_t>(j);
    }
    return count;
  };
  for (const int count : drawn({})) check(count > 0, "every symbol is drawn");
  check(drawn({Draw::symbol, 0.0})[1] == 3000, "temperature 0 takes the first of the likeliest");
  const auto two = drawn({Draw::symbol, 1.0, 2});
  check(two[1] + two[3] == 3000 && two[1] > 1300 && two[3] > 1300, "top_k leaves the likeliest");
  const auto nucleus = drawn({Draw::symbol, 1.0, 0, 0.9});
  check(nucleus[0] == 0 && nucleus[2] > 0 && nucleus[4] == 0, "top_p leaves the nucleus");
  const auto notes = drawn({Draw::notes});
  check(notes[1] > 2500 && notes[3] > 2500 && notes[4] < 300, "notes are drawn each by itself");
}

void test_stepper(int64_t rows, int64_t H) {
  const int64_t I = 3, steps = 40;
  std::vector<Buffer> buffers = {{Extent::steps, I, false}, {Extent::rows, 4 * H, false}, {Extent::steps, H, false},
                                 {Extent::steps, H, false}, {Extent::rows, H, true},      {Extent::rows, H, true}};
  const int64_t U = I * 4 * H, b = U + H * 4 * H, n = b + 4 * H;
  const std::vector<Program::CallTuple> calls = {{"lstm_forward",
                                                  {{1, 0, 0, 0, I},
                                                   {2, 0, 0, I, 4 * H},
                                                   {2, 0, U, H, 4 * H},
                                                   {2, 0, b, 1, 4 * H},
                                                   {0, 0, 0, 0, 0},
                                                   {1, 4, 0, 0, H},
                                                   {1, 5, 0, 0, H},
                                                   {0, 0, 0, 0, 0},
                                                   {1, 1, 0, 0, 4 * H},
                                                   {0, 0, 0, 0, 0},
                                                   {0, 0, 0, 0, 0},
                                                   {1, 2, 0, 0, H},
                                                   {1, 3, 0, 0, H},
                                                   {1, 4, 0, 0, H},
                                                   {1, 5, 0, 0, H}},
                                                  {0, 1, 0, 0}}};
  std::vector<int64_t> offsets;
  int64_t arena = 0, state = 0;
  for (const Buffer& buffer : buffers) {
    const int64_t size = (buffer.width * rows * (buffer.extent == Extent::steps ? steps : 1) + 15) / 16 * 16;
    offsets.push_back(buffer.state ? state : arena);
    (buffer.state ? state : arena) += size;
  }
  Random random;
  const auto weights = numbers(random, n);
  auto x = numbers(random, rows * steps * I);
  const auto made = [&] {
    Program program(buffers, n, calls, kernels());
    program.place(offsets, arena);
    return Stepper(std::move(program), weights.data(), rows, steps, state, 0, 3, 2);
  };
  Stepper whole = made(), single = made();
  std::vector<float> all(static_cast<size_t>(rows * steps * H)), one(static_cast<size_t>(rows * H)),
      now(static_cast<size_t>(rows * I));
  whole.run(x.data(), steps, 0, steps, all.data());
  double worst = 0;
  for (int64_t t = 0; t < steps; ++t) {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t i = 0; i < I; ++i)
        now[static_cast<size_t>(r * I + i)] = x[static_cast<size_t>((r * steps + t) * I + i)];
    single.run(now.data(), 1, 0, 1, one.data());
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t h = 0; h < H; ++h)
        worst = std::fmax(worst, std::fabs(static_cast<double>(one[static_cast<size_t>(r * H + h)]) -
                                           static_cast<double>(all[static_cast<size_t>((r * steps + t) * H + h)])));
  }
  check(worst < 1e-6, "single steps equal the chunk");

  Stepper pieces = made();
  std::vector<float> parts(all.size());
  for (int64_t first = 0; first < steps; first += 7)
    pieces.run(x.data(), steps, first, std::min(first + 7, steps), parts.data());
  check(parts == all, "pieces of a run fill their part of y");
  check(std::equal(pieces.state(), pieces.state() + state, whole.state()), "pieces leave the state of the whole");

  // An arena for fewer steps: the run is cut into chunks inside.
  int64_t small_arena = 0;
  for (size_t i = 0; i < buffers.size(); ++i) {
    if (buffers[i].state) continue;
    offsets[i] = small_arena;
    small_arena += (buffers[i].width * rows * (buffers[i].extent == Extent::steps ? 6 : 1) + 15) / 16 * 16;
  }
  Program program(buffers, n, calls, kernels());
  program.place(offsets, small_arena);
  Stepper chunks(std::move(program), weights.data(), rows, 6, state, 0, 3, 2);
  chunks.run(x.data(), steps, 0, steps, parts.data());
  check(parts == all, "chunks inside a run equal one chunk");
}

}  // namespace

int main() {
  for (const auto& [name, test] : std::vector<std::pair<const char*, std::function<void()>>>{
           {"dense", test_dense},
           {"sampler", test_sampler},
           {"gradient", test_gradient_by_finite_differences},
           {"tasks", test_every_task_runs_once},
           {"threads", test_threads_agree},
           {"partners", test_halves_hear_of_each_other},
           {"halves", test_halves_agree},
           {"callers", test_callers_at_once},
           {"stepper", [] { test_stepper(5, 21); }},
           {"one row", [] { test_stepper(1, 72); }},
       }) {
    const int before = failures;
    test();
    std::printf("%-10s %s\n", name, failures == before ? "ok" : "FAILED");
  }
  std::printf("level %s\n", kernels().level);
  return failures == 0 ? 0 : 1;
}
