/* Reads the digits in memory with the network, and prints what it took each for. */
#include "data.h"
#include "generated/mem.h"
#include "sparnn_driver.h"
#include "system.h"

static uint32_t memory[SPARNN_MEMORY_WORDS(STEPS)]; /* which the machine reaches as well */

static sparnn_device device = {
    .registers = (volatile uint32_t *)SPARNN_BASE,
    .memory = memory,
    .words = SPARNN_MEMORY_WORDS(STEPS),
    .patience = 1000000,
};

/* The outputs of one image: rows of pixels, 0 to 16, which the network knows as 0 to 1. */
static int classify(const uint8_t *pixels, int32_t *logits) {
    int16_t x[STEPS * SPARNN_NETWORK_INPUTS];
    for (int i = 0; i < STEPS * SPARNN_NETWORK_INPUTS; i++)
        x[i] = (int16_t)(((int)pixels[i] << SPARNN_NETWORK_F_X) / 16);
    int status = sparnn_run(&device, x, STEPS, 0);
    return status != SPARNN_OK ? status : sparnn_output(&device, 1, 0, logits);
}

static int largest(const int32_t *values) {
    int best = 0;
    for (int i = 1; i < SPARNN_LAYER1_UNITS; i++)
        if (values[i] > values[best])
            best = i;
    return best;
}

int main(void) {
    int32_t logits[SPARNN_LAYER1_UNITS];
    uint32_t cycles, start = timer_now();
    int status;

    device.address = (uintptr_t)memory;
    status = sparnn_open(&device);
    if (status == SPARNN_OK)
        status = sparnn_load(&device, image);
    print("loaded", status, timer_now() - start, 0, 0);
    for (int one = 0; one < IMAGES && status == SPARNN_OK; one++) {
        start = timer_now();
        status = classify(pixels[one], logits);
        start = timer_now() - start;
        if (status == SPARNN_OK)
            status = sparnn_cycles(&device, &cycles);
        if (status == SPARNN_OK)
            print("digit", largest(logits), start, cycles, logits);
    }
    print("done", status, 0, 0, 0);
    return status;
}
