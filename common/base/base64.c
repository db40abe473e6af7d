#include "common/base/base64.h"

#include <string.h>

#include "common/base/err.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Keys pass through here: the look-up takes the same time for every character. */
static int value_of(char c)
{
    int value = -1;

    for (int i = 0; i < 64; i++)
        value = alphabet[i] == c ? i : value;
    return value;
}

static int text_length(const char *text, size_t *length)
{
    size_t n = strlen(text), padded = n;

    while (n > 0 && padded - n < 2 && text[n - 1] == '=')
        n--;
    if (n % 4 == 1 || (padded != n && padded % 4 != 0))
        return ERR_INVALID;
    *length = n;
    return 0;
}

int base64_decode(const char *text, uint8_t *out, size_t size)
{
    size_t n, written = 0;
    uint32_t bits = 0;
    unsigned held = 0;

    if (text_length(text, &n) < 0)
        return ERR_INVALID;
    if (n / 4 * 3 + (n % 4 ? n % 4 - 1 : 0) > size)
        return ERR_TOO_LONG;
    for (size_t i = 0; i < n; i++) {
        int value = value_of(text[i]);

        if (value < 0)
            return ERR_INVALID;
        bits = bits << 6 | (uint32_t)value;
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[written++] = (uint8_t)(bits >> held);
        }
    }
    if (bits & ((1u << held) - 1))
        return ERR_INVALID;
    return (int)written;
}

void base64_encode(const uint8_t *data, size_t length, char *out)
{
    for (size_t i = 0; i < length; i += 3) {
        size_t n = length - i < 3 ? length - i : 3;
        uint32_t bits = (uint32_t)data[i] << 16 | (n > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
                        (n > 2 ? data[i + 2] : 0u);

        *out++ = alphabet[bits >> 18 & 63];
        *out++ = alphabet[bits >> 12 & 63];
        *out++ = n > 1 ? alphabet[bits >> 6 & 63] : '=';
        *out++ = n > 2 ? alphabet[bits & 63] : '=';
    }
    *out = '\0';
}
