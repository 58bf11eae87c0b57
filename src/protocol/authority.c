#include "protocol/authority.h"

#include "protocol/ascii.h"

static bool is_one_of(uint8_t byte, const char *marks)
{
    return byte != '\0' && strchr(marks, byte) != NULL;
}

/* Bytes of an address in brackets; 0: it has no end, or nothing in it. */
static size_t literal_size(struct sl_bytes text)
{
    size_t size = 1;

    while (size < text.size &&
           (sl_ascii_is_alphanumeric(text.data[size]) || is_one_of(text.data[size], ":.-_~")))
        size++;
    return size > 1 && size < text.size && text.data[size] == ']' ? size + 1 : 0;
}

/* Bytes that begin `text` and may stand in a name. */
static size_t name_size(struct sl_bytes text)
{
    size_t size = 0;

    while (size < text.size) {
        uint8_t byte = text.data[size];
        if (byte == '%' && text.size - size >= 3 && sl_ascii_hex_value(text.data[size + 1]) >= 0 &&
            sl_ascii_hex_value(text.data[size + 2]) >= 0)
            size += 3;
        else if (sl_ascii_is_alphanumeric(byte) || is_one_of(byte, "-._~!$&'()*+,;="))
            size++;
        else
            break;
    }
    return size;
}

bool sl_authority_is_valid(struct sl_bytes authority)
{
    bool is_literal = authority.size > 0 && authority.data[0] == '[';
    size_t size = is_literal ? literal_size(authority) : name_size(authority);

    if (is_literal && size == 0)
        return false;
    if (size == authority.size)
        return true;
    if (authority.data[size] != ':')
        return false;
    while (++size < authority.size)
        if (!sl_ascii_is_digit(authority.data[size]))
            return false;
    return true;
}
