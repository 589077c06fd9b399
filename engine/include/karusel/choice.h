// Which of two ways to do the same thing takes less time here and now.
#pragma once

#include <algorithm>
#include <chrono>

namespace karusel {

// The way that took less time of late is taken, the other one tried now and then, and ever more seldom while it is
// slower.
class Choice {
 public:
  // Does it one way or the other, as f(second) says, and notes how long each unit of its work took.
  template <class F>
  void take(int64_t work, F f) {
    using Clock = std::chrono::steady_clock;
    const bool way = tries_left_ > 0 ? !second_ : second_;
    const auto start = Clock::now();
    f(way);
    note(way, std::chrono::duration<double>(Clock::now() - start).count() / static_cast<double>(work));
  }

 private:
  static constexpr int TRIES = 3, SOON = 8, SELDOM = 1024;
  static constexpr double NEWEST = 0.25;  // the share of the last time in the mean
  static constexpr double MOST = 3;       // means: one that another program held up says little of the next

  void note(bool way, double time) {
    double& mean = mean_[way];
    const bool woke = tries_left_ == TRIES;  // the first try may have had to wake a thread
    if (mean == 0)
      mean = time;
    else if (!woke)
      mean += NEWEST * (std::min(time, MOST * mean) - mean);

    const bool tried = tries_left_ > 0;
    if (tried && --tries_left_ > 0) return;
    const double other = mean_[!second_];
    if (other > 0 && other < mean_[second_]) {
      second_ = !second_;
      left_ = interval_ = SOON;
    } else if (tried) {
      left_ = interval_ = std::min(2 * interval_, SELDOM);
    } else if (--left_ == 0) {
      tries_left_ = TRIES;
    }
  }

  bool second_ = false;
  int interval_ = SOON, left_ = SOON, tries_left_ = 0;
  double mean_[2] = {};  // of each way; 0: not taken yet
};

}  // namespace karusel
