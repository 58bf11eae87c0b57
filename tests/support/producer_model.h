/*
 * tests/support/producer_model.h - what an append may be answered because of who sent it
 *
 * What     The part of a reference model that closed streams and idempotent producers are judged by. A
 *          model's stream has closer_id, closer_epoch, closer_sequence, and producers: epoch and
 *          highest sequence by id.
 */
#ifndef SL_TESTS_PRODUCER_MODEL_H
#define SL_TESTS_PRODUCER_MODEL_H

#include "support/engine_fixture.h"

namespace sluice_test
{

/* Of a closed stream. */
template <class Stream, class Reply>
void AnswerOfClosed(const Stream &stream, const AppendRequest &want, bool has_data, Reply *reply)
{
    bool closer = want.has_producer && !stream.closer_id.empty() &&
                  want.producer_id == stream.closer_id && want.epoch == stream.closer_epoch &&
                  want.sequence == stream.closer_sequence;
    reply->duplicate = closer;
    reply->producer_sequence = closer ? want.sequence : 0;
    reply->producer_epoch = closer ? want.epoch : 0;
    if (!closer && (has_data || want.has_producer))
        reply->err = SL_ERR_STREAM_CLOSED;
}

/* Of an open stream to a producer. True: *reply is the answer; false: the append goes on. */
template <class Stream, class Reply>
bool IsAnsweredToProducer(const Stream &stream, const AppendRequest &want, Reply *reply)
{
    auto known = stream.producers.find(want.producer_id);
    bool is_new = known == stream.producers.end();
    uint64_t epoch = is_new ? want.epoch : known->second.first;
    uint64_t expected = is_new ? 0 : known->second.second + 1;
    reply->producer_epoch = epoch;
    if (want.epoch < epoch) {
        reply->err = SL_ERR_EPOCH_FENCED;
    } else if (want.epoch > epoch && want.sequence != 0) {
        reply->err = SL_ERR_INVALID_PRODUCER_STATE;
    } else if (want.epoch == epoch && want.sequence > expected) {
        reply->expected_sequence = expected;
        reply->err = SL_ERR_SEQUENCE_GAP;
    } else if (want.epoch == epoch && want.sequence < expected) {
        reply->duplicate = true;
        reply->producer_sequence = expected - 1;
    }
    return reply->err != SL_OK || reply->duplicate;
}

} // namespace sluice_test

#endif
