/*
 * http/method.h - the methods that are known
 *
 * Thread   Any; pure.
 */
#ifndef SL_HTTP_METHOD_H
#define SL_HTTP_METHOD_H

#include "sluice/bytes.h"

#ifdef __cplusplus
extern "C" {
#endif

enum sl_method {
    SL_METHOD_GET,
    SL_METHOD_HEAD,
    SL_METHOD_PUT,
    SL_METHOD_POST,
    SL_METHOD_DELETE,
    SL_METHOD_OPTIONS,
    SL_METHOD_OTHER,
};

/* Names are compared as they are: methods are case-sensitive. */
enum sl_method sl_method_parse(struct sl_bytes name);

#ifdef __cplusplus
}
#endif
#endif
