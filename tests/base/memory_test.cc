#include "base/memory.h"

#include <cstdint>
#include <cstring>
#include <vector>

#include <sys/resource.h>

#include <gtest/gtest.h>

TEST(Memory, SizeZeroIsAnAllocationToo)
{
    void *plain = sl_memory_alloc(0);
    void *zeroed = sl_memory_zalloc(0);
    void *aligned = sl_memory_alloc_aligned(64, 0);
    void *grown = sl_memory_grow(nullptr, 0);
    grown = sl_memory_grow(grown, 0);
    EXPECT_NE(plain, nullptr);
    EXPECT_NE(zeroed, nullptr);
    EXPECT_NE(aligned, nullptr);
    EXPECT_NE(grown, nullptr);
    sl_memory_free(plain);
    sl_memory_free(zeroed);
    sl_memory_free(aligned);
    sl_memory_free(grown);
}

TEST(Memory, FreeTakesNull)
{
    sl_memory_free(nullptr);
}

TEST(Memory, ZallocGivesZeros)
{
    char zeros[1000] = {};
    for (int round = 0; round < 10; round++) {
        void *memory = sl_memory_zalloc(sizeof(zeros));
        EXPECT_EQ(memcmp(memory, zeros, sizeof(zeros)), 0);
        memset(memory, 0xff, sizeof(zeros));
        sl_memory_free(memory);
    }
}

TEST(Memory, GrowKeepsTheBytes)
{
    void *memory = sl_memory_alloc(6);
    memcpy(memory, "sluice", 6);
    memory = sl_memory_grow(memory, 1 << 20);
    EXPECT_EQ(memcmp(memory, "sluice", 6), 0);
    memory = sl_memory_grow(memory, 3);
    EXPECT_EQ(memcmp(memory, "slu", 3), 0);
    sl_memory_free(memory);
}

TEST(Memory, AlignsAsAsked)
{
    for (size_t alignment = sizeof(void *); alignment <= 4096; alignment *= 2) {
        void *memory = sl_memory_alloc_aligned(alignment, 100);
        EXPECT_EQ(reinterpret_cast<uintptr_t>(memory) % alignment, 0u);
        memset(memory, 1, 100);
        sl_memory_free(memory);
    }
}

TEST(Memory, UsableIsAtLeastWhatWasAskedForAndStaysTheSame)
{
    for (size_t size : { 0, 1, 24, 25, 1000, 300000 }) {
        void *memory = sl_memory_alloc(size);
        size_t usable = sl_memory_usable(memory);
        EXPECT_GE(usable, size);
        EXPECT_EQ(sl_memory_usable(memory), usable);
        sl_memory_free(memory);
    }
}

TEST(MemoryDeathTest, NoMemoryStopsTheProcess)
{
    volatile size_t too_much = SIZE_MAX / 2;
    /* The second text is that of AddressSanitizer, which is faster than we are. */
    const char *text = "out of memory|allocation size";
    EXPECT_DEATH(sl_memory_free(sl_memory_alloc(too_much)), text);
    EXPECT_DEATH(sl_memory_free(sl_memory_zalloc(too_much)), text);
    EXPECT_DEATH(sl_memory_free(sl_memory_grow(nullptr, too_much)), text);
    EXPECT_DEATH(sl_memory_free(sl_memory_alloc_aligned(64, too_much)), text);
}

TEST(MemoryDeathTest, RefusesAnAlignmentThatIsNoPowerOfTwo)
{
    volatile size_t alignment = 24;
    EXPECT_DEATH(sl_memory_free(sl_memory_alloc_aligned(alignment, 1)), "panic");
}

/*
 * A fresh page costs more than filling it. Only where the heap is the C library's: a sanitizer puts
 * its own in the place of it, whose mallopt() does nothing, so that there is nothing of ours to try.
 */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST(Memory, KeepsThePagesOfWhatWasFreed)
{
    const size_t size = 12 << 20;
    sl_memory_keep_pages();
    auto faults_of_a_round = [] {
        rusage before, after;
        getrusage(RUSAGE_SELF, &before);
        void *memory = sl_memory_alloc(size);
        memset(memory, 1, size);
        asm volatile("" : : "r"(memory) : "memory");
        sl_memory_free(memory);
        getrusage(RUSAGE_SELF, &after);
        return after.ru_minflt - before.ru_minflt;
    };
    faults_of_a_round();
    EXPECT_LT(faults_of_a_round(), 100);
}

/* All freed but the last: without it the heap would end where the first began. */
TEST(Memory, GivesBackWhatIsFreeBetweenUsedMemory)
{
    const size_t size = 64 * 1024, count = 512;
    std::vector<void *> pieces;
    for (size_t i = 0; i < count; i++) {
        pieces.push_back(sl_memory_alloc(size));
        memset(pieces.back(), 1, size);
    }
    for (size_t i = 0; i + 1 < count; i++)
        sl_memory_free(pieces[i]);
    uint64_t before = sl_memory_resident_bytes();
    EXPECT_GE(before, size * count);
    sl_memory_give_back();
    EXPECT_LT(sl_memory_resident_bytes() + size * count * 3 / 4, before);
    sl_memory_free(pieces.back());
}
#endif
