#include "base/metrics.h"

#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace
{

class Metrics : public ::testing::Test
{
  protected:
    void SetUp() override
    {
        registry = sl_metrics_registry_create();
        mine = sl_metrics_registry_join(registry);
    }

    void TearDown() override
    {
        sl_metrics_registry_destroy(&registry);
        EXPECT_EQ(registry, nullptr);
    }

    std::string text()
    {
        sl_buffer out = {};
        sl_metrics_render(registry, &out);
        std::string rendered(reinterpret_cast<const char *>(out.data), out.size);
        sl_buffer_deinit(&out);
        return rendered;
    }

    /* Rows by name with labels. */
    std::map<std::string, std::string> rows()
    {
        std::map<std::string, std::string> found;
        std::istringstream lines(text());
        for (std::string line; std::getline(lines, line);) {
            size_t space = line.rfind(' ');
            if (line[0] == '#')
                continue;
            EXPECT_TRUE(found.emplace(line.substr(0, space), line.substr(space + 1)).second)
                << line;
        }
        return found;
    }

    sl_metrics_registry *registry;
    sl_metrics *mine;
};

} // namespace

TEST_F(Metrics, StartAtZero)
{
    auto found = rows();
    EXPECT_EQ(found.size(), static_cast<size_t>(SL_METRIC_COUNT));
    for (const auto &row : found)
        EXPECT_EQ(row.second, "0") << row.first;
}

TEST_F(Metrics, SumOfAllThreads)
{
    sl_metrics *other = sl_metrics_registry_join(registry);
    ASSERT_NE(other, mine);
    sl_metrics_add(mine, SL_METRIC_BYTES_IN, 5);
    sl_metrics_add(mine, SL_METRIC_BYTES_IN, 6);
    sl_metrics_add(other, SL_METRIC_BYTES_IN, UINT64_C(10000000000));
    EXPECT_EQ(rows()["sluice_appended_bytes_total"], "10000000011");
}

TEST_F(Metrics, GaugesFallAlsoInAnotherThreadThanTheyRose)
{
    sl_metrics *other = sl_metrics_registry_join(registry);
    sl_metrics_add(mine, SL_METRIC_CONNECTIONS_OPEN, 3);
    sl_metrics_subtract(other, SL_METRIC_CONNECTIONS_OPEN, 2);
    EXPECT_EQ(rows()["sluice_connections_open"], "1");
    sl_metrics_set(mine, SL_METRIC_CONNECTIONS_OPEN, 9);
    EXPECT_EQ(rows()["sluice_connections_open"], "7");
}

TEST_F(Metrics, RequestsCountByOperationAndStatus)
{
    sl_metrics *other = sl_metrics_registry_join(registry);
    sl_metrics_request(mine, SL_METRIC_OPERATION_APPEND, 204);
    sl_metrics_request(other, SL_METRIC_OPERATION_APPEND, 204);
    sl_metrics_request(mine, SL_METRIC_OPERATION_APPEND, 409);
    sl_metrics_request(mine, SL_METRIC_OPERATION_LONG_POLL, 204);
    auto found = rows();
    EXPECT_EQ(found.size(), SL_METRIC_COUNT + 3u) << "rows of zero are not printed";
    EXPECT_EQ(found["sluice_requests_total{operation=\"append\",status=\"204\"}"], "2");
    EXPECT_EQ(found["sluice_requests_total{operation=\"append\",status=\"409\"}"], "1");
    EXPECT_EQ(found["sluice_requests_total{operation=\"long_poll\",status=\"204\"}"], "1");
}

TEST_F(Metrics, EveryStatusHasItsRowAndTheRestShareOne)
{
    for (int status = 0; status < 1000; status++)
        sl_metrics_request(mine, SL_METRIC_OPERATION_OTHER, status);
    sl_metrics_request(mine, SL_METRIC_OPERATION_OTHER, -1);
    auto found = rows();
    const std::string prefix = "sluice_requests_total{operation=\"other\",status=\"";
    for (int status : { 200, 201, 204, 304, 400, 401, 403, 404, 405, 409, 410, 413, 414, 429, 500,
                        501, 503, 507 })
        EXPECT_EQ(found[prefix + std::to_string(status) + "\"}"], "1");
    EXPECT_EQ(found[prefix + "other\"}"], std::to_string(1001 - 18));
}

TEST_F(Metrics, EveryNameIsIntroducedOnceBeforeItsRows)
{
    sl_metrics_request(mine, SL_METRIC_OPERATION_READ, 200);
    std::map<std::string, int> helps, types;
    std::string name, type;
    std::istringstream lines(text());
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string first, second, third;
        words >> first >> second;
        if (first == "#" && second == "HELP") {
            words >> name >> third;
            EXPECT_FALSE(third.empty()) << line;
            EXPECT_EQ(++helps[name], 1) << line;
        } else if (first == "#" && second == "TYPE") {
            words >> third >> type;
            EXPECT_EQ(third, name);
            EXPECT_TRUE(type == "counter" || type == "gauge") << line;
            EXPECT_EQ(++types[name], 1) << line;
        } else {
            EXPECT_EQ(line.substr(0, line.find_first_of("{ ")), name);
            bool total = name.size() > 6 && name.substr(name.size() - 6) == "_total";
            EXPECT_EQ(total, type == "counter") << line;
        }
    }
    EXPECT_EQ(text().back(), '\n');
    EXPECT_EQ(types["sluice_live_readers"], 1);
    auto found = rows();
    EXPECT_EQ(found.count("sluice_live_readers{kind=\"sse\"}"), 1u);
    EXPECT_EQ(found.count("sluice_live_readers{kind=\"long_poll\"}"), 1u);
}

TEST_F(Metrics, RenderAppends)
{
    sl_buffer out = {};
    sl_buffer_append_text(&out, "before\n");
    sl_metrics_render(registry, &out);
    EXPECT_EQ(memcmp(out.data, "before\n# HELP ", 14), 0);
    sl_buffer_deinit(&out);
}

TEST_F(Metrics, CanBeReadWhileThreadsCountAndJoin)
{
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++) {
        threads.emplace_back([this] {
            sl_metrics *metrics = sl_metrics_registry_join(registry);
            for (int n = 0; n < 50000; n++)
                sl_metrics_add(metrics, SL_METRIC_DUPLICATES, 1);
        });
    }
    uint64_t before = 0;
    for (int i = 0; i < 20; i++) {
        uint64_t now = std::stoull(rows()["sluice_duplicate_appends_total"]);
        EXPECT_GE(now, before);
        before = now;
    }
    for (std::thread &thread : threads)
        thread.join();
    EXPECT_EQ(rows()["sluice_duplicate_appends_total"], "200000");
}
