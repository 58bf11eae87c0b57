#include "protocol/problem.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <string>

static enum sl_err error_at(int i)
{
    return (enum sl_err)i;
}

TEST(Problem, StatusesAreThoseOfTheProtocol)
{
    const struct {
        enum sl_err err;
        int status;
        bool retry_after;
    } cases[] = {
        { SL_ERR_CONFIG_MISMATCH, 409, false },
        { SL_ERR_PATH_BLOCKED, 409, false },
        { SL_ERR_FORK_SOURCE_GONE, 409, false },
        { SL_ERR_STREAM_CLOSED, 409, false },
        { SL_ERR_CONTENT_TYPE_MISMATCH, 409, false },
        { SL_ERR_SEQ_ORDERING_VIOLATION, 409, false },
        { SL_ERR_SEQUENCE_GAP, 409, false },
        { SL_ERR_EPOCH_FENCED, 403, false },
        { SL_ERR_NOT_FOUND, 404, false },
        { SL_ERR_FORK_SOURCE_NOT_FOUND, 404, false },
        { SL_ERR_UNKNOWN_PATH, 404, false },
        { SL_ERR_RESERVED_NAME, 404, false },
        { SL_ERR_GONE, 410, false },
        { SL_ERR_NAME_TOO_LONG, 414, false },
        { SL_ERR_PAYLOAD_TOO_LARGE, 413, false },
        { SL_ERR_TOO_MANY_MESSAGES, 413, false },
        { SL_ERR_METHOD_NOT_ALLOWED, 405, false },
        { SL_ERR_TOO_MANY_STREAMS, 429, true },
        { SL_ERR_TOO_MANY_PRODUCERS, 429, true },
        { SL_ERR_TOO_MANY_READERS, 429, true },
        { SL_ERR_MEMORY_LIMIT_EXCEEDED, 503, true },
        { SL_ERR_STORAGE_FAILED, 503, false },
        { SL_ERR_DISK_FULL, 507, true },
        { SL_ERR_DATA_DAMAGED, 500, false },
        { SL_ERR_DATA_DIRECTORY, 500, false },
        { SL_ERR_DATA_CORRUPT, 500, false },
        { SL_ERR_DATA_LOCKED, 500, false },
        { SL_ERR_DATA_VERSION, 500, false },
        { SL_ERR_DATA_SHARDS, 500, false },
        { SL_ERR_DATA_VOLATILE, 500, false },
        { SL_ERR_DATA_KIND, 500, false },
        { SL_ERR_DESTINATION_IN_USE, 500, false },
        { SL_ERR_DESTINATION_UNUSABLE, 500, false },
        { SL_ERR_SUBSCRIPTION_NOT_FOUND, 404, false },
        { SL_ERR_SUBSCRIPTION_ALREADY_EXISTS, 409, false },
        { SL_ERR_TOKEN_INVALID, 401, false },
        { SL_ERR_TOKEN_EXPIRED, 401, false },
        { SL_ERR_FENCED, 409, false },
        { SL_ERR_ALREADY_CLAIMED, 409, false },
        { SL_ERR_NO_PENDING_WORK, 409, false },
        { SL_ERR_TOO_MANY_SUBSCRIPTIONS, 429, true },
        { SL_ERR_TOO_MANY_LINKS, 429, true },
        { SL_ERR_OVERLOADED, 503, true },
        { SL_ERR_SHUTTING_DOWN, 503, true },
        { SL_ERR_CANCELLED, 503, false },
    };
    std::set<int> named;
    for (const auto &c : cases) {
        named.insert(c.err);
        EXPECT_EQ(sl_problem_of(c.err)->status, c.status) << sl_err_code(c.err);
        EXPECT_EQ(sl_problem_of(c.err)->retry_after, c.retry_after) << sl_err_code(c.err);
    }
    for (int i = 1; i < SL_ERR_COUNT; i++) {
        if (named.count(i) == 0) {
            EXPECT_EQ(sl_problem_of(error_at(i))->status, 400) << sl_err_code(error_at(i));
            EXPECT_FALSE(sl_problem_of(error_at(i))->retry_after) << sl_err_code(error_at(i));
        }
    }
}

TEST(Problem, AnOffsetThatDoesNotFitIsAConflictForAnAck)
{
    for (int i = 1; i < SL_ERR_COUNT; i++)
        EXPECT_EQ(sl_problem_control_status(error_at(i)),
                  error_at(i) == SL_ERR_INVALID_OFFSET ? 409 : sl_problem_of(error_at(i))->status);
}

TEST(Problem, EveryBodyIsTheJsonOfItsParts)
{
    for (int i = 1; i < SL_ERR_COUNT; i++) {
        const struct sl_problem *problem = sl_problem_of(error_at(i));
        std::string code = sl_err_code(error_at(i));
        for (const std::string &text :
             { code, std::string(problem->title), std::string(problem->detail) }) {
            EXPECT_GT(text.size(), 2u) << code;
            for (char c : text)
                EXPECT_TRUE(c >= ' ' && c <= '~' && c != '"' && c != '\\') << text;
        }
        EXPECT_EQ(std::string(problem->body),
                  "{\"type\":\"urn:sluice:error:" + code + "\",\"title\":\"" + problem->title +
                      "\",\"status\":" + std::to_string(problem->status) + ",\"detail\":\"" +
                      problem->detail + "\",\"code\":\"" + code + "\"}");
        EXPECT_EQ(problem->body_size, std::string(problem->body).size()) << code;
        EXPECT_LE(problem->body_size, SL_PROBLEM_SIZE_MAX) << code;
        EXPECT_EQ(problem->detail[strlen(problem->detail) - 1], '.') << code;
    }
}

TEST(Problem, ALimitIsCalledByItsOption)
{
    const std::set<int> more = { SL_ERR_PAYLOAD_TOO_LARGE, SL_ERR_MEMORY_LIMIT_EXCEEDED };
    for (int i = 1; i < SL_ERR_COUNT; i++) {
        const struct sl_problem *problem = sl_problem_of(error_at(i));
        if (problem->status == 429 || more.count(i) > 0) {
            EXPECT_NE(strstr(problem->detail, "The limit is --"), nullptr) << problem->detail;
        }
    }
}

TEST(ProblemDeathTest, SuccessIsNoProblem)
{
    EXPECT_DEATH(sl_problem_of(SL_OK), "SL_OK");
    EXPECT_DEATH(sl_problem_of(error_at(SL_ERR_COUNT)), "SL_ERR_COUNT");
}
