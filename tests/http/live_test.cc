#include "http/live_fixture.h"

#include "http/live_internal.h"

#include <random>

namespace
{

// ---- SSE ----------------------------------------------------------------------------------------

TEST_F(Live, SseSaysAtOnceWhereTheTailIs)
{
    make_stream("s");
    Client *client = sse("s", "-1");
    settle();
    EXPECT_EQ(client->status, 200);
    EXPECT_EQ(client->headers["Content-Type"], "text/event-stream");
    EXPECT_EQ(client->headers["Cache-Control"], "no-cache");
    EXPECT_EQ(client->headers.count("Stream-SSE-Data-Encoding"), 0u);
    EXPECT_EQ(client->body, control(0, at_tail));
}

TEST_F(Live, SseSendsDataAndItsControlTogether)
{
    make_stream("s");
    append("s", "old");
    Client *client = sse("s", "-1");
    settle();
    append("s", "new");
    settle();
    EXPECT_EQ(client->body, "event: data\ndata:old\n\n" + control(3, at_tail) +
                                "event: data\ndata:new\n\n" + control(6, at_tail));
    EXPECT_EQ(client->sends, 2u);
}

TEST_F(Live, SseFromNowSkipsWhatIsThere)
{
    make_stream("s");
    append("s", "old");
    Client *client = sse("s", "now");
    settle();
    EXPECT_EQ(client->body, control(3, at_tail));
}

TEST_F(Live, SseBeyondTheTailBeginsAtTheTail)
{
    make_stream("s");
    append("s", "old");
    Client *client = sse("s", token(99));
    settle();
    append("s", "new");
    settle();
    EXPECT_EQ(client->body,
              control(3, at_tail) + "event: data\ndata:new\n\n" + control(6, at_tail));
}

TEST_F(Live, SseOfBytesIsBase64)
{
    make_stream("s", "application/octet-stream");
    append("s", "abcd");
    Client *client = sse("s", "-1");
    settle();
    EXPECT_EQ(client->headers["Stream-SSE-Data-Encoding"], "base64");
    EXPECT_EQ(client->body, "event: data\ndata:YWJjZA==\n\n" + control(4, at_tail));
}

TEST_F(Live, SseEndsWhenTheStreamIsClosed)
{
    make_stream("s");
    Client *waiting = sse("s", "-1");
    settle();
    streams["s"].data = "x";
    close_stream("s");
    settle();
    EXPECT_EQ(waiting->body, control(0, at_tail) + "event: data\ndata:x\n\n" + control(1, at_end));
    EXPECT_TRUE(waiting->final);
    Client *late = sse("s", "now");
    settle();
    EXPECT_EQ(late->body, control(1, at_end));
    EXPECT_TRUE(late->final);
}

TEST_F(Live, SseIsToldOfACloseWithoutData)
{
    make_stream("s");
    Client *client = sse("s", "-1");
    settle();
    close_stream("s");
    settle();
    EXPECT_EQ(client->body, control(0, at_tail) + control(0, at_end));
    EXPECT_TRUE(client->final);
}

TEST_F(Live, SseEndsWhenTheStreamIsDeletedAlsoIfItIsMadeAgain)
{
    make_stream("s");
    Client *client = sse("s", "-1");
    settle();
    delete_stream("s");
    make_stream("s");
    settle();
    EXPECT_EQ(client->body, control(0, at_tail));
    EXPECT_TRUE(client->final);
}

TEST_F(Live, SseKeepsItsOwnCursorWhileItIsAhead)
{
    make_stream("s");
    Client *client = sse("s", "-1", "&cursor=7");
    Client *other = sse("s", "-1");
    settle();
    append("s", "x");
    settle();
    size_t at = client->body.find("streamCursor\":\"") + 15;
    std::string first = client->body.substr(at, client->body.find('"', at) - at);
    EXPECT_GT(std::stoull(first), 7u);
    EXPECT_EQ(client->body.substr(client->body.find("event: data")),
              "event: data\ndata:x\n\n" +
                  control(1, ",\"streamCursor\":\"" + first + "\",\"upToDate\":true"));
    acceptor.wall_ms += 20000 * 1000;
    append("s", "y");
    settle();
    std::string later = ",\"streamCursor\":\"1007\",\"upToDate\":true";
    for (Client *reader : { client, other })
        EXPECT_NE(reader->body.find(control(2, later)), std::string::npos);
}

TEST_F(Live, ManySubscribersShareOneWaitingReadAndOneDelivery)
{
    make_stream("s");
    std::vector<Client *> readers;
    for (int i = 0; i < 1000; i++)
        readers.push_back(sse("s", "-1"));
    settle();
    EXPECT_EQ(parked.size(), 1u);
    for (int i = 0; i < 5; i++) {
        append("s", "x");
        settle();
    }
    for (Client *reader : readers) {
        uint64_t next;
        EXPECT_EQ(payload_of(reader->body, false, 0, &next), "xxxxx");
        EXPECT_EQ(next, 5u);
        EXPECT_EQ(reader->sends, 6u);
    }
}

TEST_F(Live, AFanOutLeavesRoomForOtherWork)
{
    make_stream("s");
    for (int i = 0; i < 300; i++)
        sse("s", "-1");
    settle();
    append("s", "x");
    int turns = 1;
    while (turn())
        turns++;
    EXPECT_GE(turns, 3);
}

// Each page of line ends takes more than a tenth of a turn's ms to become six times as many bytes.
TEST_F(Live, PagesOfManyReadersLeaveRoomForOtherWork)
{
    make_stream("s");
    append("s", std::string(65536, '\n'));
    std::vector<Client *> clients;
    for (int i = 0; i < 100; i++)
        clients.push_back(sse("s", "-1"));
    gone(clients[99]);
    turn();
    size_t given = 0;
    for (Client *client : clients)
        given += client->sends;
    EXPECT_GE(given, 1u);
    EXPECT_LT(given, 99u);
    gone(clients[98]);
    settle();
    for (int i = 0; i < 98; i++)
        EXPECT_EQ(clients[i]->sends, 1u) << i;
}

TEST_F(Live, TheEndOfLifeWaitsForAPageThatIsToBeSent)
{
    make_stream("s");
    append("s", std::string(20 * 65536, '\n'));
    std::vector<Client *> clients;
    for (int i = 0; i < 100; i++)
        clients.push_back(sse("s", "-1"));
    auto have_begun = [&] {
        return std::all_of(clients.begin(), clients.end(), [](Client *c) { return c->sends > 0; });
    };
    while (!have_begun())
        turn();
    auto count_busy = [this] {
        size_t count = 0;
        for (sl_link *link = live->busy_members.next; link != &live->busy_members;
             link = link->next)
            count++;
        return count;
    };
    size_t busy = count_busy();
    EXPECT_GT(busy, 0u);
    acceptor.now_ms += 60000;
    sl_timer_wheel_advance(&acceptor.wheel, acceptor.now_ms, 1000000, fire, nullptr);
    EXPECT_EQ(count_busy(), busy) << "they end when that is sent";
    settle();
    for (Client *client : clients)
        EXPECT_TRUE(client->final);
}

TEST_F(Live, AReaderThatDoesNotTakeGetsNothingMoreAndReadsOnLater)
{
    make_stream("s");
    Client *slow = sse("s", "-1");
    Client *quick = sse("s", "-1");
    slow->slow = true;
    settle();
    for (int i = 0; i < 5; i++) {
        append("s", std::to_string(i));
        settle();
    }
    EXPECT_EQ(slow->sends, 1u);
    slow->slow = false;
    settle();
    append("s", "5");
    settle();
    EXPECT_EQ(slow->body, control(0, at_tail) + "event: data\ndata:01234\n\n" +
                              control(5, at_tail) + "event: data\ndata:5\n\n" +
                              control(6, at_tail));
    uint64_t next;
    EXPECT_EQ(payload_of(quick->body, false, 0, &next), "012345");
}

TEST_F(Live, AJsonMessageLargerThanAPieceIsOneEvent)
{
    make_stream("s", "application/json");
    std::string large = "\"" + std::string(1000000, 'x') + "\"";
    Client *waiting = sse("s", "-1");
    Client *slow = sse("s", "-1");
    settle();
    slow->slow = true;
    append("s", "1,");
    settle();
    append("s", large + ",");
    settle();
    append("s", "2,");
    settle();
    Client *late = sse("s", "-1");
    slow->slow = false;
    settle();
    for (Client *client : { waiting, slow, late }) {
        uint64_t next;
        EXPECT_EQ(payload_of(client->body, true, 0, &next), "1," + large + ",2,");
        EXPECT_EQ(next, streams["s"].data.size());
    }
    EXPECT_NE(waiting->body.find("event: data\ndata:[" + large + "]\n\nevent: control"),
              std::string::npos);
}

/* An event of several pieces, cut between two messages, where somebody has just come. */
TEST_F(Live, NobodyGetsTheRestOfAnEventThatBeganBeforeHim)
{
    make_stream("s", "application/json");
    std::vector<Client *> first;
    for (int i = 0; i < 1000; i++)
        first.push_back(sse("s", "-1"));
    settle();
    append("s", "0,");
    turn();
    append("s", "1,");
    Client *late = sse("s", "now");
    turn();
    uint64_t begin = streams["s"].piece_end = streams["s"].data.size(), next;
    EXPECT_EQ(late->body, control(begin, at_tail));
    append("s", "2,");
    EXPECT_EQ(first.back()->sends, 1u) << "the first delivery is still under way";
    settle();
    append("s", "3,");
    settle();
    EXPECT_EQ(payload_of(late->body, true, begin, &next), "2,3,");
    for (Client *client : first)
        EXPECT_EQ(payload_of(client->body, true, 0, &next), "0,1,2,3,");
}

TEST_F(Live, NoHeartbeatInsideAnEvent)
{
    make_stream("s", "application/json");
    Client *client = sse("s", "-1");
    settle();
    append("s", "\"" + std::string(1000000, 'x') + "\",");
    turn(); // its first piece
    acceptor.now_ms += 20000;
    sl_timer_wheel_advance(&acceptor.wheel, acceptor.now_ms, 1000000, fire, nullptr);
    settle();
    EXPECT_EQ(client->body.find(":\n\n"), std::string::npos);
    uint64_t next;
    EXPECT_EQ(payload_of(client->body, true, 0, &next), streams["s"].data);
}

TEST_F(Live, TextIsNotCutInsideACharacterOrALineEnd)
{
    make_stream("s");
    std::string data =
        std::string(64 * 1024 - 1, 'x') + "\xc3\xa4" + std::string(64 * 1024 - 1, 'y');
    append("s", data + "\r");
    Client *client = sse("s", "-1");
    settle();
    uint64_t next;
    EXPECT_EQ(payload_of(client->body, false, 0, &next), data + "\n");
    EXPECT_EQ(client->body.find("x\xc3\n"), std::string::npos);
    append("s", "\nz" + std::string(64 * 1024 - 3, 'v') + "\r\nw");
    Client *other = sse("s", token(data.size() + 1));
    settle();
    EXPECT_EQ(other->body.find("v\ndata:\n"), std::string::npos);
    EXPECT_NE(other->body.find("event: data\ndata:\ndata:w\n"), std::string::npos);
    std::string umlauts = "-";
    for (size_t i = 0; i < SL_PIECE_SIZE_BYTES; i++)
        umlauts += "\xc3\xa4";
    size_t at = other->body.size();
    uint64_t start = streams["s"].data.size();
    append("s", umlauts);
    settle();
    EXPECT_EQ(payload_of(other->body.substr(at), false, start, &next), umlauts);
    EXPECT_EQ(other->body.find("\xc3\n", at), std::string::npos);
}

TEST_F(Live, HeartbeatsFillTheSilence)
{
    make_stream("s");
    Client *client = sse("s", "-1");
    settle();
    pass(14900);
    EXPECT_EQ(client->body, control(0, at_tail));
    pass(200);
    EXPECT_EQ(client->body, control(0, at_tail) + ":\n\n");
    pass(15000);
    EXPECT_EQ(client->body, control(0, at_tail) + ":\n\n:\n\n");
}

TEST_F(Live, AnSseResponseEndsAtTheEndOfItsLife)
{
    make_stream("s");
    std::vector<Client *> readers;
    for (int i = 0; i < 100; i++)
        readers.push_back(sse("s", "-1"));
    Client *slow = sse("s", "-1");
    slow->slow = true;
    settle();
    pass(53900);
    size_t ended = 0;
    for (Client *reader : readers)
        ended += reader->final;
    EXPECT_EQ(ended, 0u);
    pass(3000);
    for (Client *reader : readers)
        ended += reader->final;
    EXPECT_GT(ended, 0u);
    EXPECT_LT(ended, 100u) << "not all at once";
    pass(3200);
    for (Client *reader : readers)
        EXPECT_TRUE(reader->final);
    EXPECT_FALSE(slow->final);
    take(slow);
    EXPECT_TRUE(slow->final);
}

TEST_F(Live, TheEndOfLifeWaitsForTheEndOfTheEvent)
{
    make_stream("s", "application/json");
    Client *client = sse("s", "-1");
    Client *slow = sse("s", "-1");
    settle();
    slow->slow = true;
    append("s", "1,");
    settle();
    append("s", "\"" + std::string(1000000, 'x') + "\",");
    append("s", "2,");
    turn();
    take(slow);
    turn(); // both are inside the event now
    acceptor.now_ms += 60000;
    sl_timer_wheel_advance(&acceptor.wheel, acceptor.now_ms, 1000000, fire, nullptr);
    slow->slow = false;
    settle();
    for (Client *reader : { client, slow }) {
        EXPECT_TRUE(reader->final);
        uint64_t next;
        EXPECT_EQ(payload_of(reader->body, true, 0, &next).size(), next);
        EXPECT_EQ(next, 2u + 1000003u) << "the event that was open, and nothing after it";
    }
}

// ---- long-poll ----------------------------------------------------------------------------------

TEST_F(Live, LongPollWithDataIsAnsweredAtOnce)
{
    make_stream("s", "application/json");
    append("s", "1,");
    append("s", "2,");
    Client *client = long_poll("s", token(2));
    settle();
    EXPECT_EQ(client->status, 200);
    EXPECT_EQ(client->body, "[2]");
    EXPECT_EQ(client->headers["Content-Type"], "application/json");
    EXPECT_EQ(client->headers["Stream-Next-Offset"], token(4));
    EXPECT_EQ(client->headers["Stream-Up-To-Date"], "true");
    EXPECT_EQ(client->headers["Stream-Cursor"], "7");
    EXPECT_EQ(client->headers.count("Stream-Closed"), 0u);
    EXPECT_EQ(client->headers.count("ETag"), 1u);
}

TEST_F(Live, LongPollWaitsForDataAlsoOnAnEmptyStream)
{
    make_stream("s", "application/json");
    Client *client = long_poll("s", "-1");
    Client *other = long_poll("s", "now");
    settle();
    EXPECT_EQ(client->status, 0);
    append("s", "1,");
    settle();
    for (Client *reader : { client, other }) {
        EXPECT_EQ(reader->status, 200);
        EXPECT_EQ(reader->body, "[1]");
        EXPECT_EQ(reader->headers["Stream-Next-Offset"], token(2));
        EXPECT_EQ(reader->headers["Stream-Up-To-Date"], "true");
    }
    EXPECT_EQ(client->headers.count("ETag"), 1u);
    EXPECT_EQ(other->headers.count("ETag"), 0u);
    EXPECT_EQ(other->headers["Cache-Control"], "no-store");
}

TEST_F(Live, LongPollTimesOut)
{
    make_stream("s");
    append("s", "x");
    Client *client = long_poll("s", token(1));
    settle();
    pass(990);
    EXPECT_EQ(client->status, 0);
    pass(10);
    EXPECT_EQ(client->status, 204);
    EXPECT_EQ(client->headers["Stream-Next-Offset"], token(1));
    EXPECT_EQ(client->headers["Stream-Up-To-Date"], "true");
    EXPECT_EQ(client->headers["Stream-Cursor"], "7");
    EXPECT_EQ(client->headers["Cache-Control"], "no-store");
    EXPECT_EQ(metrics.value[SL_METRIC_LONG_POLL_TIMEOUTS], 1u);
}

TEST_F(Live, LongPollAtTheEndOfAClosedStreamDoesNotWait)
{
    make_stream("s");
    append("s", "x");
    Client *waiting = long_poll("s", token(1));
    settle();
    close_stream("s");
    Client *late = long_poll("s", token(1));
    settle();
    for (Client *client : { waiting, late }) {
        EXPECT_EQ(client->status, 204);
        EXPECT_EQ(client->headers["Stream-Closed"], "true");
        EXPECT_EQ(client->headers["Stream-Next-Offset"], token(1));
        EXPECT_EQ(client->headers["Stream-Up-To-Date"], "true");
        EXPECT_EQ(client->headers.count("Stream-Cursor"), 0u);
    }
}

TEST_F(Live, LongPollGetsTheLastDataAndTheEndTogether)
{
    make_stream("s");
    Client *client = long_poll("s", "-1");
    settle();
    streams["s"].data = "x";
    close_stream("s");
    settle();
    EXPECT_EQ(client->status, 200);
    EXPECT_EQ(client->body, "x");
    EXPECT_EQ(client->headers["Stream-Closed"], "true");
    EXPECT_EQ(client->headers.count("Stream-Cursor"), 0u);
}

TEST_F(Live, LongPollBeyondTheTailIsAnsweredEmpty)
{
    make_stream("s", "application/json");
    append("s", "1,");
    Client *client = long_poll("s", token(99));
    settle();
    EXPECT_EQ(client->status, 200);
    EXPECT_EQ(client->body, "[]");
    EXPECT_EQ(client->headers["Stream-Next-Offset"], token(2));
    EXPECT_EQ(client->headers["Cache-Control"], "no-store");
}

TEST_F(Live, LongPollGetsALargeJsonMessageWhole)
{
    make_stream("s", "application/json");
    std::string large = "\"" + std::string(1000000, 'x') + "\"";
    Client *client = long_poll("s", "-1");
    settle();
    append("s", large + ",");
    settle();
    EXPECT_EQ(client->status, 200);
    EXPECT_EQ(client->body, "[" + large + "]");
}

TEST_F(Live, ADeletedStreamIsAProblemForItsLongPolls)
{
    make_stream("s");
    Client *client = long_poll("s", "-1");
    settle();
    delete_stream("s");
    settle();
    EXPECT_EQ(client->headers["problem"], "NOT_FOUND");
}

// ---- both ---------------------------------------------------------------------------------------

TEST_F(Live, ALiveReadNeedsAnOffset)
{
    make_stream("s");
    for (const char *mode : { "live=sse", "live=long-poll", "live=sse&offset=x" }) {
        Client *client = get("s", mode);
        settle();
        EXPECT_EQ(client->headers["problem"], "INVALID_OFFSET") << mode;
    }
}

TEST_F(Live, AMissingStreamComesBeforeABadOffset)
{
    Client *client = get("nowhere", "live=sse&offset=x");
    settle();
    EXPECT_EQ(client->headers["problem"], "NOT_FOUND");
}

TEST_F(Live, TooManyReadersAreRefused)
{
    options.live_readers_max = 3;
    sl_live_destroy(&live);
    live = acceptor.live = sl_live_create(&acceptor);
    make_stream("s");
    std::vector<Client *> readers;
    for (int i = 0; i < 4; i++)
        readers.push_back(sse("s", "-1"));
    settle();
    EXPECT_EQ(readers[2]->status, 200);
    EXPECT_EQ(readers[3]->headers["problem"], "TOO_MANY_READERS");
    gone(readers[0]);
    Client *next = sse("s", "-1");
    settle();
    EXPECT_EQ(next->status, 200);
}

TEST_F(Live, TheWaitingReadIsCancelledWithItsLastMemberAndRevivedByTheNext)
{
    make_stream("s");
    Client *client = sse("s", "-1");
    settle();
    gone(client);
    EXPECT_EQ(cancels, 1u);
    Client *next = sse("s", "-1"); /* before the operation is back */
    settle();
    EXPECT_EQ(parked.size(), 1u);
    append("s", "x");
    settle();
    EXPECT_NE(next->body.find("data:x"), std::string::npos);
}

TEST_F(Live, DrainEndsEverythingCleanly)
{
    make_stream("s");
    Client *waiting = sse("s", "-1");
    Client *poll = long_poll("s", "-1");
    Client *slow = sse("s", "-1");
    slow->slow = true;
    settle();
    Client *reading = sse("s", "-1");
    Client *reading_poll = long_poll("s", "-1");
    acceptor.draining = true;
    sl_live_drain(live);
    settle();
    Client *late = sse("s", "-1");
    settle();
    take(slow);
    for (Client *client : { waiting, slow, reading, late }) {
        EXPECT_TRUE(client->final);
        EXPECT_EQ(client->body, control(0, at_tail));
    }
    EXPECT_EQ(poll->status, 204);
    EXPECT_EQ(reading_poll->status, 204);
}

TEST_F(Live, NothingIsLostInAStorm)
{
    std::mt19937_64 chance(1);
    auto pick = [&](uint64_t n) { return chance() % n; };
    for (int round = 0; round < 12; round++) {
        bool json = round % 2 == 1;
        make_stream("s", json ? "application/json" : "text/plain");
        std::vector<Client *> readers;
        std::vector<Client *> polls;
        for (int step = 0; step < 400; step++) {
            std::string data = streams["s"].data;
            uint64_t start = streams["s"].ends[pick(streams["s"].ends.size())];
            switch (pick(12)) {
            case 0:
            case 1:
                readers.push_back(sse("s", token(start)));
                readers.back()->slow = pick(2);
                readers.back()->start = start;
                break;
            case 2:
                polls.push_back(long_poll("s", token(start)));
                polls.back()->start = start;
                break;
            case 3:
            case 4:
            case 5: {
                uint64_t size = pick(20) == 0 ? pick(400000) : pick(100);
                std::string text(1 + size, static_cast<char>('a' + pick(26)));
                append("s", json ? "\"" + text + "\"," : text);
                break;
            }
            case 6:
            case 7:
                if (!readers.empty())
                    take(readers[pick(readers.size())]);
                break;
            case 8:
                if (!readers.empty() && pick(3) == 0)
                    gone(readers[pick(readers.size())]);
                if (!polls.empty() && pick(3) == 0)
                    gone(polls[pick(polls.size())]);
                break;
            case 9:
                acceptor.now_ms += pick(100);
                sl_timer_wheel_advance(&acceptor.wheel, acceptor.now_ms, 1000000, fire, nullptr);
                break;
            case 10:
                std::shuffle(done.begin(), done.end(), chance);
                break;
            default:
                turn();
            }
        }
        std::string data = streams["s"].data;
        switch (round % 3) {
        case 0:
            close_stream("s");
            break;
        case 1:
            delete_stream("s");
            break;
        case 2:
            pass(100);
            break;
        }
        for (Client *reader : readers)
            reader->slow = false;
        settle();
        for (Client *reader : readers) {
            uint64_t next;
            std::string got = payload_of(reader->body, json, reader->start, &next);
            ASSERT_EQ(got, data.substr(reader->start, got.size()));
            if (round % 3 == 0) {
                EXPECT_EQ(reader->exchange, nullptr);
            }
            bool complete = reader->exchange != nullptr || (round % 3 == 0 && reader->final);
            if (round % 3 != 1 && complete) {
                EXPECT_EQ(next, data.size());
            }
        }
        for (Client *poll : polls) {
            std::string got = poll->body;
            if (json && !got.empty())
                got = got.substr(1, got.size() - 2) + ",";
            ASSERT_EQ(got, data.substr(poll->start, got.size()));
        }
        for (auto &client : all)
            gone(client.get());
        settle();
        ASSERT_TRUE(parked.empty());
        all.clear();
    }
}

} // namespace
