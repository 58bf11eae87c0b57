#include "protocol/ascii.h"

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

struct sl_bytes sl_ascii_trim(struct sl_bytes text)
{
    while (text.size > 0 && is_blank(text.data[0]))
        text = sl_bytes_from(text, 1);
    while (text.size > 0 && is_blank(text.data[text.size - 1]))
        text.size--;
    return text;
}

struct sl_bytes sl_ascii_cut(struct sl_bytes *rest, uint8_t mark)
{
    const uint8_t *at = rest->size == 0 ? NULL : memchr(rest->data, mark, rest->size);
    size_t size = at == NULL ? rest->size : (size_t)(at - rest->data);
    struct sl_bytes before = sl_bytes(rest->data, size);
    *rest = sl_bytes_from(*rest, at == NULL ? size : size + 1);
    return before;
}

bool sl_ascii_equal_ignore_case(struct sl_bytes a, struct sl_bytes b)
{
    if (a.size != b.size)
        return false;
    for (size_t i = 0; i < a.size; i++) {
        if (sl_ascii_lower(a.data[i]) != sl_ascii_lower(b.data[i]))
            return false;
    }
    return true;
}

int sl_ascii_hex_value(uint8_t byte)
{
    if (sl_ascii_is_digit(byte))
        return byte - '0';
    uint8_t lower = sl_ascii_lower(byte);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static bool is_token_byte(uint8_t byte)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";
    return sl_ascii_is_alphanumeric(byte) || memchr(marks, byte, sizeof(marks) - 1) != NULL;
}

bool sl_ascii_is_token(struct sl_bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (!is_token_byte(text.data[i]))
            return false;
    }
    return text.size > 0;
}
