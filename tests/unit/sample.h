/* SAs for tests: complete, and different from each other where their numbers are. */
#ifndef TESTS_UNIT_SAMPLE_H
#define TESTS_UNIT_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/sa/sa.h"

/* Checked fixture: an engine (auto) and the senders of protect.h, started once per process. */
void sample_engine_start(void);
/* The engine; started when it was not yet. */
struct srtp_engine *sample_engine(void);
/* At the end of main: under CK_FORK=no nothing else stops it. */
void sample_engine_stop(void);

/* Parses "192.0.2.1:5004" or "[2001:db8::1]:5004"; aborts on anything else. "": family 0. */
struct addr sample_addr(const char *text);

/*
 * An SA with this id, label and SSRC = number, generation 1, a suite but no key,
 * a source and a destination of its own (IPv4, even numbers; IPv6, odd ones) on
 * the sides that they belong to. Aborts without memory.
 */
struct sa *sample_sa(enum sa_side side, uint64_t id, uint32_t number);
/* The same with a session under a key that id and number make; of sample_engine(). */
struct sa *sample_keyed_sa(enum sa_side side, uint64_t id, uint32_t number);
/* The same whose packets go out on the sender's side again. */
struct sa *sample_hairpin(enum sa_side side, uint64_t id, uint32_t number);
/* Gives it another key: suite_material_octets() of them. */
void sample_set_key(struct sa *sa, const uint8_t *material);
/* The master key and salt of its session. */
void sample_material(const struct sa *sa, uint8_t material[SUITE_KEY_MAX_OCTETS]);
/* Do their sessions verify the same, whatever form the keys have? True when neither has one. */
bool sample_same_key(const struct sa *a, const struct sa *b);
/* sa_set_text(); aborts without memory. */
void sample_text(struct sa *sa, enum sa_text which, const char *value);

/* Do the fields that the wire carries in a view agree? full: WIRE_STATE's, else
 * WIRE_REPLICA_FULL's. */
bool sample_same(const struct sa *a, const struct sa *b, bool full);

#endif
