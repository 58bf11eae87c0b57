#include "hooks/courier.h"

#include <curl/curl.h>
#include <limits.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/table.h"
#include "hooks/keys.h"
#include "hooks/webhook_url.h"
#include "protocol/ascii.h"

enum {
    /* Seconds after which a connection is not used again, so that a name that moved is noticed. */
    CONNECTION_AGE_MAX = 300,
    /* Connections that are kept for each delivery that may be sent at the same time. */
    KEPT_FACTOR = 2,
};

/* A host that deliveries go to, as long as there are any. */
struct sl_courier_receiver {
    struct sl_table_node node; /* by key */
    struct sl_link in_turn;    /* among those with deliveries that wait */
    struct sl_link waiting;    /* deliveries, the first one comes next */
    unsigned sent;             /* places that it holds */
    size_t key_size;           /* bytes of key */
    char key[1];               /* the host in lower case; allocated behind */
};

/* Room for one delivery that is sent: a place. */
struct sl_courier_slot {
    struct sl_link link;                  /* among the free ones */
    struct sl_courier *courier;           /* borrowed */
    struct sl_courier_receiver *receiver; /* whose share it is in, borrowed; NULL: it is free */
    struct sl_delivery *delivery;         /* borrowed; NULL: it is free, or was given up */
    CURL *easy;                           /* owned; NULL until it is needed */
    struct curl_slist *headers;           /* owned */
    struct sl_buffer body;                /* owned: what is sent */
    struct sl_buffer answer;              /* owned: the body that came back so far */
    size_t head_size;                     /* bytes of status lines and headers so far */
    uint64_t started_ms;                  /* running clock */
    bool is_local;                        /* as the URL says */
    bool is_resolving;                    /* a thread of libcurl may be asking for its name */
    bool was_refused;                     /* an address was not connected to */
    bool was_connected;                   /* another one was */
    bool is_ready;                        /* the connection is there, with its handshake */
    bool is_too_large;                    /* the answer's body */
};

struct sl_courier {
    struct sl_courier_setup setup;
    CURLM *multi;                  /* owned */
    struct sl_courier_slot *slots; /* owned; in_flight_max of them */
    struct sl_link free;           /* slots */
    unsigned free_count;           /* of these */
    struct sl_hash_key key;        /* of the table */
    struct sl_table receivers;     /* of struct sl_courier_receiver; owned */
    struct sl_link turns;          /* receivers with deliveries that wait, the next one first */
    uint64_t now_ms;               /* running clock, as it was told last */
};

static const char refused_address[] = "the host of the URL has no address that is allowed";
static const char large_head[] = "the head of the answer is too large";

/* Options of this file are known to the library that it was built for. */
static void must(CURLcode code)
{
    SL_ASSERT(code == CURLE_OK);
}

/*
 * ---- what libcurl asks ------------------------------------------------------------------------
 */

/* What its host means is not in libcurl's cache. */
static int on_resolve(void *state, void *reserved, void *context)
{
    struct sl_courier_slot *slot = context;
    (void)state;
    (void)reserved;
    slot->is_resolving = true;
    return 0;
}

/* The last step before a connection: here, and nowhere else, an address is real. */
static curl_socket_t on_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct sl_courier_slot *slot = context;
    slot->is_resolving = false;
    if (slot->delivery == NULL) /* given up: nobody is connected to any more */
        return CURL_SOCKET_BAD;
    if (purpose != CURLSOCKTYPE_IPCXN ||
        !sl_webhook_address_is_allowed(&address->addr, slot->is_local)) {
        slot->was_refused = true;
        return CURL_SOCKET_BAD;
    }
    slot->was_connected = true;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static int on_ready(void *context, char *to, char *from, int to_port, int from_port)
{
    struct sl_courier_slot *slot = context;
    (void)to;
    (void)from;
    (void)to_port;
    (void)from_port;
    slot->is_ready = true;
    return CURL_PREREQFUNC_OK;
}

/* Returning less than it got ends the transfer. */
static size_t on_head(char *data, size_t size, size_t count, void *context)
{
    struct sl_courier_slot *slot = context;
    (void)data;
    slot->head_size += size * count;
    return slot->head_size <= SL_COURIER_HEAD_SIZE_MAX ? size * count : 0;
}

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    struct sl_courier_slot *slot = context;
    size_t more = size * count;
    slot->is_too_large = slot->courier->setup.answer_size_max - slot->answer.size < more;
    if (slot->is_too_large)
        return 0;
    sl_buffer_append(&slot->answer, data, more);
    return more;
}

/*
 * ---- receivers --------------------------------------------------------------------------------
 */

/* Whoever has no URL that may be used is one receiver, which is sent nothing. */
static void write_key(const struct sl_courier *courier, const char *text, struct sl_buffer *key)
{
    struct sl_webhook_url url;
    (void)sl_webhook_url_parse(sl_bytes_of(text), courier->setup.allow_local, &url);
    sl_buffer_append_bytes(key, url.host);
    for (size_t i = 0; i < key->size; i++)
        key->data[i] = sl_ascii_lower(key->data[i]);
}

static struct sl_courier_receiver *add_receiver(struct sl_courier *courier, struct sl_bytes key,
                                                uint64_t hash)
{
    struct sl_courier_receiver *receiver = sl_memory_alloc(sizeof(*receiver) + key.size);
    receiver->sent = 0;
    receiver->key_size = key.size;
    if (key.size > 0)
        memcpy(receiver->key, key.data, key.size);
    sl_link_init(&receiver->in_turn);
    sl_link_init(&receiver->waiting);
    sl_table_insert(&courier->receivers, &receiver->node, hash);
    return receiver;
}

static struct sl_courier_receiver *receiver_of(struct sl_courier *courier, const char *url)
{
    struct sl_courier_receiver *receiver = NULL;
    struct sl_buffer key = { NULL, 0, 0 };
    write_key(courier, url, &key);
    uint64_t hash = sl_hash(&courier->key, sl_buffer_bytes(&key));
    struct sl_table_node *node = sl_table_bucket(&courier->receivers, hash);
    for (; node != NULL && receiver == NULL; node = node->next) {
        struct sl_courier_receiver *other = SL_OBJECT(node, struct sl_courier_receiver, node);
        if (sl_bytes_equal(sl_bytes(other->key, other->key_size), sl_buffer_bytes(&key)))
            receiver = other;
    }
    if (receiver == NULL)
        receiver = add_receiver(courier, sl_buffer_bytes(&key), hash);
    sl_buffer_deinit(&key);
    return receiver;
}

/* Of those that wait. */
static struct sl_delivery *first_of(const struct sl_courier_receiver *receiver)
{
    struct sl_link *first = sl_link_first(&receiver->waiting);
    SL_ASSERT(first != NULL); /* or it would not be in turn */
    return SL_OBJECT(first, struct sl_delivery, link);
}

/* The delivery waits no longer. */
static void take_off(struct sl_delivery *delivery)
{
    struct sl_courier_receiver *receiver = delivery->receiver;
    sl_link_remove(&delivery->link);
    if (sl_link_is_empty(&receiver->waiting))
        sl_link_remove(&receiver->in_turn);
}

/* The first of those that wait has its turn; if there are more, they come behind the others. */
static struct sl_delivery *take_first(struct sl_courier *courier,
                                      struct sl_courier_receiver *receiver)
{
    struct sl_delivery *delivery = first_of(receiver);
    sl_link_remove(&receiver->in_turn);
    sl_link_append(&courier->turns, &receiver->in_turn);
    take_off(delivery);
    return delivery;
}

static void drop_if_unused(struct sl_courier *courier, struct sl_courier_receiver *receiver)
{
    if (receiver->sent > 0 || !sl_link_is_empty(&receiver->waiting))
        return;
    sl_table_remove(&courier->receivers, &receiver->node);
    sl_memory_free(receiver);
}

/* The delivery, which neither waits nor is sent, is idle. */
static void leave(struct sl_courier *courier, struct sl_delivery *delivery)
{
    struct sl_courier_receiver *receiver = delivery->receiver;
    delivery->receiver = NULL;
    drop_if_unused(courier, receiver);
}

/*
 * Whose turn it is; NULL: nobody's. Those that are passed over hold as many places as are free, at
 * least, so they are few.
 */
static struct sl_courier_receiver *next_receiver(const struct sl_courier *courier)
{
    const struct sl_link *head = &courier->turns;
    if (courier->free_count == 0)
        return NULL;
    for (struct sl_link *link = head->next; link != head; link = link->next) {
        struct sl_courier_receiver *receiver = SL_OBJECT(link, struct sl_courier_receiver, in_turn);
        if (receiver->sent < courier->free_count)
            return receiver;
    }
    return NULL;
}

/*
 * ---- one delivery -----------------------------------------------------------------------------
 */

#define SET(option, value) must(curl_easy_setopt(slot->easy, option, value))

/* What is the same for every delivery. */
static void prepare(struct sl_courier_slot *slot)
{
    const struct sl_courier_setup *setup = &slot->courier->setup;
    slot->easy = curl_easy_init();
    SL_ASSERT(slot->easy != NULL);
    SET(CURLOPT_PRIVATE, slot);
    SET(CURLOPT_RESOLVER_START_FUNCTION, on_resolve);
    SET(CURLOPT_RESOLVER_START_DATA, slot);
    SET(CURLOPT_OPENSOCKETFUNCTION, on_socket);
    SET(CURLOPT_OPENSOCKETDATA, slot);
    SET(CURLOPT_PREREQFUNCTION, on_ready);
    SET(CURLOPT_PREREQDATA, slot);
    SET(CURLOPT_HEADERFUNCTION, on_head);
    SET(CURLOPT_HEADERDATA, slot);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, slot);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, ""); /* else the environment is asked */
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (setup->ca_file != NULL)
        SET(CURLOPT_CAINFO, setup->ca_file);
    /* As good as never: see end_late(). */
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)INT_MAX);
    SET(CURLOPT_MAXLIFETIME_CONN, (long)CONNECTION_AGE_MAX);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* the end does not wait for a name that is being resolved */
    SET(CURLOPT_USERAGENT, "Sluice");
    SET(CURLOPT_POST, 1L);
}

static void add_header(struct sl_courier_slot *slot, const char *line)
{
    struct curl_slist *longer = curl_slist_append(slot->headers, line);
    SL_ASSERT(longer != NULL);
    slot->headers = longer;
}

static void add_headers(struct sl_courier_slot *slot, int64_t wall_ms)
{
    struct sl_buffer line = { 0 };
    sl_buffer_append_text(&line, "Webhook-Signature: ");
    sl_keys_sign(slot->courier->setup.keys, wall_ms, sl_buffer_bytes(&slot->body), &line);
    sl_buffer_append(&line, "", 1);
    add_header(slot, (const char *)line.data);
    sl_buffer_deinit(&line);
    add_header(slot, "Content-Type: application/json");
    add_header(slot, "Expect:"); /* none: nobody is asked before a large body is sent */
}

/* A place for the delivery, with nothing of the one before. */
static struct sl_courier_slot *occupy(struct sl_courier *courier, struct sl_delivery *delivery)
{
    struct sl_link *free = sl_link_first(&courier->free);
    SL_ASSERT(free != NULL); /* free_count is above 0 */
    struct sl_courier_slot *slot = SL_OBJECT(free, struct sl_courier_slot, link);
    sl_link_remove(&slot->link);
    courier->free_count--;
    if (slot->easy == NULL)
        prepare(slot);
    slot->receiver = delivery->receiver;
    slot->receiver->sent++;
    slot->delivery = delivery;
    delivery->slot = slot;
    slot->started_ms = courier->now_ms;
    slot->head_size = 0;
    slot->is_resolving = false;
    slot->was_refused = false;
    slot->was_connected = false;
    slot->is_ready = false;
    slot->is_too_large = false;
    return slot;
}

/* The slot, which has no delivery, is free again. */
static void vacate(struct sl_courier_slot *slot)
{
    struct sl_courier *courier = slot->courier;
    CURLMcode code = curl_multi_remove_handle(courier->multi, slot->easy);
    SL_ASSERT(code == CURLM_OK);
    SET(CURLOPT_HTTPHEADER, NULL);
    SET(CURLOPT_POSTFIELDS, NULL);
    curl_slist_free_all(slot->headers);
    slot->headers = NULL;
    sl_buffer_deinit(&slot->body);
    sl_buffer_deinit(&slot->answer);
    slot->receiver->sent--;
    drop_if_unused(courier, slot->receiver);
    slot->receiver = NULL;
    sl_link_prepend(&courier->free, &slot->link);
    courier->free_count++;
}

/* The delivery of the slot is idle. */
static void part(struct sl_courier_slot *slot)
{
    SL_ASSERT(slot->delivery != NULL);
    slot->delivery->slot = NULL;
    slot->delivery->receiver = NULL;
    slot->delivery = NULL;
}

/*
 * The same, and the slot is free again, but not as long as a thread resolves its name: nothing can
 * end that, and whoever took its place would begin another one.
 */
static void release(struct sl_courier_slot *slot)
{
    part(slot);
    if (!slot->is_resolving)
        vacate(slot);
}

static void start(struct sl_courier *courier, struct sl_delivery *delivery, int64_t wall_ms)
{
    struct sl_webhook_url url;
    struct sl_delivery_result result = { .status = 0 };
    result.error =
        sl_webhook_url_parse(sl_bytes_of(delivery->url), courier->setup.allow_local, &url);
    if (result.error != NULL) {
        leave(courier, delivery);
        courier->setup.on_done(courier->setup.context, delivery, &result);
        return;
    }
    struct sl_courier_slot *slot = occupy(courier, delivery);
    slot->is_local = url.is_local;
    courier->setup.on_start(courier->setup.context, delivery, &slot->body);
    add_headers(slot, wall_ms);
    SET(CURLOPT_URL, delivery->url);
    SET(CURLOPT_FRESH_CONNECT, (long)delivery->is_repeated);
    SET(CURLOPT_HTTPHEADER, slot->headers);
    SET(CURLOPT_POSTFIELDS, slot->body.size == 0 ? "" : (const char *)slot->body.data);
    SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)slot->body.size);
    CURLMcode code = curl_multi_add_handle(courier->multi, slot->easy);
    SL_ASSERT(code == CURLM_OK);
}

static const char *error_of(const struct sl_courier_slot *slot, CURLcode code)
{
    if (code == CURLE_OK || (code == CURLE_WRITE_ERROR && slot->is_too_large))
        return NULL;
    if (code == CURLE_WRITE_ERROR && slot->head_size > SL_COURIER_HEAD_SIZE_MAX)
        return large_head;
    if (slot->was_refused && !slot->was_connected)
        return refused_address;
    return curl_easy_strerror(code);
}

static void finish(struct sl_courier_slot *slot, CURLcode code)
{
    struct sl_courier *courier = slot->courier;
    struct sl_delivery *delivery = slot->delivery;
    struct sl_delivery_result result = { .error = error_of(slot, code) };
    struct sl_buffer answer = slot->answer;
    long status = 0;
    slot->answer = (struct sl_buffer){ 0 };
    if (result.error == NULL) {
        must(curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &status));
        result.status = (unsigned)status;
        if (!slot->is_too_large && status / 100 == 2)
            result.body = sl_buffer_bytes(&answer);
    }
    release(slot);
    courier->setup.on_done(courier->setup.context, delivery, &result);
    sl_buffer_deinit(&answer);
}

#undef SET

/* Running clock. */
static uint64_t deadline_of(const struct sl_courier_slot *slot)
{
    const struct sl_courier_setup *setup = &slot->courier->setup;
    unsigned timeout_ms = setup->total_timeout_ms;
    if (!slot->is_ready && setup->connect_timeout_ms < timeout_ms)
        timeout_ms = setup->connect_timeout_ms;
    return slot->started_ms + timeout_ms;
}

/* Milliseconds until a delivery that is sent is late; UINT64_MAX: there is none. */
static uint64_t until_late(const struct sl_courier *courier)
{
    uint64_t next_ms = UINT64_MAX;
    for (unsigned i = 0; i < courier->setup.in_flight_max; i++) {
        const struct sl_courier_slot *slot = &courier->slots[i];
        if (slot->delivery != NULL && deadline_of(slot) < next_ms)
            next_ms = deadline_of(slot);
    }
    if (next_ms == UINT64_MAX)
        return next_ms;
    return next_ms > courier->now_ms ? next_ms - courier->now_ms : 0;
}

/* Not left to libcurl: at a timeout it forgets the thread that resolves the name. */
static void end_late(struct sl_courier *courier)
{
    for (unsigned i = 0; i < courier->setup.in_flight_max; i++) {
        struct sl_courier_slot *slot = &courier->slots[i];
        if (slot->delivery != NULL && deadline_of(slot) <= courier->now_ms)
            finish(slot, CURLE_OPERATION_TIMEDOUT);
    }
}

/*
 * ---- all of them ------------------------------------------------------------------------------
 */

struct sl_courier *sl_courier_create(const struct sl_courier_setup *setup)
{
    struct sl_courier *courier = sl_memory_alloc(sizeof(*courier));
    SL_ASSERT(setup->connect_timeout_ms > 0);
    SL_ASSERT(setup->total_timeout_ms > 0);
    must(curl_global_init(CURL_GLOBAL_DEFAULT));
    *courier = (struct sl_courier){ .setup = *setup, .multi = curl_multi_init() };
    SL_ASSERT(courier->multi != NULL);
    CURLMcode code = curl_multi_setopt(courier->multi, CURLMOPT_MAXCONNECTS,
                                       KEPT_FACTOR * (long)setup->in_flight_max);
    SL_ASSERT(code == CURLM_OK);
    sl_random_bytes(&courier->key, sizeof(courier->key));
    sl_link_init(&courier->free);
    sl_link_init(&courier->turns);
    courier->free_count = setup->in_flight_max;
    courier->slots = sl_memory_zalloc(setup->in_flight_max * sizeof(courier->slots[0]));
    for (unsigned i = 0; i < setup->in_flight_max; i++) {
        struct sl_courier_slot *slot = &courier->slots[i];
        slot->courier = courier;
        sl_link_init(&slot->link);
        sl_link_append(&courier->free, &slot->link);
    }
    return courier;
}

void sl_courier_destroy(struct sl_courier **courier)
{
    struct sl_courier *destroyed = *courier;
    struct sl_link *link;
    *courier = NULL;
    if (destroyed == NULL)
        return;
    while ((link = sl_link_first(&destroyed->turns)) != NULL)
        sl_courier_cancel(destroyed,
                          first_of(SL_OBJECT(link, struct sl_courier_receiver, in_turn)));
    for (unsigned i = 0; i < destroyed->setup.in_flight_max; i++) {
        struct sl_courier_slot *slot = &destroyed->slots[i];
        if (slot->delivery != NULL)
            part(slot);
        if (slot->receiver != NULL)
            vacate(slot);
        curl_easy_cleanup(slot->easy);
    }
    CURLMcode code = curl_multi_cleanup(destroyed->multi);
    SL_ASSERT(code == CURLM_OK);
    curl_global_cleanup();
    SL_ASSERT(destroyed->receivers.count == 0);
    sl_table_deinit(&destroyed->receivers);
    sl_memory_free(destroyed->slots);
    sl_memory_free(destroyed);
}

void sl_courier_send(struct sl_courier *courier, struct sl_delivery *delivery)
{
    SL_ASSERT(sl_delivery_is_idle(delivery));
    struct sl_courier_receiver *receiver = receiver_of(courier, delivery->url);
    delivery->receiver = receiver;
    if (sl_link_is_empty(&receiver->waiting))
        sl_link_append(&courier->turns, &receiver->in_turn);
    sl_link_append(&receiver->waiting, &delivery->link);
}

void sl_courier_cancel(struct sl_courier *courier, struct sl_delivery *delivery)
{
    if (delivery->slot != NULL) {
        SL_ASSERT(delivery->slot->courier == courier);
        release(delivery->slot);
    } else if (delivery->receiver != NULL) {
        take_off(delivery);
        leave(courier, delivery);
    }
}

static void take_message(const CURLMsg *message)
{
    char *private;
    SL_ASSERT(message->msg == CURLMSG_DONE);
    must(curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private));
    struct sl_courier_slot *slot = (struct sl_courier_slot *)(void *)private;
    slot->is_resolving = false; /* libcurl has joined the thread */
    if (slot->delivery != NULL)
        finish(slot, message->data.result);
    else
        vacate(slot);
}

void sl_courier_run(struct sl_courier *courier, uint64_t running_ms, int64_t wall_ms)
{
    int count;
    const CURLMsg *message;
    struct sl_courier_receiver *receiver;
    courier->now_ms = running_ms;
    /* As often as there are slots: a delivery whose URL is refused may be sent again at once. */
    for (unsigned i = 0;
         i < courier->setup.in_flight_max && (receiver = next_receiver(courier)) != NULL; i++)
        start(courier, take_first(courier, receiver), wall_ms);
    CURLMcode code = curl_multi_perform(courier->multi, &count);
    SL_ASSERT(code == CURLM_OK);
    while ((message = curl_multi_info_read(courier->multi, &count)) != NULL)
        take_message(message);
    end_late(courier);
}

void sl_courier_wait(struct sl_courier *courier, const int *fds, unsigned fd_count,
                     unsigned timeout_ms)
{
    struct curl_waitfd waited[SL_COURIER_FDS_MAX];
    SL_ASSERT(fd_count <= SL_COURIER_FDS_MAX);
    for (unsigned i = 0; i < fd_count; i++)
        waited[i] = (struct curl_waitfd){ .fd = fds[i], .events = CURL_WAIT_POLLIN };
    uint64_t late_ms = next_receiver(courier) != NULL ? 0 : until_late(courier);
    if (late_ms < timeout_ms)
        timeout_ms = (unsigned)late_ms;
    int timeout = timeout_ms > INT_MAX ? INT_MAX : (int)timeout_ms;
    CURLMcode code = curl_multi_poll(courier->multi, waited, fd_count, timeout, NULL);
    SL_ASSERT(code == CURLM_OK);
}
