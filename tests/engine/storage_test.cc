#include "support/engine_fixture.h"

using namespace sluice_test;

/* The plain calls as an embedder writes them, one story after the other. */
class StorageTest : public EngineTest
{
  protected:
    struct sl_session *session()
    {
        return s().get();
    }
    const struct sl_bytes name_ = sl_bytes_of("jobs/7");
    const struct sl_bytes type_ = sl_bytes_of("text/plain");
};
SL_ENGINE_STORAGES(StorageTest);

TEST_P(StorageTest, CreatesAppendsReadsClosesAndDeletes)
{
    struct sl_stream_config config = {};
    config.content_type = type_;
    bool created = false;
    EXPECT_FALSE(sl_storage_exists(session(), name_));
    ASSERT_EQ(sl_storage_create_stream(session(), name_, &config, &created), SL_OK);
    EXPECT_TRUE(created);
    ASSERT_EQ(sl_storage_create_stream(session(), name_, &config, nullptr), SL_OK);
    EXPECT_TRUE(sl_storage_exists(session(), name_));

    uint64_t next = 0;
    ASSERT_EQ(sl_storage_append(session(), name_, type_, sl_bytes_of("one"), &next), SL_OK);
    EXPECT_EQ(next, 3u);
    struct sl_bytes parts[] = { sl_bytes_of("two"), sl_bytes_of("three") };
    ASSERT_EQ(sl_storage_batch_append(session(), name_, type_, parts, 2, &next), SL_OK);
    EXPECT_EQ(next, 11u);
    ASSERT_EQ(sl_storage_append(session(), name_, type_, sl_bytes_of("!"), nullptr), SL_OK);

    char buffer[64];
    size_t size = 0;
    struct sl_stream_view view;
    std::string all;
    do { /* a read may end where a segment ends */
        ASSERT_EQ(sl_storage_read(session(), name_, all.size(), false, buffer, sizeof buffer, &size,
                                  &view),
                  SL_OK);
        all.append(buffer, size);
    } while (size > 0);
    EXPECT_EQ(all, "onetwothree!");
    EXPECT_EQ(view.tail, 12u);
    ASSERT_EQ(sl_storage_read(session(), name_, 3, true, buffer, 4, &size, nullptr), SL_OK);
    EXPECT_EQ(std::string(buffer, size), "twot");

    uint64_t final_offset = 0;
    for (int i = 0; i < 2; i++)
        ASSERT_EQ(sl_storage_close_stream(session(), name_, &final_offset), SL_OK);
    EXPECT_EQ(final_offset, 12u);
    ASSERT_EQ(sl_storage_read(session(), name_, 12, true, buffer, sizeof buffer, &size, &view),
              SL_OK);
    EXPECT_EQ(size, 0u);
    EXPECT_TRUE(view.closed);
    ASSERT_EQ(sl_storage_head(session(), name_, &view), SL_OK);
    EXPECT_TRUE(view.closed);

    ASSERT_EQ(sl_storage_delete(session(), name_), SL_OK);
    EXPECT_FALSE(sl_storage_exists(session(), name_));
    EXPECT_EQ(sl_storage_delete(session(), name_), SL_ERR_NOT_FOUND);
    EXPECT_EQ(sl_storage_head(session(), name_, &view), SL_ERR_NOT_FOUND);
}

TEST_P(StorageTest, ReadsALargeStreamIntoALargeBuffer)
{
    struct sl_stream_config config = {};
    config.content_type = type_;
    std::string all;
    ASSERT_EQ(sl_storage_create_stream(session(), name_, &config, nullptr), SL_OK);
    for (int i = 0; i < 100; i++) {
        std::string data(static_cast<size_t>(7000 + i), static_cast<char>('a' + i % 26));
        ASSERT_EQ(sl_storage_append(session(), name_, type_, BytesOf(data), nullptr), SL_OK);
        all += data;
    }
    std::string buffer(all.size() + 10, 0);
    size_t done = 0, size = 0;
    while (done < all.size()) {
        ASSERT_EQ(sl_storage_read(session(), name_, done, false, &buffer[done],
                                  buffer.size() - done, &size, nullptr),
                  SL_OK);
        ASSERT_GT(size, 0u);
        done += size;
    }
    EXPECT_TRUE(buffer.substr(0, done) == all);
}

TEST_P(StorageTest, CreatesWithDataAndAppendsOnce)
{
    struct sl_stream_config config = {};
    struct sl_stream_view view;
    bool flag = false;
    uint64_t next = 0;
    ASSERT_EQ(sl_storage_create_stream_with_data(session(), name_, &config, sl_bytes_of("abc"),
                                                 false, &flag),
              SL_OK);
    EXPECT_TRUE(flag);
    struct sl_producer producer = { sl_bytes_of("p"), 0, 0 };
    for (int i = 0; i < 3; i++) {
        ASSERT_EQ(sl_storage_append_with_producer(session(), name_, sl_bytes_of(kBytes), &producer,
                                                  sl_bytes_of("d"), true, &flag, &next),
                  SL_OK);
        EXPECT_EQ(flag, i > 0);
        EXPECT_EQ(next, 4u);
    }
    ASSERT_EQ(sl_storage_head(session(), name_, &view), SL_OK);
    EXPECT_TRUE(view.closed);
    EXPECT_EQ(view.tail, 4u);
}

TEST_P(StorageTest, Forks)
{
    struct sl_stream_config config = {};
    struct sl_bytes fork = sl_bytes_of("fork"), other = sl_bytes_of("other");
    struct sl_stream_view view;
    ASSERT_EQ(sl_storage_create_stream_with_data(session(), name_, &config, sl_bytes_of("abc"),
                                                 true, nullptr),
              SL_OK);
    uint64_t offset = 1;
    bool created = false;
    ASSERT_EQ(sl_storage_create_fork(session(), fork, name_, &offset, 1, &config, &created), SL_OK);
    EXPECT_TRUE(created);
    ASSERT_EQ(sl_storage_head(session(), fork, &view), SL_OK);
    EXPECT_EQ(view.tail, 2u);
    ASSERT_EQ(sl_storage_create_fork(session(), other, name_, nullptr, 0, &config, nullptr), SL_OK);
    ASSERT_EQ(sl_storage_head(session(), other, &view), SL_OK);
    EXPECT_EQ(view.tail, 3u);
    EXPECT_FALSE(view.closed);
    ASSERT_EQ(sl_storage_delete(session(), name_), SL_OK);
    EXPECT_EQ(sl_storage_head(session(), name_, &view), SL_ERR_GONE);
    EXPECT_FALSE(sl_storage_exists(session(), name_)) << "soft-deleted";
}

TEST_P(StorageTest, ListsAndCleansUp)
{
    struct sl_stream_config config = {}, expired = {};
    expired.has_ttl = true;
    for (const char *name : { "a", "b", "c" }) {
        ASSERT_EQ(sl_storage_create_stream(session(), sl_bytes_of(name), &config, nullptr), SL_OK);
    }
    ASSERT_EQ(sl_storage_create_stream(session(), sl_bytes_of("d"), &expired, nullptr), SL_OK);
    EXPECT_FALSE(sl_storage_exists(session(), sl_bytes_of("d")));
    EXPECT_LE(sl_storage_cleanup_expired_streams(session()), 1u);
    std::vector<std::string> names;
    uint64_t cursor = 0;
    auto add = [](void *context, struct sl_bytes name) {
        static_cast<std::vector<std::string> *>(context)->emplace_back(
            reinterpret_cast<const char *>(name.data), name.size);
    };
    do
        ASSERT_EQ(sl_storage_list_streams(session(), sl_bytes_of(""), &cursor, add, &names), SL_OK);
    while (cursor != 0);
    std::sort(names.begin(), names.end());
    EXPECT_EQ(names, (std::vector<std::string>{ "a", "b", "c" }));
}
