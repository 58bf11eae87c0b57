#include "protocol/content_type.h"

#include "protocol/ascii.h"
#include "sluice/operation.h"

static bool is_printable(struct sl_bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        if ((text.data[i] < ' ' || text.data[i] > '~') && text.data[i] != '\t')
            return false;
    }
    return true;
}

struct sl_bytes sl_media_type(struct sl_bytes content_type)
{
    const uint8_t *mark =
        content_type.size == 0 ? NULL : memchr(content_type.data, ';', content_type.size);
    if (mark != NULL)
        content_type.size = (size_t)(mark - content_type.data);
    return sl_ascii_trim(content_type);
}

bool sl_media_type_equal(struct sl_bytes a, struct sl_bytes b)
{
    return sl_ascii_equal_ignore_case(sl_media_type(a), sl_media_type(b));
}

bool sl_content_type_is_json(struct sl_bytes content_type)
{
    return sl_media_type_equal(content_type, sl_bytes_of("application/json"));
}

bool sl_content_type_is_text(struct sl_bytes content_type)
{
    static const char prefix[] = "text/";
    struct sl_bytes type = sl_media_type(content_type);
    if (type.size < sizeof(prefix) - 1)
        return false;
    return sl_ascii_equal_ignore_case(sl_bytes(type.data, sizeof(prefix) - 1), sl_bytes_of(prefix));
}

bool sl_content_type_is_usable(struct sl_bytes content_type)
{
    if (content_type.size > SL_CONTENT_TYPE_SIZE_MAX || !is_printable(content_type))
        return false;
    struct sl_bytes type = sl_media_type(content_type);
    const uint8_t *slash = type.size == 0 ? NULL : memchr(type.data, '/', type.size);
    if (slash == NULL)
        return false;
    size_t size = (size_t)(slash - type.data);
    return sl_ascii_is_token(sl_bytes(type.data, size)) &&
           sl_ascii_is_token(sl_bytes_from(type, size + 1));
}
