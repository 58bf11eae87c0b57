#include "hooks/registry.h"

#include "hooks/registry_fixture.h"

#include <algorithm>

using namespace sluice_test;

namespace
{

using Strings = std::vector<std::string>;

const std::string kOne = "x/1", kTwo = "x/second";

class Registry : public RegistryTest
{
  protected:
    struct sl_subscription *Pattern(const std::string &id, const std::string &pattern)
    {
        return Make(id, std::string(kPullWake) + "\"pattern\":\"" + pattern + "\"}");
    }

    /* The ids of those whose pattern matches, sorted. */
    Strings Matches(const std::string &name)
    {
        Strings ids;
        compared_ = sl_registry_match(
            &registry_, Bytes(name),
            [](void *context, struct sl_subscription *subscription) {
                static_cast<Strings *>(context)->push_back(
                    String(sl_buffer_bytes(&subscription->id)));
            },
            &ids);
        std::sort(ids.begin(), ids.end());
        return ids;
    }

    size_t compared_ = 0; /* patterns, by the last Matches() */
};

TEST_F(Registry, FindsSubscriptionsById)
{
    struct sl_subscription *a = Pattern("a", "x/*"), *b = Pattern("b", "x/*");
    EXPECT_EQ(sl_registry_find(&registry_, Bytes("a")), a);
    EXPECT_EQ(sl_registry_find(&registry_, Bytes("b")), b);
    EXPECT_EQ(sl_registry_find(&registry_, Bytes("c")), nullptr);
    sl_registry_remove(&registry_, &a);
    EXPECT_EQ(a, nullptr);
    EXPECT_EQ(sl_registry_find(&registry_, Bytes("a")), nullptr);
    EXPECT_EQ(sl_registry_find(&registry_, Bytes("b")), b);
}

TEST_F(Registry, MatchesPatternsThatBeginAsTheNameDoes)
{
    Pattern("all", "**");
    Pattern("one", "*");
    Pattern("two", "*/b");
    Pattern("literal", "a/b");
    Pattern("below", "a/b/**");
    Pattern("child", "a/*");
    Pattern("other", "ab/*");
    EXPECT_EQ(Matches("a"), (Strings{ "all", "one" }));
    EXPECT_EQ(compared_, 4u) << "and those that begin with its first segment";
    EXPECT_EQ(Matches("a/b"), (Strings{ "all", "below", "child", "literal", "two" }));
    EXPECT_EQ(Matches("a/b/c/d"), (Strings{ "all", "below" }));
    EXPECT_EQ(Matches("ab/c"), (Strings{ "all", "other" }));
}

TEST_F(Registry, ForgetsThePatternOfARemovedSubscription)
{
    struct sl_subscription *a = Pattern("a", "x/*");
    Pattern("b", "x/*");
    sl_registry_remove(&registry_, &a);
    EXPECT_EQ(Matches("x/y"), Strings{ "b" });
    EXPECT_EQ(registry_.patterns.count, 1u);
}

TEST_F(Registry, KeepsAStreamAsLongAsSomebodyLinksIt)
{
    struct sl_subscription *a = Pattern("a", "x/*"), *b = Pattern("b", "x/*");
    struct sl_cursor *in_a = Link(a, "x/1", 0, 0);
    Link(b, "x/1", 0, 0);
    EXPECT_EQ(registry_.cursor_count, 2u);
    struct sl_cursor *again;
    ASSERT_EQ(sl_registry_link(&registry_, a, Bytes("x/1"), &again), SL_OK);
    EXPECT_EQ(again, in_a);
    EXPECT_EQ(registry_.cursor_count, 2u);
    sl_registry_unlink(&registry_, &in_a);
    EXPECT_NE(sl_registry_find_stream(&registry_, Bytes("x/1")), nullptr);
    sl_registry_remove(&registry_, &b);
    EXPECT_EQ(sl_registry_find_stream(&registry_, Bytes("x/1")), nullptr);
    EXPECT_EQ(registry_.cursor_count, 0u);
    EXPECT_EQ(String(sl_buffer_bytes(&a->unlinked)), "\"x/1\"");
}

TEST_F(Registry, RefusesALinkTooMany)
{
    struct sl_subscription *a = Pattern("a", "x/*");
    for (size_t i = 0; i < kCursorsMax - 1; i++)
        Link(a, "x/" + std::to_string(i), 0, 0);
    struct sl_cursor *last = Link(a, "last", 0, 0);
    struct sl_cursor *cursor;
    EXPECT_EQ(sl_registry_link(&registry_, a, Bytes("one more"), &cursor), SL_ERR_TOO_MANY_LINKS);
    EXPECT_EQ(cursor, nullptr);
    EXPECT_EQ(sl_registry_link(&registry_, a, Bytes("last"), &cursor), SL_OK);
    EXPECT_EQ(cursor, last);
    sl_registry_unlink(&registry_, &last);
    EXPECT_EQ(sl_registry_link(&registry_, a, Bytes("one more"), &cursor), SL_OK);
}

TEST_F(Registry, OnlyNewLinksNeedRoom)
{
    struct sl_subscription *a = Pattern("a", "x/*"), *b = Pattern("b", "x/*");
    Link(a, kOne, 0, 0);
    const struct sl_bytes names[] = { Bytes(kOne), Bytes(kTwo) };
    registry_.cursors_max = 2;
    EXPECT_EQ(sl_registry_check_room(&registry_, 0, a, names, 2), SL_OK);
    EXPECT_EQ(sl_registry_check_room(&registry_, 0, b, names, 2), SL_ERR_TOO_MANY_LINKS);
    EXPECT_EQ(sl_registry_check_room(&registry_, 0, nullptr, names, 2), SL_ERR_TOO_MANY_LINKS);
    Link(a, kTwo, 0, 0);
    registry_.cursors_max = registry_.bytes_max = 1; /* as after a start that read more */
    EXPECT_EQ(sl_registry_check_room(&registry_, 0, a, names, 2), SL_OK);
    EXPECT_EQ(sl_registry_check_room(&registry_, 1, a, names, 2), SL_ERR_MEMORY_LIMIT_EXCEEDED);
}

TEST_F(Registry, CountsTheBytesOfAllThatItHolds)
{
    struct sl_subscription *a = Pattern("a", "x/*"), *b = Pattern("b", "x/*");
    size_t alone = registry_.bytes;
    EXPECT_EQ(alone, sl_registry_size_of(&registry_, a) + sl_registry_size_of(&registry_, b));
    Link(a, "x/1", 0, 0);
    size_t one = registry_.bytes - alone;
    struct sl_cursor *in_b = Link(b, "x/1", 0, 0);
    EXPECT_EQ(registry_.bytes, alone + one + sizeof(struct sl_cursor)) << "the name is shared";
    sl_registry_unlink(&registry_, &in_b);
    EXPECT_EQ(registry_.bytes, alone + one + b->unlinked.capacity) << "until that is written";
    sl_buffer_deinit(&b->unlinked);
    sl_registry_note_size(&registry_, b);
    EXPECT_EQ(registry_.bytes, alone + one);
    sl_registry_remove(&registry_, &a);
    sl_registry_remove(&registry_, &b);
    EXPECT_EQ(registry_.bytes, 0u);
}

TEST_F(Registry, RefusesAByteTooMany)
{
    struct sl_subscription *a = Pattern("a", "x/*");
    const size_t more = 1000;
    registry_.bytes_max = registry_.bytes + more;
    EXPECT_EQ(sl_registry_check_room(&registry_, more - 1, nullptr, nullptr, 0), SL_OK);
    EXPECT_EQ(sl_registry_check_room(&registry_, more, nullptr, nullptr, 0), SL_OK);
    EXPECT_EQ(sl_registry_check_room(&registry_, more + 1, nullptr, nullptr, 0),
              SL_ERR_MEMORY_LIMIT_EXCEEDED);
    const struct sl_bytes names[] = { Bytes(kOne), Bytes(kTwo) };
    const size_t links =
        2 * (sizeof(struct sl_cursor) + sizeof(struct sl_followed)) + kOne.size() + kTwo.size();
    EXPECT_EQ(sl_registry_check_room(&registry_, more - links, nullptr, names, 2), SL_OK);
    EXPECT_EQ(sl_registry_check_room(&registry_, more - links + 1, nullptr, names, 2),
              SL_ERR_MEMORY_LIMIT_EXCEEDED);
    struct sl_cursor *cursor;
    ASSERT_EQ(sl_registry_link(&registry_, a, names[0], &cursor), SL_OK);
    ASSERT_EQ(sl_registry_link(&registry_, a, names[1], &cursor), SL_OK);
    EXPECT_EQ(registry_.bytes, registry_.bytes_max - more + links) << "as was foretold";
}

TEST_F(Registry, RefusesALinkBeyondItsBytes)
{
    struct sl_subscription *a = Pattern("a", "x/*");
    const size_t size = sizeof(struct sl_cursor) + sizeof(struct sl_followed) + kOne.size();
    struct sl_cursor *cursor;
    registry_.bytes_max = registry_.bytes + size - 1;
    EXPECT_EQ(sl_registry_link(&registry_, a, Bytes(kOne), &cursor), SL_ERR_MEMORY_LIMIT_EXCEEDED);
    EXPECT_EQ(cursor, nullptr);
    EXPECT_EQ(a->cursor_count, 0u);
    registry_.bytes_max++;
    EXPECT_EQ(sl_registry_link(&registry_, a, Bytes(kOne), &cursor), SL_OK);
    EXPECT_EQ(registry_.bytes, registry_.bytes_max);
    EXPECT_EQ(sl_registry_link(&registry_, a, Bytes(kOne), &cursor), SL_OK) << "it is there";
    EXPECT_EQ(sl_registry_link(&registry_, a, Bytes(kTwo), &cursor), SL_ERR_MEMORY_LIMIT_EXCEEDED);
}

TEST_F(Registry, KeepsNoRoomForTextsThatItDoesNotHave)
{
    std::string names;
    for (int i = 0; i < 1000; i++)
        names += "\"%C3%A4/%C3%B6\",";
    struct sl_subscription *a = Make("a", kPullWake + ("\"streams\":[" + names + "\"b\"]}"));
    EXPECT_EQ(a->config.stream_count, 2u);
    EXPECT_LT(sl_registry_size_of(&registry_, a), sizeof(struct sl_subscription) + 500);
}

TEST_F(Registry, ListsThoseWithUnreadBytesOldestFirst)
{
    struct sl_subscription *a = Pattern("a", "x/*"), *b = Pattern("b", "x/*");
    struct sl_cursor *in_a = Link(a, "x/1", 0, 0), *in_b = Link(b, "x/1", 0, 0);
    Grow(in_a, 5);
    Grow(in_b, 5);
    sl_registry_note_pending(&registry_, b, 10);
    sl_registry_note_pending(&registry_, a, 20);
    sl_registry_note_pending(&registry_, b, 30);
    EXPECT_EQ(registry_.pending_count, 2u);
    EXPECT_EQ(sl_link_first(&registry_.pending), &b->of_pending);
    EXPECT_EQ(b->pending_since_ms, 10u);
    sl_cursor_ack(in_b, 5);
    sl_registry_note_pending(&registry_, b, 40);
    EXPECT_EQ(sl_link_first(&registry_.pending), &a->of_pending);
    sl_registry_remove(&registry_, &a);
    EXPECT_EQ(registry_.pending_count, 0u);
}

} // namespace
