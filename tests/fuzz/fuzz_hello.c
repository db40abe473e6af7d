/*
 * HELLO, HELLO-ACK, PING and BYE from any octets. What is accepted keeps to its
 * bounds, and written again and read again it is the same.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/tunnel/hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool condition)
{
    if (!condition)
        abort();
}

static bool ends(const char *text, size_t size)
{
    return memchr(text, '\0', size) != NULL;
}

static void expect_sound(const struct hello *hello)
{
    expect(ends(hello->software, sizeof(hello->software)));
    expect(ends(hello->site, sizeof(hello->site)));
    expect(hello->listener_count <= HELLO_LISTENERS_MAX);
    for (size_t i = 0; i < hello->listener_count; i++) {
        expect(hello->listener[i].name[0]);
        expect(ends(hello->listener[i].name, sizeof(hello->listener[i].name)));
        expect(hello->listener[i].advertise.family == 4 ||
               hello->listener[i].advertise.family == 6);
    }
}

typedef void put_fn(struct writer *w, const struct hello *hello);
typedef int get_fn(struct reader *r, struct hello *hello);

static void try_hello(const uint8_t *data, size_t size, get_fn *get, put_fn *put)
{
    struct hello first, second;
    uint8_t memory[FRAME_MAX_OCTETS], again[FRAME_MAX_OCTETS];
    struct writer w, v;
    struct reader r;

    reader_init(&r, data, size);
    if (get(&r, &first) < 0)
        return;
    expect_sound(&first);
    writer_init(&w, memory, sizeof(memory));
    put(&w, &first);
    expect(!w.failed);
    reader_init(&r, memory, writer_length(&w));
    expect(get(&r, &second) == 0);
    writer_init(&v, again, sizeof(again));
    put(&v, &second);
    expect(writer_length(&v) == writer_length(&w));
    expect(memcmp(memory, again, writer_length(&w)) == 0);
}

static void try_ping(const uint8_t *data, size_t size)
{
    struct ping first, second;
    uint8_t memory[64];
    struct writer w;
    struct reader r;

    reader_init(&r, data, size);
    if (ping_get(&r, &first) < 0)
        return;
    writer_init(&w, memory, sizeof(memory));
    ping_put(&w, &first);
    reader_init(&r, memory, writer_length(&w));
    expect(ping_get(&r, &second) == 0);
    expect(first.clock_us == second.clock_us && first.sa_version == second.sa_version);
}

static void try_bye(const uint8_t *data, size_t size)
{
    char first[BYE_REASON_SIZE], second[BYE_REASON_SIZE];
    uint8_t memory[256];
    struct writer w;
    struct reader r;

    reader_init(&r, data, size);
    if (bye_get(&r, first) < 0)
        return;
    expect(ends(first, sizeof(first)));
    writer_init(&w, memory, sizeof(memory));
    bye_put(&w, first);
    reader_init(&r, memory, writer_length(&w));
    expect(bye_get(&r, second) == 0);
    expect(strcmp(first, second) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_hello(data, size, hello_get, hello_put);
    try_hello(data, size, hello_ack_get, hello_ack_put);
    try_ping(data, size);
    try_bye(data, size);
    return 0;
}
