#include "base/timer_wheel.h"

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace
{

/* Starts of slots at every level, and their neighbours. */
std::vector<uint64_t> boundaries()
{
    std::vector<uint64_t> times;
    for (unsigned shift = 0; shift < 64; shift += 6) {
        for (uint64_t digit : { 1, 2, 63 }) {
            uint64_t time = digit << shift;
            times.insert(times.end(), { time - 1, time, time + 1 });
        }
    }
    times.push_back(UINT64_MAX - 1);
    times.push_back(UINT64_MAX);
    return times;
}

struct fired {
    std::vector<sl_timer *> timers;

    static void note(void *context, sl_timer *timer)
    {
        EXPECT_FALSE(sl_timer_is_set(timer));
        static_cast<fired *>(context)->timers.push_back(timer);
    }
};

class TimerWheel : public ::testing::Test
{
  protected:
    void SetUp() override
    {
        start_at(1000);
        for (sl_timer &timer : timers)
            sl_timer_init(&timer);
    }

    void start_at(uint64_t now_ms)
    {
        sl_timer_wheel_init(wheel.get(), now_ms);
    }

    void set(int timer, uint64_t deadline_ms)
    {
        sl_timer_set(wheel.get(), &timers[timer], deadline_ms);
    }

    /* Numbers of the timers that fire, in order. */
    std::vector<int> advance(uint64_t now_ms, size_t max = SIZE_MAX)
    {
        fired result;
        size_t count = sl_timer_wheel_advance(wheel.get(), now_ms, max, fired::note, &result);
        EXPECT_EQ(count, result.timers.size());
        std::vector<int> numbers;
        for (sl_timer *timer : result.timers)
            numbers.push_back(static_cast<int>(timer - timers));
        return numbers;
    }

    uint64_t next()
    {
        return sl_timer_wheel_next(wheel.get());
    }

    std::unique_ptr<sl_timer_wheel> wheel = std::make_unique<sl_timer_wheel>();
    sl_timer timers[8];
};

using Fired = std::vector<int>;

} // namespace

TEST_F(TimerWheel, NothingFiresWhenNothingIsSet)
{
    EXPECT_EQ(next(), UINT64_MAX);
    EXPECT_EQ(advance(UINT64_MAX), Fired{});
    EXPECT_EQ(next(), UINT64_MAX);
}

TEST_F(TimerWheel, FiresAtItsDeadlineAndOnce)
{
    set(0, 1010);
    EXPECT_TRUE(sl_timer_is_set(&timers[0]));
    EXPECT_EQ(timers[0].deadline_ms, 1010u);
    EXPECT_EQ(advance(1009), Fired{});
    EXPECT_EQ(advance(1010), Fired{ 0 });
    EXPECT_FALSE(sl_timer_is_set(&timers[0]));
    EXPECT_EQ(advance(5000), Fired{});
}

TEST_F(TimerWheel, NeverEarlyAndNeverLateFromAnyTimeToAnyTime)
{
    std::vector<uint64_t> times = boundaries();
    for (uint64_t start : times) {
        for (uint64_t deadline : times) {
            start_at(start);
            set(0, deadline);
            ASSERT_LE(next(), deadline);
            if (deadline > start) {
                ASSERT_EQ(advance(deadline - 1), Fired{}) << start << " " << deadline;
            }
            ASSERT_LE(next(), deadline);
            ASSERT_EQ(advance(std::max(start, deadline)), Fired{ 0 }) << start << " " << deadline;
            ASSERT_EQ(next(), UINT64_MAX);
        }
    }
}

TEST_F(TimerWheel, EveryDeadlineOfTwoLevelsFiresOnTime)
{
    for (uint64_t start = 4000; start < 4200; start++) {
        for (uint64_t delta = 1; delta < 200; delta++) {
            start_at(start);
            set(0, start + delta);
            ASSERT_EQ(advance(start + delta - 1), Fired{});
            ASSERT_EQ(advance(start + delta), Fired{ 0 });
        }
    }
}

TEST_F(TimerWheel, ADeadlineInThePastFiresAtTheNextAdvance)
{
    set(0, 999);
    set(1, 0);
    set(2, 1000);
    EXPECT_EQ(next(), 0u);
    EXPECT_EQ(advance(1000), (Fired{ 0, 1, 2 }));
    EXPECT_EQ(next(), UINT64_MAX);
}

TEST_F(TimerWheel, FiresInTheOrderOfDeadlines)
{
    set(0, 900000);
    set(1, 1001);
    set(2, 70000);
    set(3, 899999);
    set(4, 1064);
    EXPECT_EQ(advance(1000000), (Fired{ 1, 4, 2, 3, 0 }));
}

TEST_F(TimerWheel, ClearedTimersDoNotFire)
{
    set(0, 1010);
    set(1, 1010);
    set(2, 5000000);
    sl_timer_clear(&timers[0]);
    sl_timer_clear(&timers[2]);
    sl_timer_clear(&timers[3]);
    EXPECT_FALSE(sl_timer_is_set(&timers[0]));
    EXPECT_EQ(next(), 1010u);
    EXPECT_EQ(advance(UINT64_MAX), Fired{ 1 });
}

TEST_F(TimerWheel, NextForgetsClearedTimers)
{
    set(0, 1010);
    set(1, 5000);
    set(2, 1 << 30);
    sl_timer_clear(&timers[0]);
    sl_timer_clear(&timers[1]);
    EXPECT_GT(next(), 5000u);
    sl_timer_clear(&timers[2]);
    EXPECT_EQ(next(), UINT64_MAX);
}

TEST_F(TimerWheel, SetMovesATimerThatIsSet)
{
    set(0, 1010);
    set(0, 2000);
    EXPECT_EQ(advance(1999), Fired{});
    set(0, 3000);
    set(0, 2001);
    EXPECT_EQ(advance(2001), Fired{ 0 });
    set(0, 2500);
    set(0, 100);
    EXPECT_EQ(advance(2001), Fired{ 0 });
    EXPECT_EQ(advance(9000), Fired{});
}

TEST_F(TimerWheel, AtMostMaxFireAndTheRestAtTheNextCall)
{
    for (int i = 0; i < 5; i++)
        set(i, 1010 + static_cast<uint64_t>(i / 2) * 100);
    EXPECT_EQ(advance(2000, 0), Fired{});
    EXPECT_EQ(advance(2000, 1), Fired{ 0 });
    EXPECT_LE(next(), 2000u);
    EXPECT_EQ(advance(2000, 1), Fired{ 1 });
    EXPECT_LE(next(), 2000u) << "the rest is due, so nobody may sleep";
    /* The wheel lags behind, and still takes timers for now, and for between. */
    set(5, 1500);
    set(6, 2001);
    EXPECT_EQ(advance(2000, 2), (Fired{ 5, 2 }));
    EXPECT_EQ(advance(2000), (Fired{ 3, 4 }));
    EXPECT_EQ(advance(2000), Fired{});
    EXPECT_EQ(advance(2001), Fired{ 6 });
}

/* A million streams with one TTL can be in one slot: a call that moved them all took 180 ms. */
TEST_F(TimerWheel, OfASlotThatComesCloserACallMovesFourTimesMax)
{
    const uint64_t start = UINT64_C(1) << 24;
    std::vector<sl_timer> many(1000);
    for (sl_timer &timer : many) {
        sl_timer_init(&timer);
        sl_timer_set(wheel.get(), &timer, start + 5000);
    }
    ASSERT_EQ(next(), start);
    int calls = 0;
    do {
        EXPECT_EQ(advance(start, 10), Fired{});
        calls++;
        if (calls == 3) { /* what is still to be moved can be set and cleared like any other */
            set(0, start + 4999);
            set(1, start + 70000);
            sl_timer_set(wheel.get(), &many[998], start + 1);
            sl_timer_clear(&many[999]);
        }
    } while (next() == 0);
    EXPECT_EQ(calls, 25);

    fired result;
    while (next() <= start + 5000)
        sl_timer_wheel_advance(wheel.get(), start + 5000, 10, fired::note, &result);
    ASSERT_EQ(result.timers.size(), 1000u);
    EXPECT_EQ(result.timers[0], &many[998]);
    EXPECT_EQ(result.timers[1], &timers[0]);
    EXPECT_EQ(advance(start + 70000), Fired{ 1 });
}

TEST_F(TimerWheel, TimeThatGoesBackIsIgnored)
{
    set(0, 3000);
    EXPECT_EQ(advance(2000), Fired{});
    EXPECT_EQ(advance(500), Fired{});
    set(1, 1500);
    EXPECT_EQ(advance(0), Fired{ 1 }) << "1500 has passed already";
    EXPECT_EQ(advance(2999), Fired{});
    EXPECT_EQ(advance(3000), Fired{ 0 });
}

TEST_F(TimerWheel, ATimerThatSetsItselfFiresInALaterCall)
{
    struct again {
        sl_timer_wheel *wheel;
        uint64_t deadline_ms;

        static void fire(void *context, sl_timer *timer)
        {
            auto *self = static_cast<again *>(context);
            sl_timer_set(self->wheel, timer, self->deadline_ms);
        }
    };
    for (uint64_t deadline : { 0, 1010, 1011, 1500, 2000 }) {
        start_at(1000);
        set(0, 1010);
        again self = { wheel.get(), deadline };
        EXPECT_EQ(sl_timer_wheel_advance(wheel.get(), 2000, SIZE_MAX, again::fire, &self), 1u);
        EXPECT_EQ(next(), 0u);
        EXPECT_EQ(advance(2000), Fired{ 0 });
    }
}

TEST_F(TimerWheel, SleepingUntilNextReachesAnyDeadlineOnTimeInFewSteps)
{
    for (uint64_t start : boundaries()) {
        for (uint64_t deadline : boundaries()) {
            if (deadline <= start)
                continue;
            start_at(start);
            set(0, deadline);
            uint64_t now = start;
            int steps = 0;
            while (sl_timer_is_set(&timers[0])) {
                uint64_t then = next();
                ASSERT_GT(then, now);
                ASSERT_LE(then, deadline);
                now = then;
                advance(now);
                ASSERT_LE(++steps, SL_TIMER_WHEEL_LEVELS);
            }
            ASSERT_EQ(now, deadline);
        }
    }
}

namespace
{

/* The wheel and the same thing done in the simplest way, driven by the same random operations. */
class model
{
  public:
    explicit model(unsigned seed) : random(seed)
    {
        now = pick({ 0, 1, 63, 64, 4095, 262143, UINT64_C(1) << 41, UINT64_MAX - 100000 });
        sl_timer_wheel_init(wheel.get(), now);
        for (entry &one : entries)
            sl_timer_init(&one.timer);
    }

    void step()
    {
        switch (below(4)) {
        case 0:
        case 1:
            set(entries[below(entries.size())], some_deadline());
            break;
        case 2:
            clear(entries[below(entries.size())]);
            break;
        case 3:
            advance();
            break;
        }
        check_next();
    }

    size_t fired_total = 0;

  private:
    struct entry {
        sl_timer timer;
        bool set = false;
        bool late = false;     /* set when its deadline had passed */
        bool eligible = false; /* may fire in this advance */
        uint64_t deadline = 0;
    };

    uint64_t below(uint64_t count)
    {
        return random() % count;
    }

    uint64_t pick(std::vector<uint64_t> choices)
    {
        return choices[below(choices.size())];
    }

    /* Any order of magnitude, and often next to the border of a slot. */
    uint64_t some_distance()
    {
        uint64_t distance = random() >> below(64);
        return below(2) ? distance : distance % 300;
    }

    uint64_t some_deadline()
    {
        if (below(8) == 0)
            return now - std::min(now, below(100));
        uint64_t distance = some_distance();
        uint64_t deadline = distance > UINT64_MAX - now ? UINT64_MAX : now + distance;
        if (below(4) == 0)
            deadline &= ~((UINT64_C(1) << (6 * below(11))) - 1);
        return deadline;
    }

    void set(entry &one, uint64_t deadline)
    {
        sl_timer_set(wheel.get(), &one.timer, deadline);
        one.set = true;
        one.late = deadline <= now;
        one.eligible = false;
        one.deadline = deadline;
    }

    void clear(entry &one)
    {
        sl_timer_clear(&one.timer);
        one.set = false;
        one.eligible = false;
    }

    static void on_fire(void *context, sl_timer *timer)
    {
        static_cast<model *>(context)->fire(*reinterpret_cast<entry *>(timer));
    }

    void fire(entry &one)
    {
        ASSERT_TRUE(one.set && one.eligible);
        ASSERT_EQ(one.timer.deadline_ms, one.deadline);
        ASSERT_FALSE(sl_timer_is_set(&one.timer));
        if (!one.late) {
            ASSERT_GE(one.deadline, last_fired);
            last_fired = one.deadline;
        }
        one.set = false;
        one.eligible = false;
        fired_total++;
        if (below(4) == 0)
            set(one, some_deadline());
        if (below(4) == 0)
            set(entries[below(entries.size())], some_deadline());
        if (below(4) == 0)
            clear(entries[below(entries.size())]);
    }

    void advance()
    {
        uint64_t told = now;
        switch (below(6)) {
        case 0:
            told = now - std::min(now, below(1000));
            break;
        case 1:
            told = std::max(now, sl_timer_wheel_next(wheel.get()));
            if (told == UINT64_MAX)
                told = now;
            break;
        default:
            /* Not too far too often: the time there is has to last for all steps. */
            uint64_t distance =
                below(50) == 0 ? some_distance() >> 8 : below(300) << (6 * below(3));
            told = distance > UINT64_MAX - now ? now : now + distance;
        }
        now = std::max(now, told);
        for (entry &one : entries)
            one.eligible = one.set && one.deadline <= now;
        last_fired = 0;
        size_t max = below(2) ? SIZE_MAX : below(5);
        size_t before = fired_total;
        size_t count = sl_timer_wheel_advance(wheel.get(), told, max, on_fire, this);
        ASSERT_EQ(count, fired_total - before);
        ASSERT_LE(count, max);
        bounded = max != SIZE_MAX;
        if (!bounded || sl_timer_wheel_next(wheel.get()) > now) {
            for (const entry &one : entries)
                ASSERT_FALSE(one.eligible) << one.deadline << " did not fire at " << now;
        }
    }

    void check_next()
    {
        uint64_t first = UINT64_MAX;
        bool any = false;
        for (const entry &one : entries) {
            ASSERT_EQ(one.set, sl_timer_is_set(&one.timer));
            if (one.set)
                first = std::min(first, one.deadline);
            any = any || one.set;
        }
        uint64_t next = sl_timer_wheel_next(wheel.get());
        ASSERT_LE(next, first);
        if (!any) {
            ASSERT_EQ(next, UINT64_MAX);
        } else if (first <= now) {
            ASSERT_LE(next, now);
        } else if (!bounded) {
            ASSERT_GT(next, now) << "a loop would not sleep although nothing is due";
        }
    }

    std::mt19937_64 random;
    std::unique_ptr<sl_timer_wheel> wheel = std::make_unique<sl_timer_wheel>();
    std::vector<entry> entries = std::vector<entry>(50);
    uint64_t now;
    uint64_t last_fired = 0;
    bool bounded = false; /* the last advance may have left something to do: ask again */
};

} // namespace

TEST(TimerWheelModel, DoesWhatTheSimplestOneDoes)
{
    size_t fired_total = 0;
    for (unsigned seed = 0; seed < 200; seed++) {
        model both(seed);
        for (int i = 0; i < 5000; i++) {
            both.step();
            if (::testing::Test::HasFatalFailure())
                FAIL() << "seed " << seed << " step " << i;
        }
        fired_total += both.fired_total;
    }
    EXPECT_GT(fired_total, 100000u);
}

TEST(TimerWheelModel, ALongIdleGapIsNotTicked)
{
    auto wheel = std::make_unique<sl_timer_wheel>();
    sl_timer_wheel_init(wheel.get(), 0);
    std::vector<sl_timer> timers(1000);
    std::mt19937_64 random(1);
    for (sl_timer &timer : timers) {
        sl_timer_init(&timer);
        sl_timer_set(wheel.get(), &timer, random() | 1);
    }
    /* Ticking through 2^64 ms would take longer than anybody waits. */
    fired result;
    EXPECT_EQ(sl_timer_wheel_advance(wheel.get(), UINT64_MAX, SIZE_MAX, fired::note, &result),
              timers.size());
    EXPECT_TRUE(
        std::is_sorted(result.timers.begin(), result.timers.end(),
                       [](sl_timer *a, sl_timer *b) { return a->deadline_ms < b->deadline_ms; }));
}
