/*
 * bus/port.h - how a consumer is told that a ring has something
 *
 * What     One word per consumer: a ready bit for each of its producers, and a sleep flag. And an
 *          eventfd, which is written only when the consumer sleeps.
 * Why      Between busy threads a hand-over costs no system call, and an idle one sleeps for good.
 * Thread   signal: any producer. Everything else: the consumer.
 *
 * Rule     A producer pushes, then sets its bit. The consumer clears the word, then looks into the
 *          rings whose bits were set; it sleeps only by turning an empty word into the sleep flag.
 *          All three are full barriers on the same word, so a push is never overlooked. Of the
 *          producers that find a sleeper, exactly the first one writes the eventfd.
 */
#ifndef SL_BUS_PORT_H
#define SL_BUS_PORT_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SL_PORT_PRODUCERS_MAX = 60,
    SL_PORT_JOURNAL = 60, /* a bit like a producer's: the disk has done something */
    SL_PORT_INBOX = 61,   /* a bit like a producer's: look into the inbox */
    SL_PORT_STOP = 62,    /* a bit like a producer's: time to end */
};

struct sl_port;

/* Never NULL. The caller destroys it. */
struct sl_port *sl_port_create(void);
void sl_port_destroy(struct sl_port **port);

/* ---- a producer ---- */

/* Says that producer number `producer` has pushed something; once per batch is enough. */
void sl_port_signal(struct sl_port *port, unsigned producer);

/* ---- the consumer ---- */

/* The bits set since the last take; clears them and the sleep flag. */
uint64_t sl_port_take(struct sl_port *port);

/*
 * True: the consumer sleeps now, and the fd becomes readable at the next signal. False: take first.
 */
bool sl_port_sleep(struct sl_port *port);

/* For a sleeping consumer without an event loop: blocks for at most timeout_ms (-1: no limit). */
void sl_port_wait(struct sl_port *port, int timeout_ms);

int sl_port_fd(const struct sl_port *port);

#ifdef __cplusplus
}
#endif
#endif
