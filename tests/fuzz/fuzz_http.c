/*
 * HTTP from any octets. The first octet says what they are: a request to the dmz-relay, a proxy's
 * reply and its challenges, or chunks. What points anywhere points into them; chunks cut in two
 * places give what they give in one piece, and what is written is read again.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/tunnel/httpauth.h"
#include "common/tunnel/httpproxy.h"
#include "common/tunnel/httpwire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WHOLE_MAX = 4096 };

static void expect(bool condition)
{
    if (!condition)
        abort();
}

static void expect_inside(const struct words *words, const char *data, size_t size)
{
    expect(words->length == 0 || (words->at >= data && words->at + words->length <= data + size));
}

static void expect_sound(const struct http_head *head, const char *data, size_t size)
{
    expect_inside(&head->method, data, size);
    expect_inside(&head->target, data, size);
    expect_inside(&head->reason, data, size);
    expect(head->field_count <= HTTP_FIELDS_MAX);
    for (size_t i = 0; i < head->field_count; i++) {
        expect(head->fields[i].name.length > 0);
        expect_inside(&head->fields[i].name, data, size);
        expect_inside(&head->fields[i].value, data, size);
    }
}

static void try_request(const char *data, size_t size)
{
    int length = http_head_length(data, size);
    struct http_head head;
    char token[HTTPPROXY_TOKEN_SIZE];
    bool chunked;

    expect(length <= (int)size && length != 0);
    if (length < 0 || http_read_request(&head, data, (size_t)length) < 0)
        return;
    expect_sound(&head, data, (size_t)length);
    if (httpproxy_wants(&head, &chunked, token) >= HTTPPROXY_WANTS_IN)
        expect(token[0] == '\0' || strlen(token) == HTTPPROXY_TOKEN_SIZE - 1);
}

static void try_challenges(const struct http_head *head)
{
    struct httpauth *auth = calloc(1, sizeof(*auth));
    char text[HTTPAUTH_LINE_OCTETS], reason[256];

    expect(auth != NULL);
    memcpy(auth->user, "us\"er", 6);
    memcpy(auth->password, "password", 9);
    if (httpauth_take(auth, head, reason, sizeof(reason)) == 0) {
        expect(auth->challenge.scheme != HTTPAUTH_NONE);
        expect(httpauth_line(auth, "GET", "http://dmz/", "cnonce", text, sizeof(text)) == 0);
        /* One line, whatever the challenge had. */
        expect(strchr(text, '\n') == text + strlen(text) - 1);
    }
    free(auth);
}

static void try_reply(const char *data, size_t size)
{
    int length = http_head_length(data, size);
    struct http_head head;
    char reason[256];
    bool chunked;

    if (length < 0 || http_read_reply(&head, data, (size_t)length) < 0)
        return;
    expect_sound(&head, data, (size_t)length);
    expect(head.status >= 100 && head.status <= 999);
    for (unsigned way = 0; way < HTTPPROXY_WAYS; way++) {
        for (unsigned leg = 0; leg < httpproxy_legs(way); leg++)
            (void)httpproxy_judge(way, leg, &head, &chunked, reason, sizeof(reason));
    }
    try_challenges(&head);
}

static int read_in_pieces(const uint8_t *data, size_t size, size_t first, uint8_t *out)
{
    struct httpwire_reader reader = {.left = 0};
    int one, two;

    memcpy(out, data, first);
    one = httpwire_read(&reader, out, first);
    if (one < 0)
        return one;
    memcpy(out + one, data + first, size - first);
    two = httpwire_read(&reader, out + one, size - first);
    return two < 0 ? two : one + two;
}

static void try_chunks(const uint8_t *data, size_t size)
{
    uint8_t whole[WHOLE_MAX], pieces[WHOLE_MAX];
    int count;

    if (size > WHOLE_MAX)
        return;
    count = read_in_pieces(data, size, size, whole);
    expect(count <= (int)size);
    expect(read_in_pieces(data, size, size / 2, pieces) == count);
    expect(count <= 0 || memcmp(whole, pieces, (size_t)count) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    switch (data[0]) {
    case 'q':
        try_request((const char *)data + 1, size - 1);
        break;
    case 'r':
        try_reply((const char *)data + 1, size - 1);
        break;
    default:
        try_chunks(data + 1, size - 1);
        break;
    }
    return 0;
}
