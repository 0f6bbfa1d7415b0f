/* Runs the network of sparnn.h on a machine that takes jobs from memory. C99, no heap.
 *
 * Integers in and out, in the model's own order: real = integer * 2^-f, with f of sparnn.h. The
 * calls return 0, a fault of sparnn_regs.h (SPARNN_FAULT_...), or one of the negative codes here.
 * After a fault the machine has been reset and takes the next job; the network stays loaded.
 *
 * Where registers or memory are not plain pointers, define SPARNN_READ and SPARNN_WRITE; where the
 * processor has caches, SPARNN_TO_DEVICE and SPARNN_FROM_DEVICE (pointer, bytes).
 */
#ifndef SPARNN_DRIVER_H
#define SPARNN_DRIVER_H

#include <stdint.h>

#include "sparnn.h"
#include "sparnn_regs.h"

#define SPARNN_OK 0
#define SPARNN_NO_DEVICE (-1)     /* there is no machine at these registers, or of other versions */
#define SPARNN_OTHER_MACHINE (-2) /* it is not the one that sparnn.h is for */
#define SPARNN_NO_ROOM (-3)       /* the job and its answer are longer than memory */
#define SPARNN_SILENT (-4)        /* the job, or a reset, has not ended after `patience` reads */
#define SPARNN_UNEXPECTED (-5)    /* the answer is not that of a run */
#define SPARNN_BAD_ARGUMENT (-6)  /* no steps or too many, no such layer or step */

/* Words of memory that loading, and a run of so many steps, need at most. */
#define SPARNN_MEMORY_WORDS(steps) \
    (SPARNN_IMAGE_WORDS + 2 > SPARNN_RUN_WORDS(steps) ? SPARNN_IMAGE_WORDS + 2 \
                                                      : SPARNN_RUN_WORDS(steps))
#define SPARNN_RUN_WORDS(steps) \
    (4 + 3 * SPARNN_LINK_WORDS + \
     (steps) * (SPARNN_NETWORK_INPUT_WORDS * SPARNN_STORE_WORDS + SPARNN_LINK_WORDS + \
                SPARNN_NETWORK_OUTPUT_WORDS))

typedef struct {
    volatile uint32_t *registers; /* their window */
    uint32_t *memory;             /* words that processor and machine see, and nobody else uses */
    uint64_t address;             /* of the first of them, as the machine sees it */
    uint32_t words;               /* how many */
    uint32_t patience;            /* reads of the status before a job is given up */
    /* Of the last job: */
    uint32_t answer;        /* where its answer begins, in words of memory */
    uint32_t written;       /* words of it */
    uint32_t steps;         /* of the last run */
    uint32_t error_word;    /* where it failed: words into the job or into its answer */
    uint64_t error_address; /* and the address */
} sparnn_device;

/* Checks that the machine is the one of sparnn.h, and resets it. */
int sparnn_open(sparnn_device *device);

/* Resets the machine's control; what its memories hold stays. */
int sparnn_reset(sparnn_device *device);

/* Loads the network: the words of image.bin, SPARNN_IMAGE_WORDS of them. */
int sparnn_load(sparnn_device *device, const uint32_t *image);

#if SPARNN_STREAM_BITS
/* Says where weights.bin lies in memory, SPARNN_WEIGHTS_WORDS words of it: `address` as the machine
 * sees it, a multiple of SPARNN_STREAM_BITS / 8. Before the first run, and again when it has moved;
 * they are read while the network runs, so they stay there. */
int sparnn_keep_weights(sparnn_device *device, uint64_t address);
#endif

/* Runs steps of one sequence: x[steps][SPARNN_NETWORK_INPUTS], integers of format
 * SPARNN_NETWORK_F_X; what does not fit SPARNN_ACTIVATION_BITS is clamped. carry_on: from the states
 * in the machine, else from zero. At most SPARNN_NETWORK_MAX_STEPS. */
int sparnn_run(sparnn_device *device, const int16_t *x, uint32_t steps, int carry_on);

#if SPARNN_STATES_WORDS > 2
/* A sequence that comes in pieces. There may be any number of them, which take turns: the machine
 * reads the states of each from memory and writes them back by itself. Each has two places, which
 * take turns too, so a call that fails has changed nothing and can be repeated. */
typedef struct {
    uint64_t now, then; /* where its states are, and where the next ones go */
} sparnn_stream;

/* Words of memory that so many streams take of a device's. */
#define SPARNN_STREAMS_WORDS(streams) (SPARNN_MAP_WORDS + 2 * SPARNN_STATES_WORDS * (streams))

/* Prepares the device for streams, once, after sparnn_open: what reads the states of this network
 * goes to the end of its memory. */
int sparnn_open_streams(sparnn_device *device);

/* A new stream, with states of zero, at the end of what is left of the device's memory. */
int sparnn_new_stream(sparnn_device *device, sparnn_stream *stream);

/* The next steps of a stream: else as sparnn_run. */
int sparnn_run_stream(sparnn_device *device, sparnn_stream *stream, const int16_t *x,
                      uint32_t steps);
#endif

/* A step of a layer's output in the last run: values[units], integers of format
 * SPARNN_LAYERn_F_OUT. Of layers that emit their last step alone that is step 0. */
int sparnn_output(const sparnn_device *device, int layer, uint32_t step, int32_t *values);

/* Cycles of the last run, from RUN to the last output. */
int sparnn_cycles(const sparnn_device *device, uint32_t *cycles);

/* All states of the network, to be put back later: states[SPARNN_NETWORK_STATE_WORDS]. */
int sparnn_get_states(sparnn_device *device, uint32_t *states);
int sparnn_set_states(sparnn_device *device, const uint32_t *states);

#endif
