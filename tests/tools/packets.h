/* Files of datagrams: u16 length, then the octets; again and again. */
#ifndef TESTS_TOOLS_PACKETS_H
#define TESTS_TOOLS_PACKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct packet {
    const uint8_t *data; /* lives as long as the struct packets */
    size_t length;
    unsigned copies; /* in the file; 0 for all but the first of equal ones */
    bool taken;
};

struct packets {
    uint8_t *memory;
    struct packet *list;
    size_t count;
    size_t *slots; /* hash table of 1 + index into list; distinct packets only */
    size_t mask;
};

/* 0 or a negative code; *error says why. */
int packets_read(struct packets *packets, const char *path, const char **error);
void packets_free(struct packets *packets);
/*
 * Looks a datagram up, byte for byte. False: there is none like it. A second
 * look for the same one is true as well.
 */
bool packets_take(struct packets *packets, const uint8_t *data, size_t length);
/* Distinct packets that nobody looked for. */
size_t packets_missing(const struct packets *packets);

/* False when the file cannot be written. */
bool packets_append(FILE *file, const uint8_t *data, size_t length);

#endif
