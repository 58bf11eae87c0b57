#include "http/method.h"

enum sl_method sl_method_parse(struct sl_bytes name)
{
    static const char *const names[] = {
        [SL_METHOD_GET] = "GET",   [SL_METHOD_HEAD] = "HEAD",     [SL_METHOD_PUT] = "PUT",
        [SL_METHOD_POST] = "POST", [SL_METHOD_DELETE] = "DELETE", [SL_METHOD_OPTIONS] = "OPTIONS",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (sl_bytes_equal(name, sl_bytes_of(names[i])))
            return (enum sl_method)i;
    return SL_METHOD_OTHER;
}
