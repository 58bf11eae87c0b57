/*
 * base/assert.h - our own mistakes end the process
 *
 * What     Checks that stay in release builds, checks for debug builds, checks at compile time.
 * Why      A server of durable data that has lost its way must stop, not go on.
 * Thread   Any.
 */
#ifndef SL_BASE_ASSERT_H
#define SL_BASE_ASSERT_H

#ifdef __cplusplus
extern "C" {
#endif

/* Prints the thread's name, file:line and the condition to standard error and aborts. */
void sl_assert_fail(const char *condition, const char *file, int line)
    __attribute__((noreturn, cold, nonnull));

/* Always checked, so it costs O(1). */
#define SL_ASSERT(cond)                                                                            \
    (__builtin_expect(!!(cond), 1) ? (void)0 : sl_assert_fail(#cond, __FILE__, __LINE__))

/* May walk whole structures: checked in debug, test and fuzz builds, else only compiled. */
#ifdef SL_DEBUG_CHECKS
#define SL_ASSERT_SLOW(cond) SL_ASSERT(cond)
#else
#define SL_ASSERT_SLOW(cond) ((void)sizeof(!(cond)))
#endif

#ifdef __cplusplus
#define SL_STATIC_ASSERT(cond, text) static_assert(cond, text)
#else
#define SL_STATIC_ASSERT(cond, text) _Static_assert(cond, text)
#endif

#ifdef __cplusplus
}
#endif
#endif
