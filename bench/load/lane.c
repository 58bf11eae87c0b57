#include "load/lane.h"

#include <sys/epoll.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/memory.h"
#include "load/connection.h"
#include "load/worker.h"

#define NS_PER_S 1e9

enum {
    CONNECTING_MAX = 128,       /* below the backlog of any server */
    SEND_SIZE_MAX = 128 * 1024, /* bytes of requests in one send */
    STATUS_OK_MIN = 200,
    STATUS_OK_MAX = 299,
    STATUS_NOT_MODIFIED = 304,
};

static const struct load_word offset_start = { .size = 2, .text = "-1" };
static const struct load_word offset_now = { .size = 3, .text = "now" };

static void publish(uint64_t *value, uint64_t to)
{
    __atomic_store_n(value, to, __ATOMIC_RELAXED);
}

static bool is_live(const struct load_lane *lane)
{
    return load_kind_is_live(lane->role->kind);
}

static bool in_window(const struct load_lane *lane, uint64_t instant_ns)
{
    const struct load_window *window = &lane->worker->window;
    return instant_ns >= window->start_ns && instant_ns < window->end_ns;
}

/* This thread's part of `whole`, of which every connection has the same. */
static uint64_t share_before(const struct load_role *role, uint64_t whole, uint64_t connection)
{
    return (uint64_t)((__uint128_t)whole * connection / role->connections);
}

/* ---- requests ------------------------------------------------------------------------------- */

static uint64_t next_random(struct load_lane *lane)
{
    lane->random ^= lane->random << 13;
    lane->random ^= lane->random >> 7;
    lane->random ^= lane->random << 17;
    return lane->random;
}

static uint64_t pick_stream(struct load_lane *lane, const struct load_connection *connection)
{
    const struct load_role *role = lane->role;

    if (role->pick == LOAD_PICK_OWN)
        return connection->number % role->streams;
    if (role->pick == LOAD_PICK_TURN)
        return lane->turn++ % role->streams;
    /* The upper half of the product is even over the streams, without a division. */
    return (uint64_t)((__uint128_t)next_random(lane) * role->streams >> 64);
}

/* Sums over all live readers; in lockstep there is one worker, so they are all its own. */
static uint64_t reader_count(const struct load_lane *lane)
{
    const struct load_worker *worker = lane->worker;
    uint64_t count = 0;

    for (unsigned i = 0; i < worker->run->plan->role_count; i++)
        count += is_live(&worker->lanes[i]) ? worker->lanes[i].connection_count : 0;
    return count;
}

static uint64_t delivered(const struct load_lane *lane)
{
    const struct load_worker *worker = lane->worker;
    uint64_t sum = 0;

    for (unsigned i = 0; i < worker->run->plan->role_count; i++)
        sum += worker->lanes[i].progress.delivered;
    return sum;
}

/* Whether a request of that instant belongs to the run. */
static bool may_begin(const struct load_lane *lane, uint64_t due_ns)
{
    const struct load_window *window = &lane->worker->window;

    if (window->begin_ns == 0 || due_ns >= window->end_ns)
        return false;
    if (lane->role->lockstep && delivered(lane) < lane->deliveries_wanted)
        return false;
    return lane->role->count == 0 || lane->left > 0;
}

static void put_flight(struct load_connection *connection, uint64_t due_ns, uint64_t now_ns)
{
    const struct load_role *role = connection->lane->role;
    uint64_t at = (connection->flight_head + connection->in_flight) % role->depth;

    SL_ASSERT(connection->in_flight < role->depth);
    connection->flights[at] = (struct load_flight){ .due_ns = due_ns, .sent_ns = now_ns };
    connection->in_flight++;
}

static void write_request(struct load_lane *lane, struct load_connection *connection,
                          const struct load_request *request, uint64_t time_ns)
{
    struct sl_buffer *out = &lane->worker->out;
    struct load_fields fields = {
        .stream = connection->stream,
        .producer = connection->number,
        .sequence = connection->sequence,
        .time_ns = time_ns,
        .offset = &connection->offset,
        .etag = &connection->etag,
    };

    uint8_t *place = sl_buffer_reserve(out, load_request_size_max(request));
    out->size += load_request_write(request, &fields, place);
}

/* Writes one more request of the role. */
static void put_request(struct load_lane *lane, struct load_connection *connection, uint64_t due_ns,
                        uint64_t now_ns)
{
    connection->stream = pick_stream(lane, connection);
    write_request(lane, connection, lane->request, due_ns);
    connection->sequence++;
    if (lane->role->lockstep)
        lane->deliveries_wanted += reader_count(lane);
    if (lane->role->count > 0)
        lane->left--;
    put_flight(connection, due_ns, now_ns);
    publish(&lane->progress.in_flight, lane->progress.in_flight + 1);
}

static void restart(struct load_lane *lane, struct load_connection *connection);

/* Sends what was written. */
static void send_out(struct load_lane *lane, struct load_connection *connection,
                     const struct load_request *request)
{
    struct load_worker *worker = lane->worker;
    struct sl_bytes text = sl_buffer_bytes(&worker->out);

    bool sent = load_connection_send(connection, worker->epoll, text, worker->run->filling,
                                     request->filling);
    sl_buffer_clear(&worker->out);
    if (!sent)
        restart(lane, connection);
}

/* A closed loop: as many requests as the connection may have under way. */
static void send_more(struct load_lane *lane, struct load_connection *connection, uint64_t now_ns)
{
    const struct load_role *role = lane->role;

    while (connection->fd >= 0 && !load_connection_is_stuck(connection) &&
           connection->in_flight < role->depth && may_begin(lane, now_ns)) {
        do {
            put_request(lane, connection, now_ns, now_ns);
        } while (lane->request->filling == 0 && connection->in_flight < role->depth &&
                 lane->worker->out.size < SEND_SIZE_MAX && may_begin(lane, now_ns));
        send_out(lane, connection, lane->request);
    }
}

/* An open loop: the connection waits for the next instant. */
static void set_free(struct load_lane *lane, struct load_connection *connection)
{
    if (connection->is_free || connection->fd < 0 || connection->connecting ||
        load_connection_is_stuck(connection) || connection->in_flight == lane->role->depth)
        return;
    lane->free[(lane->free_head + lane->free_count) % lane->connection_count] = connection;
    lane->free_count++;
    connection->is_free = true;
}

/* A live reader asks for what comes next; the first time it looks where the end is. */
static void follow(struct load_lane *lane, struct load_connection *connection, uint64_t now_ns)
{
    bool looks = lane->role->kind == LOAD_LONG_POLL && connection->offset.size == 0;
    const struct load_request *request = looks ? lane->look : lane->request;

    if (lane->role->kind == LOAD_SSE || looks)
        connection->offset = offset_now;
    connection->stream = pick_stream(lane, connection);
    write_request(lane, connection, request, now_ns);
    put_flight(connection, now_ns, now_ns);
    send_out(lane, connection, request);
}

/* The connection has room: whatever its role does then. */
static void go_on(struct load_lane *lane, struct load_connection *connection, uint64_t now_ns)
{
    if (connection->is_retired || connection->fd < 0)
        return;
    if (is_live(lane)) {
        if (connection->in_flight == 0)
            follow(lane, connection, now_ns);
    } else if (lane->role->rate > 0) {
        set_free(lane, connection);
    } else {
        send_more(lane, connection, now_ns);
    }
}

/* ---- connections ---------------------------------------------------------------------------- */

static void set_ready(struct load_lane *lane, struct load_connection *connection)
{
    if (!connection->is_ready)
        publish(&lane->progress.ready, lane->progress.ready + 1);
    connection->is_ready = true;
}

static void retire(struct load_lane *lane, struct load_connection *connection)
{
    connection->is_retired = true;
    load_connection_close(connection);
    set_ready(lane, connection);
}

static void open_connection(struct load_lane *lane, struct load_connection *connection)
{
    if (load_connection_open(connection, lane->worker->run->plan, lane->worker->epoll)) {
        lane->connecting++;
        return;
    }
    lane->result.refused++;
    retire(lane, connection);
}

/* Requests have ended, one way or the other; perhaps they were the last of the count. */
static void end_flights(struct load_lane *lane, uint64_t count, uint64_t now_ns)
{
    publish(&lane->progress.in_flight, lane->progress.in_flight - count);
    if (lane->role->count > 0 && lane->left == 0 && lane->progress.in_flight == 0)
        publish(&lane->progress.finished_ns, now_ns);
}

/* Ends the connection and begins it again. */
static void restart(struct load_lane *lane, struct load_connection *connection)
{
    lane->result.lost += connection->in_flight;
    if (!is_live(lane))
        end_flights(lane, connection->in_flight, sl_clock_monotonic_ns());
    load_connection_close(connection);
    open_connection(lane, connection);
}

static void on_connected(struct load_lane *lane, struct load_connection *connection)
{
    lane->connecting--;
    if (!load_connection_connected(connection, lane->worker->epoll)) {
        lane->result.refused++;
        retire(lane, connection);
        return;
    }
    if (!is_live(lane))
        set_ready(lane, connection);
    if (lane->role->kind == LOAD_READ)
        connection->offset = offset_start;
    go_on(lane, connection, sl_clock_monotonic_ns());
}

/* ---- answers -------------------------------------------------------------------------------- */

static bool is_good(unsigned status)
{
    return (status >= STATUS_OK_MIN && status <= STATUS_OK_MAX) || status == STATUS_NOT_MODIFIED;
}

/* Counts an answer, and how long it took if it is a good one. */
static void count_answer(struct load_lane *lane, struct load_connection *connection,
                         const struct load_flight *flight, uint64_t now_ns)
{
    struct load_result *result = &lane->result;

    if (!is_good(connection->response.status))
        return;
    publish(&lane->progress.answered, lane->progress.answered + 1);
    if (in_window(lane, now_ns)) {
        result->operations++;
        connection->answered++;
    }
    if (in_window(lane, flight->due_ns) && !is_live(lane)) {
        load_histogram_add(&result->latency, now_ns - flight->due_ns);
        load_histogram_add(&result->service, now_ns - flight->sent_ns);
    }
}

static bool is_same_word(const struct load_word *a, const struct load_word *b)
{
    return sl_bytes_equal(sl_bytes(a->text, a->size), sl_bytes(b->text, b->size));
}

/* A reader's answer: true when the next page was asked for. */
static bool read_on(struct load_lane *lane, struct load_connection *connection)
{
    const struct load_response *response = &connection->response;
    bool more = response->status == STATUS_OK_MIN && !response->up_to_date &&
                response->offset.size > 0 && !is_same_word(&response->offset, &connection->offset);

    if (more) {
        connection->offset = response->offset;
        write_request(lane, connection, lane->request, 0);
        send_out(lane, connection, lane->request);
        return true;
    }
    connection->offset = offset_start;
    if (lane->role->etag && response->etag.size > 0)
        connection->etag = response->etag;
    return false;
}

/* A live reader's answer has ended: true when it can go on. */
static bool follow_on(struct load_lane *lane, struct load_connection *connection)
{
    const struct load_response *response = &connection->response;

    set_ready(lane, connection);
    if (!is_good(response->status))
        return false;
    connection->offset = response->offset;
    return true;
}

static void on_answer(struct load_lane *lane, struct load_connection *connection, uint64_t now_ns)
{
    SL_ASSERT(connection->response.status < LOAD_STATUS_MAX);
    lane->result.status[connection->response.status]++;
    lane->result.retry_after += connection->response.retry_after;
    if (lane->role->kind == LOAD_READ && read_on(lane, connection))
        return;
    struct load_flight flight = connection->flights[connection->flight_head];
    connection->flight_head = (connection->flight_head + 1) % lane->role->depth;
    connection->in_flight--;
    count_answer(lane, connection, &flight, now_ns);
    if (!is_live(lane))
        end_flights(lane, 1, now_ns);
    else if (!follow_on(lane, connection))
        retire(lane, connection);
}

static void on_delivery(struct load_lane *lane, uint64_t time_ns, uint64_t now_ns)
{
    publish(&lane->progress.delivered, lane->progress.delivered + 1);
    if (in_window(lane, now_ns))
        lane->result.deliveries++;
    if (in_window(lane, time_ns) && now_ns >= time_ns)
        load_histogram_add(&lane->result.delivery, now_ns - time_ns);
}

/* Finds the times in what a live reader gets; one may lie in two pieces. */
static void scan_body(struct load_lane *lane, struct load_connection *connection,
                      struct sl_bytes body, uint64_t now_ns)
{
    const uint8_t *at = body.data, *end = body.data + body.size;

    while (at < end) {
        if (connection->mark_digits == 0) {
            at = (const uint8_t *)memchr(at, LOAD_TIME_MARK, (size_t)(end - at));
            if (at == NULL)
                return;
            at++;
            connection->mark_digits = 1;
            connection->mark = 0;
            continue;
        }
        unsigned c = *at++;
        bool is_digit = c >= '0' && c <= '9';
        if (!is_digit && !(c >= 'a' && c <= 'f')) {
            connection->mark_digits = 0;
            continue;
        }
        connection->mark = connection->mark << 4 | (is_digit ? c - '0' : c - 'a' + 10);
        if (connection->mark_digits++ == LOAD_TIME_DIGITS) {
            on_delivery(lane, connection->mark, now_ns);
            connection->mark_digits = 0;
        }
    }
}

/* False: the connection is of no use any more. */
static bool take_input(struct load_lane *lane, struct load_connection *connection,
                       struct sl_bytes input, uint64_t now_ns)
{
    struct sl_bytes body;

    for (;;) {
        switch (load_response_next(&connection->response, &input, &body)) {
        case LOAD_RESPONSE_MORE:
            sl_buffer_append_bytes(&connection->carry, input);
            return true;
        case LOAD_RESPONSE_HEAD:
            if (lane->role->kind == LOAD_SSE && is_good(connection->response.status))
                set_ready(lane, connection);
            break;
        case LOAD_RESPONSE_BODY:
            if (is_live(lane))
                scan_body(lane, connection, body, now_ns);
            break;
        case LOAD_RESPONSE_END:
            /* An answer that nobody asked for: the server says that it closes. */
            if (connection->in_flight == 0)
                return false;
            on_answer(lane, connection, now_ns);
            if (connection->fd < 0)
                return true;
            if (connection->response.close)
                return false;
            break;
        case LOAD_RESPONSE_BAD:
            lane->result.bad++;
            return false;
        }
    }
}

static void receive(struct load_lane *lane, struct load_connection *connection)
{
    struct sl_bytes input;
    bool broken;
    int64_t size = load_connection_receive(connection, lane->worker->in, &input, &broken);
    uint64_t now_ns = sl_clock_monotonic_ns();

    if (size < 0 && !broken)
        return;
    if (size <= 0) {
        /* A body without a length ends like that. */
        if (connection->response.state == LOAD_RESPONSE_UNTIL_CLOSE && connection->in_flight > 0)
            on_answer(lane, connection, now_ns);
        if (connection->fd >= 0)
            restart(lane, connection);
        return;
    }
    if (in_window(lane, now_ns))
        lane->result.bytes_received += (uint64_t)size;
    if (!take_input(lane, connection, input, now_ns)) {
        restart(lane, connection);
        return;
    }
    go_on(lane, connection, now_ns);
}

void load_lane_on_event(struct load_lane *lane, struct load_connection *connection, uint32_t events)
{
    struct load_worker *worker = lane->worker;

    if (connection->fd < 0)
        return;
    if (connection->connecting) {
        on_connected(lane, connection);
        return;
    }
    if ((events & EPOLLOUT) && load_connection_is_stuck(connection)) {
        if (!load_connection_flush(connection, worker->epoll, worker->run->filling)) {
            restart(lane, connection);
            return;
        }
        if (!load_connection_is_stuck(connection) && !is_live(lane))
            go_on(lane, connection, sl_clock_monotonic_ns());
    }
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && connection->fd >= 0)
        receive(lane, connection);
}

/* ---- the run -------------------------------------------------------------------------------- */

void load_lane_init(struct load_lane *lane, struct load_worker *worker, unsigned role_index)
{
    const struct load_plan *plan = worker->run->plan;
    const struct load_role *role = &plan->roles[role_index];
    uint64_t first = role->connections * worker->index / plan->threads;
    uint64_t count = role->connections * (worker->index + 1) / plan->threads - first;

    *lane = (struct load_lane){
        .worker = worker,
        .role = role,
        .request = &worker->run->requests[role_index],
        .look = &worker->run->looks[role_index],
        .connection_first = first,
        .connection_count = count,
        .turn = share_before(role, role->count > 0 ? role->count : role->streams, first),
        .random = (worker->index + 1) * UINT64_C(0x9e3779b97f4a7c15) + role_index,
    };
    lane->left =
        share_before(role, role->count, first + count) - share_before(role, role->count, first);
    if (role->rate > 0 && count > 0)
        lane->interval_ns =
            NS_PER_S * (double)role->connections / ((double)role->rate * (double)count);
    lane->free = (struct load_connection **)sl_memory_zalloc(count * sizeof *lane->free);
    lane->connections =
        (struct load_connection *)sl_memory_zalloc(count * sizeof *lane->connections);
    for (uint64_t i = 0; i < count; i++) {
        lane->connections[i].lane = lane;
        lane->connections[i].fd = -1;
        lane->connections[i].number = first + i;
        lane->connections[i].flights = (struct load_flight *)sl_memory_alloc(
            role->depth * sizeof *lane->connections[i].flights);
    }
}

void load_lane_deinit(struct load_lane *lane)
{
    for (uint64_t i = 0; i < lane->connection_count; i++) {
        load_connection_close(&lane->connections[i]);
        sl_memory_free(lane->connections[i].flights);
    }
    sl_memory_free(lane->connections);
    sl_memory_free(lane->free);
}

void load_lane_connect(struct load_lane *lane)
{
    while (lane->connected < lane->connection_count && lane->connecting < CONNECTING_MAX)
        open_connection(lane, &lane->connections[lane->connected++]);
}

void load_lane_begin(struct load_lane *lane, uint64_t now_ns)
{
    /* The lanes of a role take turns rather than send at the same instant. */
    double first =
        lane->interval_ns * (double)lane->worker->index / (double)lane->worker->run->plan->threads;

    lane->due_ns = (double)lane->worker->window.begin_ns + first;
    if (is_live(lane))
        return;
    if (lane->role->count > 0 && lane->left == 0)
        publish(&lane->progress.finished_ns, now_ns);
    for (uint64_t i = 0; i < lane->connection_count; i++)
        go_on(lane, &lane->connections[i], now_ns);
}

void load_lane_pace(struct load_lane *lane, uint64_t now_ns)
{
    for (uint64_t i = 0; lane->role->lockstep && i < lane->connection_count; i++)
        go_on(lane, &lane->connections[i], now_ns);
    if (lane->role->rate == 0 || is_live(lane))
        return;
    while (lane->free_count > 0 && lane->due_ns <= (double)now_ns &&
           may_begin(lane, (uint64_t)lane->due_ns)) {
        struct load_connection *connection = lane->free[lane->free_head];
        SL_ASSERT(lane->connection_count > 0); /* one of them is free */
        lane->free_head = (lane->free_head + 1) % lane->connection_count;
        lane->free_count--;
        connection->is_free = false;
        if (connection->fd < 0 || connection->connecting)
            continue;
        put_request(lane, connection, (uint64_t)lane->due_ns, now_ns);
        lane->due_ns += lane->interval_ns;
        send_out(lane, connection, lane->request);
        set_free(lane, connection);
    }
}

uint64_t load_lane_wait_ns(const struct load_lane *lane, uint64_t now_ns)
{
    if (lane->free_count == 0 || !may_begin(lane, (uint64_t)lane->due_ns))
        return UINT64_MAX;
    return lane->due_ns <= (double)now_ns ? 0 : (uint64_t)lane->due_ns - now_ns;
}

/* A request that was never answered took at least until now. */
static void count_unfinished(struct load_lane *lane, uint64_t due_ns, uint64_t now_ns)
{
    lane->result.unfinished++;
    if (in_window(lane, due_ns))
        load_histogram_add(&lane->result.latency, now_ns - due_ns);
}

void load_lane_end(struct load_lane *lane, uint64_t now_ns)
{
    struct load_result *result = &lane->result;

    result->connection_least = UINT64_MAX;
    for (uint64_t i = 0; i < lane->connection_count; i++) {
        const struct load_connection *connection = &lane->connections[i];
        if (connection->answered < result->connection_least)
            result->connection_least = connection->answered;
        if (connection->answered > result->connection_most)
            result->connection_most = connection->answered;
        for (uint64_t k = 0; k < connection->in_flight && !is_live(lane); k++) {
            const struct load_flight *flight =
                &connection->flights[(connection->flight_head + k) % lane->role->depth];
            count_unfinished(lane, flight->due_ns, now_ns);
            if (in_window(lane, flight->due_ns))
                load_histogram_add(&result->service, now_ns - flight->sent_ns);
        }
    }
    if (lane->role->rate == 0 || lane->interval_ns <= 0)
        return;
    /* What was due and found no connection. */
    for (; may_begin(lane, (uint64_t)lane->due_ns); lane->due_ns += lane->interval_ns)
        count_unfinished(lane, (uint64_t)lane->due_ns, now_ns);
}
