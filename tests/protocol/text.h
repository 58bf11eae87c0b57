/*
 * protocol/text.h - input for a parser, in memory of exactly its size
 *
 * Why      A sanitizer then sees every read beyond the given length; a literal would hide it.
 */
#ifndef SL_TESTS_PROTOCOL_TEXT_H
#define SL_TESTS_PROTOCOL_TEXT_H

#include "sluice/bytes.h"

#include <memory>
#include <ostream>
#include <random>
#include <string>
#include <string_view>

class Text
{
  public:
    Text(std::string_view text) : data_(new uint8_t[text.size()]), size_(text.size())
    {
        text.copy(reinterpret_cast<char *>(data_.get()), size_);
    }

    operator struct sl_bytes() const
    {
        return ::sl_bytes(data_.get(), size_);
    }

  private:
    std::unique_ptr<uint8_t[]> data_;
    size_t size_;
};

inline std::string string_of(struct sl_bytes bytes)
{
    return std::string(reinterpret_cast<const char *>(bytes.data), bytes.size);
}

/* Up to size_max characters of the alphabet: hostile input that is nearly well-formed. */
inline std::string random_text(std::mt19937_64 &random, std::string_view alphabet, size_t size_max)
{
    std::string text(random() % (size_max + 1), '\0');
    for (char &c : text)
        c = alphabet[random() % alphabet.size()];
    return text;
}

#endif
