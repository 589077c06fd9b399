// Which of two ways to do the same thing takes less time here and now.
#pragma once

#include <algorithm>
#include <chrono>

namespace karusel {

// The usual way is taken most of the time, the other one now and then, and seldom when it was slower again and again.
class Choice {
 public:
  // Does it one way or the other, as f(second) says, and notes how long each unit of its work took.
  template <class F>
  void take(int64_t work, F f) {
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    f(tries_left_ > 0 ? !second_ : second_);
    note(std::chrono::duration<double>(Clock::now() - start).count() / static_cast<double>(work));
  }

 private:
  static constexpr int TRIES = 3, SOON = 8, SELDOM = 1024;
  static constexpr double FAR_SLOWER = 2;

  void note(double time) {
    if (tries_left_ == 0) {
      usual_ = left_ >= TRIES ? time : std::min(usual_, time);
      if (--left_ == 0) tries_left_ = TRIES;
      return;
    }
    // The first try may have to wake a thread, so it counts only if nothing better follows.
    tried_ = tries_left_ == TRIES ? time : std::min(tried_, time);
    const bool given_up = tries_left_ < TRIES && time > FAR_SLOWER * usual_;
    if (--tries_left_ > 0 && !given_up) return;
    tries_left_ = 0;
    const bool better = tried_ < usual_;
    second_ = second_ != better;
    interval_ = better ? SOON : std::min(2 * interval_, SELDOM);
    left_ = interval_;
  }

  bool second_ = false;
  int interval_ = SOON, left_ = TRIES, tries_left_ = 0;
  double usual_ = 0, tried_ = 0;  // the least time of the last few
};

}  // namespace karusel
