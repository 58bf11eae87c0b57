/*
 * server/options.h - what the server is told
 *
 * What     One table of options, from which the parser, --help and the README's table come.
 * Why      A flag wins over the environment (SLUICE_NAME_OF_OPTION), which wins over the file named
 *          by --config (name = value), which wins over the default.
 * Thread   Main, before other threads start; read-only afterwards.
 * Owns     The texts of its values.
 * Limits   SL_FRONT_ADDRESSES_MAX addresses; 64 KiB for the file.
 */
#ifndef SL_SERVER_OPTIONS_H
#define SL_SERVER_OPTIONS_H

#include "base/buffer.h"
#include "hooks/hooks.h"
#include "http/front.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sl_server_options {
    struct sl_http_options http; /* its texts are those below */
    struct sl_engine_options engine;
    struct sl_hooks_setup hooks;                   /* the same */
    const char *addresses[SL_FRONT_ADDRESSES_MAX]; /* owned; to listen on */
    unsigned address_count;                        /* 1 or more */
    char *stream_root;                             /* owned */
    char *public_url;                              /* owned */
    char *public_root;                             /* owned; public_url with the root, or empty */
    char *webhook_ca_file;                         /* owned; file name, or empty */
    char *config;                                  /* owned; file name, or empty */
    char *data_dir;                                /* owned; where streams are kept */
    bool memory;                                   /* asked for in-memory streams */
    bool exit_on_io_error;                         /* rather end than serve what is durable */
};

/*
 * `arguments` follow the command; `environment` is a list like environ. False: *problem is one line
 * that names the option, its value and what is allowed. The caller calls deinit in any case.
 */
bool sl_server_options_init(struct sl_server_options *options, int argument_count,
                            char *const *arguments, char *const *environment,
                            struct sl_buffer *problem);
void sl_server_options_deinit(struct sl_server_options *options);

/* The table for a terminal, and as Markdown. */
void sl_server_options_help(struct sl_buffer *out);
void sl_server_options_markdown(struct sl_buffer *out);
/* What every option that is a number is, for Prometheus. */
void sl_server_options_metrics(const struct sl_server_options *options, struct sl_buffer *out);

#ifdef __cplusplus
}
#endif
#endif
