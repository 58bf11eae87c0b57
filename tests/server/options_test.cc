#include "server/options.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

namespace
{

class Options : public ::testing::Test
{
  protected:
    void TearDown() override
    {
        sl_server_options_deinit(&options_);
        sl_buffer_deinit(&problem_);
        if (!file_.empty())
            unlink(file_.c_str());
    }

    bool Init(std::vector<std::string> arguments, std::vector<std::string> environment = {})
    {
        std::vector<char *> argument_list, environment_list;
        for (std::string &text : arguments)
            argument_list.push_back(text.data());
        for (std::string &text : environment)
            environment_list.push_back(text.data());
        environment_list.push_back(nullptr);
        sl_server_options_deinit(&options_);
        sl_buffer_clear(&problem_);
        return sl_server_options_init(&options_, static_cast<int>(argument_list.size()),
                                      argument_list.data(), environment_list.data(), &problem_);
    }

    std::string Problem() const
    {
        return std::string(reinterpret_cast<const char *>(problem_.data), problem_.size);
    }

    /* Writes a configuration file and returns its name. */
    std::string File(const std::string &text)
    {
        file_ = ::testing::TempDir() + "sluice-options-test-" + std::to_string(getpid());
        FILE *file = fopen(file_.c_str(), "w");
        EXPECT_EQ(text.size(), fwrite(text.data(), 1, text.size(), file));
        fclose(file);
        return file_;
    }

    sl_server_options options_ = {};
    sl_buffer problem_ = {};
    std::string file_;
};

/* Signed by itself. */
constexpr char kCertificate[] = "-----BEGIN CERTIFICATE-----\n"
                                "MIIBLjCB4aADAgECAhQaDRLSVVfwJbA7EetPL6Mz+5+mRzAFBgMrZXAwDDEKMAgG\n"
                                "A1UEAwwBYTAgFw0yNjExMjYxMDA4MTVaGA8yMTI2MTEwMjEwMDgxNVowDDEKMAgG\n"
                                "A1UEAwwBYTAqMAUGAytlcAMhAD+0fMcnN1iCnvZFvz6Cp6aTB3XyWVJ1R6Reh9wD\n"
                                "ML34o1MwUTAdBgNVHQ4EFgQU7ck1bDtFSMnpGTpIldI1L8BsG0MwHwYDVR0jBBgw\n"
                                "FoAU7ck1bDtFSMnpGTpIldI1L8BsG0MwDwYDVR0TAQH/BAUwAwEB/zAFBgMrZXAD\n"
                                "QQBH0HpqfMsnfdPiRjC/Wpxr+P1AOhWn8k3p4Z+lFMq1sek7g/4Ygutl5kT4ioek\n"
                                "PeH50JpHmrmLi1k6qI4IuHUE\n"
                                "-----END CERTIFICATE-----\n";

} // namespace

TEST_F(Options, HaveDefaults)
{
    ASSERT_TRUE(Init({})) << Problem();
    ASSERT_EQ(1u, options_.address_count);
    EXPECT_STREQ("127.0.0.1:4437", options_.addresses[0]);
    EXPECT_FALSE(options_.memory);
    EXPECT_STREQ("sluice-data", options_.engine.data_directory);
    EXPECT_TRUE(sl_bytes_equal(sl_bytes_of("/v1/stream"), options_.http.stream_root));
    EXPECT_EQ(0u, options_.http.public_url.size);
    EXPECT_EQ(30000u, options_.http.long_poll_timeout_ms);
    EXPECT_EQ(16777216u, options_.http.body_size_max);
    EXPECT_EQ(0u, options_.http.acceptors);
    EXPECT_EQ(0u, options_.engine.shards);
    EXPECT_EQ(4000000u, options_.engine.streams_max);
    EXPECT_EQ(10000u, options_.engine.producers_per_stream_max);
}

TEST_F(Options, TakeValuesAfterABlankOrAnEqualSign)
{
    ASSERT_TRUE(Init({ "--acceptors", "3", "--shards=5", "--memory" })) << Problem();
    EXPECT_EQ(3u, options_.http.acceptors);
    EXPECT_EQ(5u, options_.engine.shards);
    EXPECT_EQ(nullptr, options_.engine.data_directory);
}

TEST_F(Options, OfTheCommandLineWinOverTheEnvironmentWhichWinsOverTheFile)
{
    std::string file = File("acceptors = 1\nshards = 1\nstreams-max = 1\n");
    ASSERT_TRUE(Init({ "--config", file, "--acceptors", "3" },
                     { "SLUICE_ACCEPTORS=2", "SLUICE_SHARDS=2", "SLUICE_ACCEPTORSX=9" }))
        << Problem();
    EXPECT_EQ(3u, options_.http.acceptors);
    EXPECT_EQ(2u, options_.engine.shards);
    EXPECT_EQ(1u, options_.engine.streams_max);
}

TEST_F(Options, FindTheFileInTheEnvironmentToo)
{
    std::string file = File("acceptors = 7");
    ASSERT_TRUE(Init({}, { "SLUICE_CONFIG=" + file })) << Problem();
    EXPECT_EQ(7u, options_.http.acceptors);
    ASSERT_FALSE(Init({ "--config=/nowhere/at/all" }, { "SLUICE_CONFIG=" + file }));
    EXPECT_NE(std::string::npos, Problem().find("/nowhere/at/all")) << Problem();
}

TEST_F(Options, OfTheFileMayHaveBlanksAndComments)
{
    std::string file = File("# all of it\n\n  long-poll-timeout-ms=1 # ms\r\n"
                            "\tpublic-url\t=\thttps://example.com:8443 \nmemory = true\n#");
    ASSERT_TRUE(Init({ "--config", file })) << Problem();
    EXPECT_EQ(1u, options_.http.long_poll_timeout_ms);
    EXPECT_TRUE(sl_bytes_equal(sl_bytes_of("https://example.com:8443"), options_.http.public_url));
}

TEST_F(Options, OfTheFileAreNamedByTheirLine)
{
    for (const char *line : { "acceptors 3", "acceptors", "nonsense = 3", "= 3", "config = x" }) {
        std::string file = File(std::string("shards = 1\n") + line + "\n");
        EXPECT_FALSE(Init({ "--config", file }));
        EXPECT_EQ(0u, Problem().find(file + ":2: ")) << Problem();
    }
}

TEST_F(Options, OfAFileThatIsTooLargeAreRefused)
{
    EXPECT_TRUE(Init({ "--config", File(std::string(64 * 1024, '#')) }));
    EXPECT_FALSE(Init({ "--config", File(std::string(64 * 1024 + 1, '#')) }));
}

TEST_F(Options, ListenOnEveryAddressOfTheStrongestSource)
{
    std::string file = File("listen = 1.1.1.1:1\nlisten = 2.2.2.2:2, [::1]:3\n");
    ASSERT_TRUE(Init({ "--config", file })) << Problem();
    ASSERT_EQ(3u, options_.address_count);
    EXPECT_STREQ("[::1]:3", options_.addresses[2]);
    ASSERT_TRUE(Init({ "--config", file }, { "SLUICE_LISTEN=3.3.3.3:3" })) << Problem();
    ASSERT_EQ(1u, options_.address_count);
    ASSERT_TRUE(Init({ "--listen", "4.4.4.4:4", "--listen=5.5.5.5:5", "--config", file },
                     { "SLUICE_LISTEN=3.3.3.3:3" }))
        << Problem();
    ASSERT_EQ(2u, options_.address_count);
    EXPECT_STREQ("4.4.4.4:4", options_.addresses[0]);
    EXPECT_STREQ("5.5.5.5:5", options_.addresses[1]);
}

TEST_F(Options, ListenOnAFewAddressesOnly)
{
    std::vector<std::string> arguments(16, "--listen=1.1.1.1:1");
    EXPECT_TRUE(Init(arguments)) << Problem();
    arguments.push_back(arguments[0]);
    EXPECT_FALSE(Init(arguments));
}

TEST_F(Options, ListenOnAddressesWithAPortOnly)
{
    for (const char *good : { ":0", "[::1]:65535", "localhost:0", "1.1.1.1:1, 2.2.2.2:2" })
        EXPECT_TRUE(Init({ "--listen", good })) << Problem();
    for (const char *bad : { "", "4571", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "::1:1",
                             "[::1]", "1.1.1.1:1,,2.2.2.2:2", "1.1.1.1:1,2" }) {
        EXPECT_FALSE(Init({ "--listen", bad })) << bad;
        EXPECT_EQ("--listen: \"" + std::string(bad) +
                      "\" is not ADDRESS:PORT, for instance 127.0.0.1:4437 or [::1]:4437",
                  Problem());
    }
}

TEST_F(Options, TakeCertificatesOnlyFromAFileThatHasThem)
{
    const std::string option = "--webhook-ca-file";
    EXPECT_TRUE(Init({ option, "" })) << Problem();
    EXPECT_EQ(nullptr, options_.hooks.ca_file);
    EXPECT_TRUE(Init({ option, File(kCertificate) })) << Problem();
    EXPECT_EQ(file_, options_.hooks.ca_file);
    for (const char *text : { "", "no certificate\n" })
        EXPECT_FALSE(Init({ option, File(text) })) << text;
    EXPECT_FALSE(Init({ option, ::testing::TempDir() })) << "a directory";
    EXPECT_FALSE(Init({ option, "/nowhere/at/all" }));
    EXPECT_EQ("--webhook-ca-file: \"/nowhere/at/all\" is not a file of certificates (PEM) that "
              "can be read",
              Problem());
}

TEST_F(Options, StayInTheirRange)
{
    for (const char *good : { "1", "32", "032" })
        EXPECT_TRUE(Init({ "--acceptors", good })) << Problem();
    for (const char *bad :
         { "0", "33", "-1", "+1", "1.0", "1k", " 1", "", "99999999999999999999" }) {
        EXPECT_FALSE(Init({ "--acceptors", bad })) << bad;
        EXPECT_EQ("--acceptors: \"" + std::string(bad) + "\" is not a number from 1 to 32",
                  Problem());
    }
    EXPECT_FALSE(Init({}, { "SLUICE_MAX_BODY_BYTES=0" }));
    EXPECT_EQ("SLUICE_MAX_BODY_BYTES: \"0\" is not a number from 1 to 1073741824", Problem());
    EXPECT_TRUE(Init({ "--max-body-bytes", "1073741824", "--memory" }));
    EXPECT_FALSE(Init({ "--max-body-bytes", "1073741825", "--memory" }));
}

TEST_F(Options, RefuseMemoryWithADirectory)
{
    EXPECT_FALSE(Init({ "--memory", "--data-dir", "kept" }));
    EXPECT_EQ("memory: data-dir is kept, but in memory nothing is kept: leave one of them out",
              Problem());
    EXPECT_FALSE(Init({ "--memory" }, { "SLUICE_DATA_DIR=kept" }));
    EXPECT_TRUE(Init({ "--data-dir", "kept" })) << Problem();
    EXPECT_TRUE(Init({ "--memory" })) << Problem();
}

TEST_F(Options, RefuseWhatIsNoStreamRoot)
{
    for (const char *good : { "/s", "/v1/stream", "/a-b/c_d/e.f~", "/.../..a" })
        EXPECT_TRUE(Init({ "--stream-root", good })) << good;
    for (const char *bad : { "", "/", "s", "/s/", "//s", "/a//b", "/a b", "/a?b", "/%41",
                             "/\xc3\xa9", "/./a", "/a/../b", "/a/.." })
        EXPECT_FALSE(Init({ "--stream-root", bad })) << bad;
}

TEST_F(Options, RefuseWhatIsNoPublicUrl)
{
    for (const char *good : { "", "http://a", "https://a.b:1/prefix", "http://[::1]:80" })
        EXPECT_TRUE(Init({ "--public-url", good })) << good;
    for (const char *bad :
         { "a", "http://", "http://a/", "https://", "ftp://a", "http://a b", "http://a\r\nX: y",
           "http://a?b", "http://a/#b", "http://u:p@a", "http://:80", "http://[::1", "http:///a" })
        EXPECT_FALSE(Init({ "--public-url", bad })) << bad;
}

TEST_F(Options, ThatDoNotExistAreNamed)
{
    for (const char *bad : { "--nonsense", "--", "-", "acceptors", "-acceptors", "--Acceptors" }) {
        EXPECT_FALSE(Init({ bad, "1" })) << bad;
        EXPECT_EQ(0u, Problem().find(std::string(bad) + ": there is no such option")) << Problem();
    }
}

TEST_F(Options, WantTheirValue)
{
    EXPECT_FALSE(Init({ "--acceptors" }));
    EXPECT_EQ("--acceptors needs a value: THREADS", Problem());
}

TEST_F(Options, NameTheDataDirectory)
{
    ASSERT_TRUE(Init({ "--data-dir", "x" }));
    EXPECT_STREQ("x", options_.engine.data_directory);
    ASSERT_TRUE(Init({}, { "SLUICE_DATA_DIR=y", "SLUICE_MEMORY=0" }));
    EXPECT_STREQ("y", options_.engine.data_directory);
    EXPECT_FALSE(Init({ "--data-dir=" }));
    EXPECT_FALSE(Init({}, { "SLUICE_MEMORY=maybe" }));
}

TEST_F(Options, LogFilesAreWholeBlocks)
{
    EXPECT_TRUE(Init({ "--wal-file-bytes=67112960" })) << Problem();
    for (const char *bytes : { "67112959", "67112961" }) {
        EXPECT_FALSE(Init({ std::string("--wal-file-bytes=") + bytes }));
        EXPECT_EQ(std::string("wal-file-bytes: ") + bytes + " is no multiple of 4096", Problem());
    }
}

TEST_F(Options, LetABodyBeAsLargeAsFitsIntoALogFile)
{
    std::string file = "--wal-file-bytes=1048576";
    EXPECT_TRUE(Init({ file, "--max-body-bytes=458752" })) << Problem();
    EXPECT_FALSE(Init({ file, "--max-body-bytes=458753" }));
    EXPECT_EQ("max-body-bytes: 458753 is more than the 458752 that fit into log files of "
              "wal-file-bytes (1048576): give max-body-bytes 458752, or wal-file-bytes 2097152",
              Problem());
    EXPECT_FALSE(Init({ "--wal-file-bytes=1073741824", "--max-body-bytes=469762049" }));
    EXPECT_EQ("give max-body-bytes 469762048", Problem().substr(Problem().find("give")))
        << "there are no larger log files";
    EXPECT_TRUE(Init({ file, "--max-body-bytes=458753", "--memory" })) << "no log, no limit";
}

TEST_F(Options, AreAllInTheHelpAndInTheTable)
{
    sl_buffer help = {}, table = {};
    sl_server_options_help(&help);
    sl_server_options_markdown(&table);
    std::string help_text(reinterpret_cast<char *>(help.data), help.size);
    std::string table_text(reinterpret_cast<char *>(table.data), table.size);
    for (const char *name : { "listen",
                              "data-dir",
                              "memory",
                              "wal-budget-bytes",
                              "wal-file-bytes",
                              "min-free-bytes",
                              "allow-volatile-data-dir",
                              "exit-on-io-error",
                              "acceptors",
                              "shards",
                              "stream-root",
                              "public-url",
                              "long-poll-timeout-ms",
                              "sse-lifetime-ms",
                              "sse-heartbeat-ms",
                              "max-body-bytes",
                              "memory-budget-bytes",
                              "upload-budget-bytes",
                              "streams-max",
                              "producers-per-stream-max",
                              "connections-max",
                              "live-readers-max",
                              "stall-timeout-ms",
                              "request-timeout-ms",
                              "drain-timeout-ms",
                              "config" }) {
        EXPECT_NE(std::string::npos, help_text.find(std::string("  --") + name)) << name;
        EXPECT_NE(std::string::npos, table_text.find(std::string("`--") + name)) << name;
    }
    EXPECT_NE(std::string::npos, help_text.find("[SLUICE_LONG_POLL_TIMEOUT_MS]"));
    sl_buffer_deinit(&help);
    sl_buffer_deinit(&table);
}
