#include "common/tunnel/http.h"

#include <stdint.h>
#include <string.h>

#include "common/base/err.h"

static bool is_line_octet(unsigned char octet)
{
    return octet == '\t' || (octet >= 0x20 && octet != 0x7f);
}

/* RFC 9110 section 5.6.2. */
static bool is_token(const struct words *words)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < words->length; i++) {
        char c = words->at[i];

        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
            (c == '\0' || !strchr(others, c)))
            return false;
    }
    return words->length > 0;
}

int http_head_length(const char *data, size_t length)
{
    size_t most = length < HTTP_HEAD_OCTETS ? length : HTTP_HEAD_OCTETS;
    size_t line = 0; /* octets of the line so far */

    for (size_t i = 0; i < most; i++) {
        bool ends = data[i] == '\n' && i > 0 && data[i - 1] == '\r';

        if (i > 0 && data[i - 1] == '\r' && !ends)
            return ERR_INVALID;
        if (ends && line == 0 && i > 1)
            return (int)i + 1;
        if (!ends && data[i] != '\r' && !is_line_octet((unsigned char)data[i]))
            return ERR_INVALID;
        if (ends)
            line = 0;
        else
            line += data[i] != '\r';
    }
    return most == HTTP_HEAD_OCTETS ? ERR_TOO_LONG : ERR_AGAIN;
}

static struct words trimmed(struct words words)
{
    while (words.length > 0 && (words.at[0] == ' ' || words.at[0] == '\t'))
        words = (struct words){words.at + 1, words.length - 1};
    while (words.length > 0 &&
           (words.at[words.length - 1] == ' ' || words.at[words.length - 1] == '\t'))
        words.length--;
    return words;
}

/* A line, without its CR LF; rest begins behind them. */
static struct words take_line(struct words *rest)
{
    struct words line = words_until(rest, '\n');

    if (line.length > 0)
        line.length--;
    return line;
}

static int read_fields(struct http_head *head, struct words *rest)
{
    for (;;) {
        struct words line = take_line(rest);
        struct http_field *field;

        if (line.length == 0)
            return rest->length == 0 ? 0 : ERR_INVALID;
        if (head->field_count == HTTP_FIELDS_MAX)
            return ERR_TOO_LONG;
        field = &head->fields[head->field_count++];
        if (!memchr(line.at, ':', line.length))
            return ERR_INVALID;
        field->name = words_until(&line, ':');
        field->value = trimmed(line);
        if (!is_token(&field->name))
            return ERR_INVALID;
    }
}

static bool read_version(const struct words *words, unsigned *minor)
{
    if (words->length != 8 || memcmp(words->at, "HTTP/1.", 7) != 0 ||
        (words->at[7] != '0' && words->at[7] != '1'))
        return false;
    *minor = (unsigned)(words->at[7] - '0');
    return true;
}

static int begin(struct http_head *head, const char *data, size_t length, struct words *rest)
{
    memset(head, 0, sizeof(*head));
    if (http_head_length(data, length) != (int)length)
        return ERR_INVALID;
    *rest = (struct words){data, length};
    return 0;
}

int http_read_request(struct http_head *head, const char *data, size_t length)
{
    struct words rest, line;
    int result = begin(head, data, length, &rest);

    if (result < 0)
        return result;
    line = take_line(&rest);
    head->method = words_until(&line, ' ');
    head->target = words_until(&line, ' ');
    if (!is_token(&head->method) || head->target.length == 0 || !read_version(&line, &head->minor))
        return ERR_INVALID;
    return read_fields(head, &rest);
}

int http_read_reply(struct http_head *head, const char *data, size_t length)
{
    struct words rest, line, version, status;
    uint64_t number;
    int result = begin(head, data, length, &rest);

    if (result < 0)
        return result;
    line = take_line(&rest);
    version = words_until(&line, ' ');
    status = words_until(&line, ' ');
    if (!read_version(&version, &head->minor) || status.length != 3 ||
        !words_number(&status, 999, &number) || number < 100)
        return ERR_INVALID;
    head->status = (unsigned)number;
    head->reason = line;
    return read_fields(head, &rest);
}

const struct words *http_value(const struct http_head *head, const char *name)
{
    for (size_t i = 0; i < head->field_count; i++) {
        if (words_are(&head->fields[i].name, name))
            return &head->fields[i].value;
    }
    return NULL;
}

bool http_lists(const struct http_head *head, const char *name, const char *word)
{
    for (size_t i = 0; i < head->field_count; i++) {
        struct words rest = head->fields[i].value;

        if (!words_are(&head->fields[i].name, name))
            continue;
        while (rest.length > 0) {
            struct words one = trimmed(words_until(&rest, ','));

            if (words_are(&one, word))
                return true;
        }
    }
    return false;
}

static unsigned count_fields(const struct http_head *head, const char *name)
{
    unsigned count = 0;

    for (size_t i = 0; i < head->field_count; i++)
        count += words_are(&head->fields[i].name, name);
    return count;
}

int http_framing(const struct http_head *head, bool reply)
{
    const struct words *coding = http_value(head, "Transfer-Encoding");
    const struct words *length = http_value(head, "Content-Length");
    uint64_t number;

    if (count_fields(head, "Transfer-Encoding") > 1 || count_fields(head, "Content-Length") > 1 ||
        (coding && length))
        return ERR_INVALID;
    if (coding)
        return words_are(coding, "chunked") ? HTTP_CHUNKED : ERR_UNSUPPORTED;
    if (length && !words_number(length, UINT32_MAX, &number))
        return ERR_INVALID;
    if (length)
        return number > 0 ? HTTP_LENGTH : HTTP_NO_BODY;
    return reply ? HTTP_TO_CLOSE : HTTP_NO_BODY;
}
