/*
 * protocol/json_value.h - what a small JSON text says
 *
 * What     Reads members and elements of a text that sl_json_split() has checked and minified, and
 *          writes texts as JSON strings.
 * Why      Requests of control are a few members of one object. The text was checked as a whole
 *          before, so nothing here can be malformed, and no tree is built.
 * Thread   Any; pure functions.
 */
#ifndef SL_PROTOCOL_JSON_VALUE_H
#define SL_PROTOCOL_JSON_VALUE_H

#include "base/buffer.h"
#include "sluice/bytes.h"

#ifdef __cplusplus
extern "C" {
#endif

/* In what follows a value is one value of such a text, whole, minified, borrowed. */

/*
 * Takes the first value off `*rest`, which is a run of values with commas between or behind them:
 * messages as they are stored. False, and *value empty: none is left. Of bytes that were not checked
 * it takes some off; what they are is to be checked then.
 */
bool sl_json_next(struct sl_bytes *rest, struct sl_bytes *value);

/* The elements of an array as such a run. */
struct sl_bytes sl_json_elements(struct sl_bytes array);

static inline bool sl_json_is_object(struct sl_bytes value)
{
    return value.size > 0 && value.data[0] == '{';
}
static inline bool sl_json_is_array(struct sl_bytes value)
{
    return value.size > 0 && value.data[0] == '[';
}
static inline bool sl_json_is_string(struct sl_bytes value)
{
    return value.size > 0 && value.data[0] == '"';
}
static inline bool sl_json_is_true(struct sl_bytes value)
{
    return sl_bytes_equal(value, sl_bytes_of("true"));
}

/*
 * The value of the last member of this name, as JSON.parse() takes it. False, and *value empty:
 * `object` has none, or is no object.
 */
bool sl_json_find(struct sl_bytes object, const char *name, struct sl_bytes *value);

/*
 * Appends what the string says as UTF-8. False, and nothing is appended: it holds a lone surrogate,
 * which no UTF-8 can say.
 */
bool sl_json_decode_string(struct sl_bytes string, struct sl_buffer *out);

/*
 * Appends `text` as a string, quotes included. Text that is valid UTF-8 stands there as it is, with
 * control characters, `"` and `\` escaped; in other text every byte from 0x80 on is \u0080 to
 * \u00ff.
 */
void sl_json_append_string(struct sl_buffer *out, struct sl_bytes text);

#ifdef __cplusplus
}
#endif
#endif
