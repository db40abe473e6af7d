#include "tests/unit/allocs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define ALLOCS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ALLOCS_SANITIZER 1
#endif
#endif

static bool counting;
static uint64_t count;

#ifdef ALLOCS_SANITIZER

/* <sanitizer/allocator_interface.h>, which gcc does not install. */
int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t),
                                              void (*on_free)(const volatile void *));

static void on_malloc(const volatile void *memory, size_t size)
{
    (void)memory;
    (void)size;
    count += counting;
}

static void on_free(const volatile void *memory)
{
    (void)memory;
}

/* Its malloc() stays; it tells us. */
static void __attribute__((constructor)) listen_to_the_sanitizer(void)
{
    if (!__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free))
        abort();
}

#else

/* glibc's own names, for programs that bring a malloc() of their own. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t members, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size)
{
    count += counting;
    return __libc_malloc(size);
}

void *calloc(size_t members, size_t size)
{
    count += counting;
    return __libc_calloc(members, size);
}

void *realloc(void *memory, size_t size)
{
    count += counting;
    return __libc_realloc(memory, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    count += counting;
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
    void *made = aligned_alloc(alignment, size);

    if (!made)
        return ENOMEM;
    *memory = made;
    return 0;
}

#endif

/* It cannot be asked without its header, but has to be loaded in front of all libraries. */
bool allocs_are_seen(void)
{
    const char *preload = getenv("LD_PRELOAD");

    return !preload || !strstr(preload, "vgpreload");
}

void allocs_begin(void)
{
    count = 0;
    counting = true;
}

uint64_t allocs_end(void)
{
    counting = false;
    return count;
}
