#include "stream/slab.h"

#include "base/limits.h"
#include "stream/content.h"

#include <gtest/gtest.h>

namespace
{

constexpr size_t kSize = 4096;

/* What an allocator may add to a block: its header, and up to a page when it is mapped. */
constexpr uint64_t kOverhead = sizeof(sl_block) + 4096 + 64;

class Slab : public ::testing::Test
{
  protected:
    void SetUp() override
    {
        sl_slab_init(&slab_, kSize, &account_);
    }

    void TearDown() override
    {
        Drop();
        sl_slab_deinit(&slab_);
        EXPECT_EQ(sl_account_bytes(&account_), 0u);
    }

    void Drop()
    {
        for (sl_place &place : places_)
            sl_block_unref(&place.block);
        places_.clear();
    }

    /* Stores and looks whether the account grew as predicted. */
    sl_place Store(const Content &content)
    {
        sl_payload payload = content.Payload();
        uint64_t growth = sl_slab_growth(&slab_, &payload), before = sl_account_bytes(&account_);
        sl_place place = sl_slab_store(&slab_, &payload);
        uint64_t grown = sl_account_bytes(&account_) - before;
        size_t size = content.bytes.size() + content.lengths.size();
        if (growth == 0) {
            EXPECT_EQ(grown, 0u) << size;
        } else {
            EXPECT_GE(grown, growth) << size;
            EXPECT_LE(grown, growth + kOverhead) << size;
        }
        EXPECT_EQ(At(place, content), content.bytes + content.lengths);
        places_.push_back(place);
        return place;
    }

    sl_place Store(size_t size)
    {
        return Store(Content::Random(random_, 1, 1).bytes.append(size - 1, 'x'));
    }

    sl_place Store(const std::string &text)
    {
        return Store(Content(text));
    }

    static std::string At(const sl_place &place, const Content &content)
    {
        size_t size = content.bytes.size() + content.lengths.size();
        EXPECT_LE(place.at + size, place.block->size);
        return TextOf(sl_bytes(sl_block_data(place.block) + place.at, size));
    }

    sl_account account_{};
    sl_slab slab_{};
    std::vector<sl_place> places_; /* keep their blocks */
    std::mt19937_64 random_{ 11 };
};

TEST_F(Slab, TakesNoMemoryBeforeTheFirstPayload)
{
    EXPECT_EQ(sl_account_bytes(&account_), 0u);
}

TEST_F(Slab, PutsSmallPayloadsOneBehindTheOther)
{
    sl_place first = Store("abc"), second = Store("defgh"), third = Store("i");
    EXPECT_EQ(first.block, second.block);
    EXPECT_EQ(second.block, third.block);
    EXPECT_EQ(first.at, 0u);
    EXPECT_EQ(second.at, 3u);
    EXPECT_EQ(third.at, 8u);
    EXPECT_EQ(first.block->references, 4u) << "three places and the slab";
    EXPECT_EQ(TextOf(sl_bytes(sl_block_data(first.block), 9)), "abcdefghi");
}

TEST_F(Slab, PutsTheLengthsBehindTheBytes)
{
    sl_place first = Store(Content("1,22,", { 2, 3 }));
    EXPECT_EQ(TextOf(sl_bytes(sl_block_data(first.block), 7)), "1,22,\x02\x03");
    EXPECT_EQ(Store("x").at, 7u);
}

TEST_F(Slab, FillsABlockToItsLastByte)
{
    sl_place first = Store(kSize / 4);
    for (int i = 0; i < 2; i++)
        Store(kSize / 4);
    Store(kSize / 4 - 1);
    sl_place last = Store("x");
    EXPECT_EQ(last.block, first.block);
    EXPECT_EQ(last.at, kSize - 1);
    sl_place next = Store("y");
    EXPECT_NE(next.block, first.block);
    EXPECT_EQ(next.at, 0u);
}

TEST_F(Slab, BeginsANewBlockWhenOneByteIsMissing)
{
    for (size_t missing : { 0, 1 }) {
        sl_slab_deinit(&slab_);
        sl_slab_init(&slab_, kSize, &account_);
        sl_place first = Store(kSize / 4);
        for (int i = 0; i < 2; i++)
            Store(kSize / 4);
        Store(kSize / 4 - 10);
        EXPECT_EQ(Store(10 + missing).block == first.block, missing == 0);
    }
}

TEST_F(Slab, AFullBlockLivesAsLongAsItsPlaces)
{
    sl_place place = Store("kept");
    sl_block *block = sl_block_ref(place.block);
    for (int i = 0; i < 8; i++)
        Store(kSize / 4);
    Drop();
    sl_slab_deinit(&slab_);
    EXPECT_EQ(block->references, 1u);
    EXPECT_GT(sl_account_bytes(&account_), 0u);
    EXPECT_EQ(TextOf(sl_bytes(sl_block_data(block), 4)), "kept");
    sl_block_unref(&block);
    EXPECT_EQ(sl_account_bytes(&account_), 0u);
}

TEST_F(Slab, APayloadAboveAQuarterHasABlockOfItsOwn)
{
    for (size_t size : { kSize / 4 - 1, kSize / 4, kSize / 4 + 1 }) {
        sl_slab_deinit(&slab_);
        sl_slab_init(&slab_, kSize, &account_);
        sl_place place = Store(size);
        bool own = size > kSize / 4;
        EXPECT_EQ(place.at, 0u);
        EXPECT_EQ(place.block->size, own ? size : kSize);
        EXPECT_EQ(place.block->references, own ? 1u : 2u);
    }
}

TEST_F(Slab, ALargePayloadHasABlockOfItsOwnInTheLargestSlabToo)
{
    const size_t slab = SL_SLAB_SIZE_BYTES, large = SL_OWN_BLOCK_SIZE_BYTES;
    for (size_t size : { large - 1, large, large + 1 }) {
        sl_slab_deinit(&slab_);
        sl_slab_init(&slab_, slab, &account_);
        EXPECT_EQ(Store(size).block->size, size >= large ? size : slab);
    }
}

TEST_F(Slab, TheLengthsCountWhenSomethingIsLarge)
{
    Content content(std::string(kSize / 4 - 1, 'x'), { 100, kSize / 4 - 101 });
    EXPECT_EQ(content.lengths.size(), 3u);
    EXPECT_EQ(Store(content).block->size, kSize / 4 + 2);
}

TEST_F(Slab, ALargePayloadLeavesTheBlockThatIsBeingFilled)
{
    sl_place before = Store("a");
    Store(kSize * 3);
    sl_place after = Store("b");
    EXPECT_EQ(after.block, before.block);
    EXPECT_EQ(after.at, 1u);
}

TEST_F(Slab, PredictsTheOwnBlockOfALargePayloadAlsoWhileThereIsRoom)
{
    Store("a");
    for (size_t size : { kSize / 4 + 1, kSize / 2, kSize - 1 }) {
        Content content(std::string(size, 'x'));
        sl_payload payload = content.Payload();
        EXPECT_EQ(sl_slab_growth(&slab_, &payload), size);
        Store(content);
    }
}

TEST_F(Slab, TakesOverTheBlockOfAPayload)
{
    sl_place before = Store("a");
    Content content("1,22,", { 2, 3 });
    sl_payload payload = content.PayloadInBlock(&account_);
    sl_block *block = payload.block;
    uint64_t bytes = sl_account_bytes(&account_);
    EXPECT_EQ(sl_slab_growth(&slab_, &payload), 0u);
    sl_place place = sl_slab_store(&slab_, &payload);
    places_.push_back(place);
    EXPECT_EQ(payload.block, nullptr);
    EXPECT_EQ(place.block, block);
    EXPECT_EQ(place.at, 0u);
    EXPECT_EQ(block->references, 1u);
    EXPECT_EQ(sl_account_bytes(&account_), bytes);
    EXPECT_EQ(At(place, content), "1,22,\x02\x03");
    sl_place after = Store("b");
    EXPECT_EQ(after.block, before.block);
    EXPECT_EQ(after.at, 1u);
}

TEST_F(Slab, KeepsWhatItWasGivenAndPredictsItsGrowth)
{
    std::vector<std::pair<sl_place, Content>> stored;
    for (int i = 0; i < 3000; i++) {
        size_t size_max = i % 50 == 0 ? kSize * 2 : i % 5 == 0 ? kSize / 3 : 60;
        Content content = Content::Random(random_, i % 7 == 0 ? 1 + random_() % 5 : 1, size_max);
        stored.emplace_back(Store(content), content);
    }
    for (const auto &[place, content] : stored)
        ASSERT_EQ(At(place, content), content.bytes + content.lengths);
}

TEST_F(Slab, HasASizeOfOneByteToTheMaximum)
{
    for (size_t size : { size_t{ 1 }, size_t{ 2 }, size_t{ SL_SLAB_SIZE_BYTES } }) {
        sl_slab_deinit(&slab_);
        sl_slab_init(&slab_, size, &account_);
        Store("a");
        Store("bc");
    }
}

using SlabDeathTest = Slab;

TEST_F(SlabDeathTest, RefusesOtherSizes)
{
    sl_slab slab;
    EXPECT_DEATH(sl_slab_init(&slab, 0, &account_), "panic");
    EXPECT_DEATH(sl_slab_init(&slab, SL_SLAB_SIZE_BYTES + 1, &account_), "panic");
}

TEST_F(Slab, IsAsLargeAsWhenItWasBegun)
{
    Store(1);
    sl_slab_set_size(&slab_, kSize / 4);
    sl_place first = Store(kSize / 16);
    EXPECT_EQ(first.block, places_[0].block) << "the large one has room";
    for (size_t used = 1 + kSize / 16; used + kSize / 16 <= kSize; used += kSize / 16)
        EXPECT_EQ(Store(kSize / 16).block, first.block) << used;
    sl_place next = Store(kSize / 16);
    EXPECT_NE(next.block, first.block);
    sl_slab_set_size(&slab_, kSize);
    for (int i = 0; i < 3; i++)
        EXPECT_EQ(Store(kSize / 16).block, next.block);
    EXPECT_NE(Store(kSize / 16).block, next.block) << "the small one is full";
}

} // namespace
