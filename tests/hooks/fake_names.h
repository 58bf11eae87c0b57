/*
 * hooks/fake_names.h - names that lie, and names that nobody answers for
 *
 * What     While a FakeNames lives, getaddrinfo() of this program, which is what libcurl calls,
 *          knows its names and no others. Included by one file of a test.
 * Thread   Any; the threads that resolve are libcurl's.
 */
#ifndef SL_TESTS_HOOKS_FAKE_NAMES_H
#define SL_TESTS_HOOKS_FAKE_NAMES_H

#include <arpa/inet.h>
#include <netdb.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace sluice_test
{

class FakeNames
{
  public:
    FakeNames()
    {
        current = this;
    }

    /* What hangs ends, and nobody is in here any more. */
    ~FakeNames()
    {
        std::unique_lock<std::mutex> lock(mutex_);
        is_over_ = true;
        changed_.notify_all();
        changed_.wait(lock, [this] { return inside_ == 0; });
        current = nullptr;
    }

    FakeNames(const FakeNames &) = delete;
    FakeNames &operator=(const FakeNames &) = delete;

    void Set(const std::string &name, const std::vector<std::string> &addresses)
    {
        std::lock_guard<std::mutex> lock(mutex_);
        names_[name] = addresses;
    }

    /* Whoever asks for this name waits until Answer(), or while this object lives. */
    void Hang(const std::string &name)
    {
        std::lock_guard<std::mutex> lock(mutex_);
        hanging_.insert(name);
    }

    /* No name hangs any more. */
    void Answer()
    {
        std::lock_guard<std::mutex> lock(mutex_);
        hanging_.clear();
        changed_.notify_all();
    }

    /* So many have asked for a name. */
    unsigned asked()
    {
        std::lock_guard<std::mutex> lock(mutex_);
        return asked_;
    }

    std::vector<std::string> Resolve(const std::string &name)
    {
        std::unique_lock<std::mutex> lock(mutex_);
        asked_++;
        inside_++;
        changed_.wait(lock, [&] { return is_over_ || hanging_.count(name) == 0; });
        inside_--;
        std::vector<std::string> addresses = names_[name];
        changed_.notify_all();
        return addresses;
    }

    static inline std::atomic<FakeNames *> current = nullptr;

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::map<std::string, std::vector<std::string>> names_;
    std::set<std::string> hanging_;
    unsigned asked_ = 0;
    unsigned inside_ = 0; /* threads in Resolve() */
    bool is_over_ = false;
};

} // namespace sluice_test

extern "C" void freeaddrinfo(struct addrinfo *list)
{
    while (list != nullptr) {
        struct addrinfo *next = list->ai_next;
        free(list->ai_addr);
        free(list);
        list = next;
    }
}

extern "C" int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                           struct addrinfo **result)
{
    *result = nullptr;
    sluice_test::FakeNames *names = sluice_test::FakeNames::current;
    if (names == nullptr || node == nullptr)
        return EAI_NONAME;
    in_port_t port = htons(static_cast<in_port_t>(atoi(service == nullptr ? "0" : service)));
    struct addrinfo **end = result;
    for (const std::string &text : names->Resolve(node)) {
        struct sockaddr_in6 v6 = {};
        struct sockaddr_in v4 = {};
        bool is_v4 = inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1;
        if (!is_v4)
            inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr);
        v4.sin_family = AF_INET;
        v6.sin6_family = AF_INET6;
        v4.sin_port = v6.sin6_port = port;
        auto *entry = static_cast<struct addrinfo *>(calloc(1, sizeof(struct addrinfo)));
        entry->ai_family = is_v4 ? AF_INET : AF_INET6;
        entry->ai_socktype = hints == nullptr ? SOCK_STREAM : hints->ai_socktype;
        entry->ai_addrlen = is_v4 ? sizeof(v4) : sizeof(v6);
        entry->ai_addr = static_cast<struct sockaddr *>(malloc(entry->ai_addrlen));
        memcpy(entry->ai_addr, is_v4 ? static_cast<void *>(&v4) : &v6, entry->ai_addrlen);
        *end = entry;
        end = &entry->ai_next;
    }
    return *result == nullptr ? EAI_NONAME : 0;
}

#endif
