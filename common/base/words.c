#include "common/base/words.h"

#include <string.h>
#include <strings.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void take(struct words *rest, size_t octets)
{
    rest->at += octets;
    rest->length -= octets;
}

struct words words_until(struct words *rest, char mark)
{
    const char *found = rest->length ? memchr(rest->at, mark, rest->length) : NULL;
    struct words part = {rest->at, found ? (size_t)(found - rest->at) : rest->length};

    take(rest, part.length + (found ? 1 : 0));
    return part;
}

struct words words_next(struct words *rest)
{
    struct words word;

    while (rest->length && is_blank(*rest->at))
        take(rest, 1);
    word = (struct words){rest->at, 0};
    while (word.length < rest->length && !is_blank(rest->at[word.length]))
        word.length++;
    take(rest, word.length);
    return word;
}

bool words_skip(struct words *rest, const char *with)
{
    size_t length = strlen(with);

    if (rest->length < length || strncasecmp(rest->at, with, length) != 0)
        return false;
    take(rest, length);
    return true;
}

bool words_are(const struct words *words, const char *text)
{
    struct words rest = *words;

    return words_skip(&rest, text) && rest.length == 0;
}

bool words_number(const struct words *words, uint64_t max, uint64_t *out)
{
    uint64_t number = 0;

    for (size_t i = 0; i < words->length; i++) {
        unsigned digit = (unsigned)(unsigned char)words->at[i] - '0';

        if (digit > 9 || digit > max || number > (max - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    if (words->length == 0)
        return false;
    *out = number;
    return true;
}

bool words_copy(const struct words *words, char *out, size_t size)
{
    bool fits =
        words->length < size && (words->length == 0 || !memchr(words->at, 0, words->length));

    if (fits && words->length)
        memcpy(out, words->at, words->length);
    out[fits ? words->length : 0] = '\0';
    return fits;
}
