#include "support/plain.h"

struct sl_bytes plain_take(struct sl_bytes *rest, uint8_t mark)
{
    size_t size = 0;
    while (size < rest->size && rest->data[size] != mark)
        size++;
    struct sl_bytes part = sl_bytes(rest->data, size);
    *rest = sl_bytes_from(*rest, size < rest->size ? size + 1 : size);
    return part;
}

struct sl_bytes plain_trim(struct sl_bytes text)
{
    while (text.size > 0 && plain_is_one_of(text.data[0], " \t"))
        text = sl_bytes_from(text, 1);
    while (text.size > 0 && plain_is_one_of(text.data[text.size - 1], " \t"))
        text.size--;
    return text;
}

bool plain_is_one_of(uint8_t byte, const char *bytes)
{
    return byte != 0 && strchr(bytes, byte) != NULL;
}

bool plain_is_made_of(struct sl_bytes text, const char *bytes)
{
    for (size_t i = 0; i < text.size; i++)
        if (!plain_is_one_of(text.data[i], bytes))
            return false;
    return text.size > 0;
}

bool plain_is_word(struct sl_bytes text, const char *word)
{
    if (text.size != strlen(word))
        return false;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.data[i];
        if (byte >= 'A' && byte <= 'Z')
            byte = (uint8_t)(byte - 'A' + 'a');
        if (byte != (uint8_t)word[i])
            return false;
    }
    return true;
}

bool plain_is_utf8(struct sl_bytes text)
{
    static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
    for (size_t i = 0; i < text.size;) {
        uint8_t lead = text.data[i++];
        unsigned more = lead < 0x80 ? 0 : lead < 0xc0 ? 4 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
        if (more == 4 || lead > 0xf7 || text.size - i < more)
            return false;
        uint32_t code = more == 0 ? lead : lead & (0x3fu >> more);
        for (unsigned k = 0; k < more; k++, i++) {
            if ((text.data[i] & 0xc0) != 0x80)
                return false;
            code = code << 6 | (text.data[i] & 0x3fu);
        }
        if (code < least[more] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
            return false;
    }
    return true;
}
