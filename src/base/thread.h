/*
 * base/thread.h - threads, locks, and who runs where
 *
 * What     Starts and joins threads; a mutex; roles: clang refuses the data of the wrong thread.
 * Why      Data belongs to the session or to the shard. A function says which side it is on
 *          (SL_RUNS_ON), a member says whose it is (SL_OWNED_BY), and an entry from outside proves
 *          it (SL_ENTERS). clang's -Wthread-safety compares them; gcc sees nothing.
 * Thread   Any, unless it says otherwise.
 */
#ifndef SL_BASE_THREAD_H
#define SL_BASE_THREAD_H

#include "base/assert.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__clang__)
#define SL_ROLE_TYPE __attribute__((capability("role")))
#define SL_RUNS_ON(role) __attribute__((requires_capability(role)))
#define SL_ENTERS(role) __attribute__((assert_capability(role)))
#define SL_OWNED_BY(role) __attribute__((guarded_by(role)))
#else
#define SL_ROLE_TYPE
#define SL_RUNS_ON(role)
#define SL_ENTERS(role)
#define SL_OWNED_BY(role)
#endif

struct SL_ROLE_TYPE sl_role {
    const char *name; /* static text */
};

extern struct sl_role sl_role_session; /* the thread that opened the session */
extern struct sl_role sl_role_shard;   /* the shard thread that owns the streams */

struct sl_thread;
struct sl_mutex;
struct sl_condition;

enum {
    SL_THREAD_NAME_SIZE_MAX = 15, /* bytes the kernel keeps; longer names are cut */
};

/*
 * Runs `run(argument)` in a new thread with all signals blocked, so they go to the main thread.
 * Never NULL. The caller joins it.
 */
struct sl_thread *sl_thread_start(const char *name, void (*run)(void *argument), void *argument)
    __attribute__((returns_nonnull));

/* Waits until its function has returned; takes the thread and clears the caller's pointer. */
void sl_thread_join(struct sl_thread **thread);

/* Of the calling thread; "main" when sl_thread_start() did not make it. Valid while it runs. */
const char *sl_thread_name(void);

/* The calling thread gets what CPU and disk time others leave; as far as the system lets it. */
void sl_thread_yield_to_others(void);

/* Never NULL. The caller destroys it. */
struct sl_mutex *sl_mutex_create(void) __attribute__((returns_nonnull));
/* Takes the unlocked mutex and clears the caller's pointer. */
void sl_mutex_destroy(struct sl_mutex **mutex);
void sl_mutex_lock(struct sl_mutex *mutex);
void sl_mutex_unlock(struct sl_mutex *mutex);

/* Never NULL. The caller destroys it. */
struct sl_condition *sl_condition_create(void) __attribute__((returns_nonnull));
void sl_condition_destroy(struct sl_condition **condition);
/* Gives up the locked mutex while it waits. May return early: look again at what is waited for. */
void sl_condition_wait(struct sl_condition *condition, struct sl_mutex *mutex);
/* The same for at most `timeout_ms`. */
void sl_condition_wait_for(struct sl_condition *condition, struct sl_mutex *mutex,
                           unsigned timeout_ms);
void sl_condition_signal(struct sl_condition *condition); /* one waiter */
void sl_condition_signal_all(struct sl_condition *condition);

/* The calling thread is shard `index` from now on; once, first thing in the thread's function. */
void sl_thread_enter_shard(unsigned index) SL_ENTERS(sl_role_shard);

/* Of the calling thread: number of its shard + 1; 0: not a shard. Only thread.h and thread.c look.
 */
extern __thread unsigned sli_thread_shard;

/* Proves that the calling thread is shard `index`. */
static inline void sl_thread_assert_shard(unsigned index) SL_ENTERS(sl_role_shard);

/* Tells clang that no thread is the shard any more: what it owned is the caller's. */
static inline void sl_thread_enter_ended_shard(void) SL_ENTERS(sl_role_shard);

/* Tells clang that this is the session's side. Any thread may hold a session: nothing to check. */
static inline void sl_thread_enter_session(void) SL_ENTERS(sl_role_session);

static inline void sl_thread_assert_shard(unsigned index)
{
    SL_ASSERT(sli_thread_shard == index + 1);
}

static inline void sl_thread_enter_ended_shard(void)
{
}

static inline void sl_thread_enter_session(void)
{
}

#ifdef __cplusplus
}
#endif
#endif
