/*
 * Memory for secrets: cells of one size, locked against swapping, left out of core dumps, empty in
 * a child process, and wiped when given back.
 */
#ifndef COMMON_BASE_VAULT_H
#define COMMON_BASE_VAULT_H

#include <stdbool.h>
#include <stddef.h>

enum { VAULT_ALIGNMENT = 64, VAULT_CELL_MAX = 65536 };

struct vault;

/*
 * cell_octets is 1 to VAULT_CELL_MAX; each cell takes the next multiple of VAULT_ALIGNMENT. The
 * first cells are mapped at once, so that vault_is_locked() tells something. 0 or ERR_NOMEM.
 */
int vault_new(struct vault **vault, size_t cell_octets);
/* All cells must have been given back: what is left of them is wiped, too. Accepts NULL. */
void vault_free(struct vault *vault);

/* A cell of zeros, aligned to VAULT_ALIGNMENT, until vault_give(); NULL without memory. */
void *vault_take(struct vault *vault);
/*
 * Wipes the cell; later ones may get it. Accepts NULL. Ends the program when it is no cell of this
 * vault or was given back before: what follows could only be keys in the wrong hands.
 */
void vault_give(struct vault *vault, void *cell);

/* False when the kernel refused to lock any of it (RLIMIT_MEMLOCK); the vault works all the same.
 */
bool vault_is_locked(const struct vault *vault);
/* The cells that are taken. */
size_t vault_count(const struct vault *vault);

#endif
