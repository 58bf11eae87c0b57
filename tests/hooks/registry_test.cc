#include "hooks/registry.h"

#include "hooks/registry_fixture.h"

#include <algorithm>

using namespace sluice_test;

namespace
{

using Strings = std::vector<std::string>;

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
        sl_registry_match(
            &registry_, Bytes(name),
            [](void *context, struct sl_subscription *subscription) {
                static_cast<Strings *>(context)->push_back(
                    String(sl_buffer_bytes(&subscription->id)));
            },
            &ids);
        std::sort(ids.begin(), ids.end());
        return ids;
    }
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
    EXPECT_EQ(sl_registry_link(&registry_, a, Bytes("x/1")), in_a);
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
    EXPECT_EQ(sl_registry_link(&registry_, a, Bytes("one more")), nullptr);
    EXPECT_EQ(sl_registry_link(&registry_, a, Bytes("last")), last);
    sl_registry_unlink(&registry_, &last);
    EXPECT_NE(sl_registry_link(&registry_, a, Bytes("one more")), nullptr);
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
