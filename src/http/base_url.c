#include "http/base_url.h"

/* "127.0.0.1:4437" of the connection, for clients that do not say what they call us. */
static void append_local_address(struct sl_exchange *exchange, struct sl_buffer *url)
{
    struct sockaddr_storage address = { 0 };
    h2o_conn_t *conn = exchange->req->conn;
    socklen_t size = conn->callbacks->get_sockname(conn, (struct sockaddr *)&address);
    char host[NI_MAXHOST];
    size_t host_size = h2o_socket_getnumerichost((struct sockaddr *)&address, size, host);
    bool is_v6 = address.ss_family == AF_INET6;

    if (host_size == SIZE_MAX)
        host_size = 0;
    sl_buffer_printf(url, "%s%.*s%s:%d", is_v6 ? "[" : "", (int)host_size, host, is_v6 ? "]" : "",
                     (int)h2o_socket_getport((struct sockaddr *)&address));
}

void sl_base_url_append(struct sl_exchange *exchange, struct sl_buffer *url)
{
    const struct sl_http_options *options = exchange->acceptor->options;

    if (options->public_url.size != 0) {
        sl_buffer_append_bytes(url, options->public_url);
        return;
    }
    sl_buffer_append_text(url, "http://");
    if (exchange->authority.size != 0)
        sl_buffer_append_bytes(url, exchange->authority);
    else
        append_local_address(exchange, url);
}
