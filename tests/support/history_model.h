/*
 * tests/support/history_model.h - what must be true of streams after requests, answers and crashes
 *
 * What     HistoryStream is one incarnation with everything that a request can change. HistorySlot
 *          is a name: the incarnation that stands there after all answered requests, and the
 *          requests whose outcome nobody knows. HistoryApply() says what a request does and what
 *          it is answered.
 * Why      The contract once more, as plain as can be; what a crash may and may not take is decided
 *          by these few lines and by nothing in the engine.
 */
#ifndef SL_TESTS_HISTORY_MODEL_H
#define SL_TESTS_HISTORY_MODEL_H

#include "support/engine_fixture.h"
#include "support/producer_model.h"

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace sluice_test
{

struct HistoryStream;
using HistoryStreamRef = std::shared_ptr<HistoryStream>;

/* Bytes that a reader was shown: they must be there for ever. */
struct HistorySeen {
    uint64_t at;
    std::string bytes;
};

struct HistoryStream {
    std::string name, content_type = kBytes;
    bool json = false, is_fork = false;
    std::optional<uint64_t> ttl_s;
    /* what changes */
    std::string bytes; /* JSON: as stored, with commas */
    std::set<uint64_t> appends{ 0 }, messages{ 0 };
    bool closed = false, deleted = false;
    std::map<std::string, std::pair<uint64_t, uint64_t>> producers;
    std::string closer_id;
    uint64_t closer_epoch = 0, closer_sequence = 0;
    std::optional<std::string> seq;
    /* around it */
    uint64_t id = 0; /* 0: nobody has said it yet */
    HistoryStreamRef source;
    std::vector<std::weak_ptr<HistoryStream>> forks;
    bool maybe_pinned = false; /* by a fork whose outcome is not known */
    /* what readers saw */
    uint64_t seen_tail = 0;
    bool seen_closed = false;
    std::vector<HistorySeen> seen;

    void Add(const std::vector<std::string> &pieces)
    {
        for (const std::string &piece : pieces) {
            bytes += piece + (json ? "," : "");
            messages.insert(bytes.size());
        }
        appends.insert(bytes.size());
    }
};

/* A change that was submitted. */
struct HistoryChange {
    enum sl_operation_kind kind;
    std::string name;
    CreateRequest create;
    AppendRequest append;
    std::vector<std::string> pieces; /* what it adds: messages of JSON, else one */
    HistoryStreamRef source;         /* of a fork */
    std::optional<uint64_t> point;   /* of a fork, if the request says it; else the source's tail */
    bool must_be_there = false;      /* somebody saw what it did */
    bool had_no_effect = false;      /* a later one was answered: only refusals may be overtaken */
};
using HistoryChangeRef = std::shared_ptr<HistoryChange>;

struct HistoryReply {
    enum sl_err err = SL_OK;
    bool created = false, duplicate = false;
    uint64_t expected_sequence = 0, producer_epoch = 0, producer_sequence = 0;
};

struct HistorySlot {
    HistoryStreamRef stream;               /* null: there is none */
    std::deque<HistoryChangeRef> pending;  /* submitted, not answered */
    std::vector<HistoryChangeRef> unknown; /* answered with "nobody knows", before `pending` */
    uint64_t last_absent = 0;              /* when it was last seen without a stream */
};

/* Where a fork begins, or nothing when there is no such point. */
inline std::optional<uint64_t> HistoryForkPoint(const HistoryStream &source, uint64_t at,
                                                uint64_t sub_offset)
{
    if (at > source.bytes.size() || (source.json && source.messages.count(at) == 0))
        return std::nullopt;
    if (sub_offset == 0)
        return at;
    auto end = source.appends.upper_bound(at);
    if (end == source.appends.end())
        return std::nullopt;
    if (!source.json)
        return sub_offset <= *end - at ? std::optional<uint64_t>(at + sub_offset) : std::nullopt;
    auto message = source.messages.find(at);
    for (uint64_t k = 0; k < sub_offset; k++)
        if (++message == source.messages.end() || *message > *end)
            return std::nullopt;
    return *message;
}

/* `content` is what the source holds when the fork is made. */
inline HistoryStreamRef HistoryMake(const HistoryChange &change, uint64_t fork_point,
                                    const HistoryStream *content)
{
    const CreateRequest &want = change.create;
    HistoryStreamRef made = std::make_shared<HistoryStream>();
    made->name = change.name;
    if (!want.content_type.empty())
        made->content_type = want.content_type;
    if (want.has_ttl)
        made->ttl_s = want.ttl_s;
    if (change.source != nullptr) {
        const HistoryStream &source = *content;
        made->is_fork = true;
        made->content_type = source.content_type;
        made->ttl_s = source.ttl_s;
        made->bytes = source.bytes.substr(0, fork_point);
        made->appends = { source.appends.begin(), source.appends.upper_bound(fork_point) };
        made->messages = { source.messages.begin(), source.messages.upper_bound(fork_point) };
        made->appends.insert(fork_point);
        made->source = change.source;
    }
    made->json = made->content_type == kJson;
    if (!change.pieces.empty())
        made->Add(change.pieces);
    made->closed = want.close;
    return made;
}

/* APPEND to a stream that is there. */
inline HistoryReply HistoryAppend(HistoryStream *stream, const HistoryChange &change)
{
    const AppendRequest &want = change.append;
    HistoryReply reply;
    auto refuse = [&reply](enum sl_err err) {
        reply.err = err;
        return reply;
    };
    bool has_data = !change.pieces.empty();
    if (stream->closed) {
        AnswerOfClosed(*stream, want, has_data, &reply);
        return reply;
    }
    if (has_data && want.content_type != stream->content_type)
        return refuse(SL_ERR_CONTENT_TYPE_MISMATCH);
    if (want.has_producer && IsAnsweredToProducer(*stream, want, &reply))
        return reply;
    if (has_data && want.has_seq && stream->seq && want.seq <= *stream->seq)
        return refuse(SL_ERR_SEQ_ORDERING_VIOLATION);
    if (has_data)
        stream->Add(change.pieces);
    if (has_data && want.has_seq)
        stream->seq = want.seq;
    if (want.has_producer)
        stream->producers[want.producer_id] = { want.epoch, want.sequence };
    if (want.close && want.has_producer) {
        stream->closer_id = want.producer_id;
        stream->closer_epoch = want.epoch;
        stream->closer_sequence = want.sequence;
    }
    stream->closed = want.close;
    return reply;
}

/* A name that is there is created once more: the same stream, or another? */
inline enum sl_err HistoryRepeat(const HistoryStream &have, const CreateRequest &want)
{
    std::string type = want.content_type.empty() ? kBytes : want.content_type;
    std::optional<uint64_t> ttl_s;
    if (want.has_ttl)
        ttl_s = want.ttl_s;
    bool same = !have.is_fork && type == have.content_type && ttl_s == have.ttl_s &&
                want.close == have.closed;
    return same ? SL_OK : SL_ERR_CONFIG_MISMATCH;
}

/*
 * What the change does to `*stream` when its predecessors have done theirs. A deleted stream that
 * its forks hold is `deleted`; whether they still do is the caller's question.
 */
inline HistoryReply HistoryApply(HistoryStreamRef *stream, const HistoryChange &change,
                                 uint64_t fork_point = 0, const HistoryStream *content = nullptr)
{
    HistoryReply reply;
    bool there = *stream != nullptr && !(*stream)->deleted;
    switch (change.kind) {
    case SL_OPERATION_CREATE:
        if (there) {
            reply.err = HistoryRepeat(**stream, change.create);
            return reply;
        }
        *stream = HistoryMake(change, fork_point, content);
        reply.created = true;
        return reply;
    case SL_OPERATION_APPEND:
        if (there)
            return HistoryAppend(stream->get(), change);
        break;
    case SL_OPERATION_DELETE:
        if (there) {
            (*stream)->deleted = true;
            return reply;
        }
        break;
    default:
        break;
    }
    reply.err = *stream == nullptr ? SL_ERR_NOT_FOUND : SL_ERR_GONE;
    return reply;
}

} // namespace sluice_test

#endif
