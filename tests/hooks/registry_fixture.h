/*
 * tests/hooks/registry_fixture.h - subscriptions in a registry, without a thread and without an engine
 *
 * What     Make() adds a subscription as a PUT would ask for it; Link() and Grow() say what happened
 *          to its streams.
 */
#ifndef SL_TESTS_HOOKS_REGISTRY_FIXTURE_H
#define SL_TESTS_HOOKS_REGISTRY_FIXTURE_H

#include "base/memory.h"
#include "hooks/registry.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace sluice_test
{

inline struct sl_bytes Bytes(const std::string &text)
{
    return sl_bytes(text.data(), text.size());
}

inline std::string String(struct sl_bytes bytes)
{
    return bytes.size == 0 ? ""
                           : std::string(reinterpret_cast<const char *>(bytes.data), bytes.size);
}

constexpr char kPullWake[] = R"({"type":"pull-wake","wake_stream":"w","lease_ttl_ms":1000,)";
constexpr char kWebhook[] =
    R"({"type":"webhook","webhook":{"url":"https://x.example/"},"lease_ttl_ms":1000,)";
constexpr uint8_t kRandom[SL_WAKE_RANDOM_SIZE] = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab,
                                                   0xcd, 0xef, 0xff, 0x00, 0x10, 0x20 };
constexpr size_t kCursorsMax = 100;

class RegistryTest : public ::testing::Test
{
  protected:
    RegistryTest()
    {
        sl_registry_init(&registry_);
        registry_.cursors_max = kCursorsMax;
    }
    ~RegistryTest() override
    {
        sl_registry_deinit(&registry_);
    }

    /* `json` is one of those above, and further members and the closing brace. */
    struct sl_subscription *Make(const std::string &id, const std::string &json)
    {
        struct sl_control_body body = {};
        const char *what;
        EXPECT_EQ(sl_control_parse_subscription(Bytes(json), &body, &what), SL_OK) << what;
        auto *made =
            static_cast<struct sl_subscription *>(sl_memory_zalloc(sizeof(sl_subscription)));
        sl_subscription_init(made, Bytes(id), &body);
        sl_buffer_append_text(&made->root, "http://h/s");
        if (made->config.pattern.size > 0) {
            EXPECT_EQ(sl_glob_create(made->config.pattern, &made->glob), SL_OK);
        }
        sl_registry_add(&registry_, made);
        return made;
    }

    /* A cursor in a stream that has this tail. */
    struct sl_cursor *Link(struct sl_subscription *subscription, const std::string &name,
                           int64_t acked, uint64_t tail)
    {
        struct sl_cursor *cursor;
        EXPECT_EQ(sl_registry_link(&registry_, subscription, Bytes(name), &cursor), SL_OK);
        cursor->stream->id = 7;
        cursor->stream->tail = tail;
        cursor->is_explicit = true;
        sl_cursor_place(cursor, acked);
        sl_subscription_check(subscription);
        return cursor;
    }

    static void Grow(struct sl_cursor *cursor, uint64_t tail)
    {
        cursor->stream->tail = tail;
        sl_cursor_update(cursor);
        sl_subscription_check(cursor->subscription);
    }

    struct sl_registry registry_;
};

} // namespace sluice_test

#endif
