/* What the program needs of the system beside the machine: a console, a clock, and the cache.
 *
 * Every file is compiled with -include system.h, so that the driver has the macro below.
 */
#if !defined(SYSTEM_H) && !defined(__ASSEMBLER__)
#define SYSTEM_H

#include <stdint.h>

/* What the machine wrote to memory, the processor's data cache has to forget: an instruction of
 * VexRiscv. The other way nothing is to be done, the cache writes through. */
#define SPARNN_FROM_DEVICE(pointer, bytes) \
    ((void)(pointer), (void)(bytes), forget_data_cache())

static inline void forget_data_cache(void) {
    __asm__ volatile(".word 0x500F" ::: "memory");
}

/* Cycles since the start, modulo 2^32. */
uint32_t timer_now(void);

/* A line: a word, three numbers, and the outputs where there are any. */
void print(const char *word, int number, uint32_t cycles, uint32_t machine_cycles,
           const int32_t *outputs);

#endif
