/*
 * hooks/receiver.h - receivers of webhooks, well-behaved and not
 *
 * What     Receiver is an HTTP server on the loopback whose answers are bytes of the test's choice;
 *          Certificate is one for localhost that nobody trusts who was not told to.
 * Thread   The test's. A receiver has a thread to accept and one for every connection.
 */
#ifndef SL_TESTS_HOOKS_RECEIVER_H
#define SL_TESTS_HOOKS_RECEIVER_H

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace sluice_test
{

class Certificate
{
  public:
    Certificate() : key_(EVP_EC_gen("P-256")), certificate_(X509_new())
    {
        X509_set_version(certificate_, 2);
        ASN1_INTEGER_set(X509_get_serialNumber(certificate_), 1);
        X509_gmtime_adj(X509_getm_notBefore(certificate_), -3600);
        X509_gmtime_adj(X509_getm_notAfter(certificate_), 3600);
        X509_set_pubkey(certificate_, key_);
        X509_NAME *name = X509_get_subject_name(certificate_);
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                   reinterpret_cast<const unsigned char *>("localhost"), -1, -1, 0);
        X509_set_issuer_name(certificate_, name);
        X509_EXTENSION *names =
            X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "DNS:localhost");
        X509_add_ext(certificate_, names, -1);
        X509_EXTENSION_free(names);
        EXPECT_GT(X509_sign(certificate_, key_, EVP_sha256()), 0);
    }

    ~Certificate()
    {
        X509_free(certificate_);
        EVP_PKEY_free(key_);
    }

    Certificate(const Certificate &) = delete;
    Certificate &operator=(const Certificate &) = delete;

    void Save(const std::string &path) const
    {
        FILE *file = fopen(path.c_str(), "w");
        ASSERT_NE(file, nullptr);
        EXPECT_EQ(PEM_write_X509(file, certificate_), 1);
        fclose(file);
    }

    SSL_CTX *NewContext() const
    {
        SSL_CTX *context = SSL_CTX_new(TLS_server_method());
        EXPECT_EQ(SSL_CTX_use_certificate(context, certificate_), 1);
        EXPECT_EQ(SSL_CTX_use_PrivateKey(context, key_), 1);
        return context;
    }

  private:
    EVP_PKEY *key_;
    X509 *certificate_;
};

struct Request {
    std::string head; /* with the empty line at its end */
    std::string body;

    /* The value of a header, or "none". */
    std::string Header(const std::string &name) const
    {
        for (size_t at = head.find("\r\n"); at + 4 < head.size(); at = head.find("\r\n", at + 2)) {
            const char *line = head.c_str() + at + 2;
            if (strncasecmp(line, name.c_str(), name.size()) == 0 && line[name.size()] == ':') {
                size_t start = at + 2 + name.size() + 2;
                return head.substr(start, head.find("\r\n", start) - start);
            }
        }
        return "none";
    }
};

/* One connection, as the function that answers sees it. */
class Peer
{
  public:
    /* `context` is NULL for a connection without TLS. */
    Peer(int fd, SSL_CTX *context) : fd_(fd), tls_(context == nullptr ? nullptr : SSL_new(context))
    {
        if (tls_ != nullptr)
            SSL_set_fd(tls_, fd_);
    }

    ~Peer()
    {
        SSL_free(tls_);
    }

    Peer(const Peer &) = delete;
    Peer &operator=(const Peer &) = delete;

    bool Accept()
    {
        return tls_ == nullptr || SSL_accept(tls_) == 1;
    }

    /* False: the other side has closed. */
    bool Send(const std::string &bytes)
    {
        for (size_t sent = 0; sent < bytes.size();) {
            const char *from = bytes.data() + sent;
            size_t size = bytes.size() - sent;
            ssize_t more = tls_ == nullptr ? send(fd_, from, size, MSG_NOSIGNAL)
                                           : SSL_write(tls_, from, static_cast<int>(size));
            if (more <= 0)
                return false;
            sent += static_cast<size_t>(more);
        }
        return true;
    }

    /* Returns when the other side has closed. */
    void WaitForEnd()
    {
        while (More()) {
        }
    }

    bool Read(Request *request)
    {
        size_t end;
        while ((end = received_.find("\r\n\r\n")) == std::string::npos)
            if (!More())
                return false;
        request->head = received_.substr(0, end + 4);
        received_.erase(0, end + 4);
        size_t size = strtoul(request->Header("Content-Length").c_str(), nullptr, 10);
        while (received_.size() < size)
            if (!More())
                return false;
        request->body = received_.substr(0, size);
        received_.erase(0, size);
        return true;
    }

  private:
    bool More()
    {
        char bytes[4096];
        ssize_t got = tls_ == nullptr ? recv(fd_, bytes, sizeof(bytes), 0)
                                      : SSL_read(tls_, bytes, sizeof(bytes));
        if (got > 0)
            received_.append(bytes, static_cast<size_t>(got));
        return got > 0;
    }

    int fd_;
    SSL *tls_;
    std::string received_; /* beyond the last request */
};

class Receiver
{
  public:
    /* Answers one request; false: the connection ends. */
    using Answerer = std::function<bool(Peer &, const Request &)>;

    /* Its host is 127.0.0.`host`: receivers of other numbers are other hosts. */
    explicit Receiver(Answerer answerer, unsigned host = 1,
                      const Certificate *certificate = nullptr)
        : answerer_(std::move(answerer)), host_("127.0.0." + std::to_string(host)),
          context_(certificate == nullptr ? nullptr : certificate->NewContext()),
          listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))
    {
        struct sockaddr_in address = {};
        socklen_t size = sizeof(address);
        auto *any = reinterpret_cast<struct sockaddr *>(&address);
        address.sin_family = AF_INET;
        EXPECT_EQ(inet_pton(AF_INET, host_.c_str(), &address.sin_addr), 1);
        EXPECT_EQ(bind(listener_, any, size), 0);
        EXPECT_EQ(listen(listener_, 64), 0);
        EXPECT_EQ(getsockname(listener_, any, &size), 0);
        port_ = ntohs(address.sin_port);
        acceptor_ = std::thread([this] { Accept(); });
    }

    ~Receiver()
    {
        shutdown(listener_, SHUT_RDWR);
        acceptor_.join();
        for (int fd : fds_)
            shutdown(fd, SHUT_RDWR);
        for (std::thread &server : servers_)
            server.join();
        for (int fd : fds_)
            close(fd);
        close(listener_);
        SSL_CTX_free(context_);
    }

    Receiver(const Receiver &) = delete;
    Receiver &operator=(const Receiver &) = delete;

    std::string Url() const
    {
        return Url("http://" + host_);
    }

    std::string Url(const std::string &origin) const
    {
        return origin + ":" + std::to_string(port_) + "/hook";
    }

    size_t connections()
    {
        std::lock_guard<std::mutex> lock(mutex_);
        return fds_.size();
    }

    std::vector<Request> requests()
    {
        std::lock_guard<std::mutex> lock(mutex_);
        return requests_;
    }

  private:
    void Accept()
    {
        int fd;
        while ((fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0) {
            std::lock_guard<std::mutex> lock(mutex_);
            fds_.push_back(fd);
            servers_.emplace_back([this, fd] { Serve(fd); });
        }
    }

    void Serve(int fd)
    {
        Peer peer(fd, context_);
        Request request;
        bool goes_on = peer.Accept();
        while (goes_on && peer.Read(&request)) {
            {
                std::lock_guard<std::mutex> lock(mutex_);
                requests_.push_back(request);
            }
            goes_on = answerer_(peer, request);
        }
        shutdown(fd, SHUT_RDWR);
    }

    Answerer answerer_;
    std::string host_;
    SSL_CTX *context_;
    int listener_;
    int port_ = 0;
    std::mutex mutex_;
    std::vector<int> fds_;
    std::vector<Request> requests_;
    std::list<std::thread> servers_;
    std::thread acceptor_;
};

/* A whole answer with a Content-Length. `headers` end in CRLF. */
inline std::string Answer(int status, const std::string &body = "", const std::string &headers = "")
{
    return "HTTP/1.1 " + std::to_string(status) + " X\r\n" + headers +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

/* Answers every request with these bytes. */
inline Receiver::Answerer Always(const std::string &answer)
{
    return [answer](Peer &peer, const Request &) { return peer.Send(answer); };
}

/* Says these bytes, and then nothing more until the other side has closed. */
inline Receiver::Answerer Silent(const std::string &bytes = "")
{
    return [bytes](Peer &peer, const Request &) {
        peer.Send(bytes);
        peer.WaitForEnd();
        return false;
    };
}

/* Says `first`, and then `more` until the other side has closed. */
inline Receiver::Answerer Endless(const std::string &first, const std::string &more)
{
    return [first, more](Peer &peer, const Request &) {
        bool goes_on = peer.Send(first);
        while (goes_on)
            goes_on = peer.Send(more);
        return false;
    };
}

/* Says these bytes and closes. */
inline Receiver::Answerer Once(const std::string &bytes)
{
    return [bytes](Peer &peer, const Request &) {
        peer.Send(bytes);
        return false;
    };
}

} // namespace sluice_test

#endif
