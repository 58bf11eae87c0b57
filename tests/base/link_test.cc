#include "base/link.h"

#include <vector>

#include <gtest/gtest.h>

namespace
{

struct item {
    int before;
    sl_link link;
    int number;
};

class Link : public ::testing::Test
{
  protected:
    void SetUp() override
    {
        sl_link_init(&head);
        sl_link_init(&other);
        for (int i = 0; i < 4; i++) {
            items[i].number = i;
            sl_link_init(&items[i].link);
        }
    }

    /* The numbers from first to last; checks the way back, too. */
    static std::vector<int> numbers(sl_link *list)
    {
        std::vector<int> found;
        for (sl_link *link = list->next; link != list; link = link->next) {
            EXPECT_EQ(link->next->previous, link);
            EXPECT_EQ(link->previous->next, link);
            found.push_back(SL_OBJECT(link, item, link)->number);
        }
        return found;
    }

    sl_link head, other;
    item items[4];
};

using Numbers = std::vector<int>;

} // namespace

TEST_F(Link, StartsEmptyAndNotLinked)
{
    EXPECT_TRUE(sl_link_is_empty(&head));
    EXPECT_EQ(sl_link_first(&head), nullptr);
    EXPECT_FALSE(sl_link_is_linked(&items[0].link));
}

TEST_F(Link, AppendGoesLastAndPrependFirst)
{
    sl_link_append(&head, &items[0].link);
    sl_link_append(&head, &items[1].link);
    sl_link_prepend(&head, &items[2].link);
    EXPECT_EQ(numbers(&head), (Numbers{ 2, 0, 1 }));
    EXPECT_EQ(sl_link_first(&head), &items[2].link);
    EXPECT_TRUE(sl_link_is_linked(&items[0].link));
    EXPECT_FALSE(sl_link_is_empty(&head));
}

TEST_F(Link, RemoveTakesOutAnyNode)
{
    for (item &one : items)
        sl_link_append(&head, &one.link);
    sl_link_remove(&items[2].link);
    EXPECT_EQ(numbers(&head), (Numbers{ 0, 1, 3 }));
    sl_link_remove(&items[0].link);
    sl_link_remove(&items[3].link);
    EXPECT_EQ(numbers(&head), (Numbers{ 1 }));
    sl_link_remove(&items[1].link);
    EXPECT_TRUE(sl_link_is_empty(&head));
    EXPECT_FALSE(sl_link_is_linked(&items[1].link));
}

TEST_F(Link, RemoveOfAnUnlinkedNodeDoesNothing)
{
    sl_link_remove(&items[0].link);
    EXPECT_FALSE(sl_link_is_linked(&items[0].link));
    sl_link_append(&head, &items[0].link);
    EXPECT_EQ(numbers(&head), (Numbers{ 0 }));
}

TEST_F(Link, SpliceMovesAllInOrder)
{
    sl_link_append(&head, &items[0].link);
    sl_link_append(&other, &items[1].link);
    sl_link_append(&other, &items[2].link);
    sl_link_splice_back(&head, &other);
    EXPECT_EQ(numbers(&head), (Numbers{ 0, 1, 2 }));
    EXPECT_TRUE(sl_link_is_empty(&other));
    sl_link_splice_back(&other, &head);
    EXPECT_EQ(numbers(&other), (Numbers{ 0, 1, 2 }));
    EXPECT_TRUE(sl_link_is_empty(&head));
}

TEST_F(Link, SpliceOfAnEmptyListDoesNothing)
{
    sl_link_splice_back(&head, &other);
    EXPECT_TRUE(sl_link_is_empty(&head));
    sl_link_append(&head, &items[0].link);
    sl_link_splice_back(&head, &other);
    EXPECT_EQ(numbers(&head), (Numbers{ 0 }));
}

using LinkDeathTest = Link;

TEST_F(LinkDeathTest, RefusesANodeThatIsOnAList)
{
    sl_link_append(&head, &items[0].link);
    EXPECT_DEATH(sl_link_append(&other, &items[0].link), "panic");
    EXPECT_DEATH(sl_link_prepend(&other, &items[0].link), "panic");
}
