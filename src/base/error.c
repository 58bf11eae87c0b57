#include "sluice/error.h"

#include "base/assert.h"

static const struct {
    const char *code; /* the name */
    const char *text; /* what happened */
} errors[SL_ERR_COUNT] = { { "OK", "done" },
#define X(NAME, text) { #NAME, text },
                           SL_ERR_LIST(X)
#undef X
};

const char *sl_err_code(enum sl_err err)
{
    SL_ASSERT((unsigned)err < SL_ERR_COUNT);
    return errors[err].code;
}

const char *sl_err_text(enum sl_err err)
{
    SL_ASSERT((unsigned)err < SL_ERR_COUNT);
    return errors[err].text;
}
