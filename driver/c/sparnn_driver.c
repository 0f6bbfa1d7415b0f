/* See sparnn_driver.h. */
#include "sparnn_driver.h"

#ifndef SPARNN_READ
#define SPARNN_READ(device, offset) ((device)->registers[(offset) / 4])
#endif
#ifndef SPARNN_WRITE
#define SPARNN_WRITE(device, offset, value) ((device)->registers[(offset) / 4] = (value))
#endif
#ifndef SPARNN_TO_DEVICE
#define SPARNN_TO_DEVICE(pointer, bytes) ((void)(pointer), (void)(bytes))
#endif
#ifndef SPARNN_FROM_DEVICE
#define SPARNN_FROM_DEVICE(pointer, bytes) ((void)(pointer), (void)(bytes))
#endif

typedef struct {
    uint16_t units;
    uint16_t words;     /* of the store that hold a step */
    uint8_t emits;      /* its outputs are answered */
    uint8_t emits_last; /* of the last step alone */
    int32_t hidden;     /* store word of the hidden state, -1: none */
    int32_t cell;       /* entry of the cell states, -1: none */
    const uint16_t *order;
} layer_info;

/* One line for each layer: made by sparnn from the network. */
@LAYERS@
#if SPARNN_DELTA_PLACES

/* What layers with thresholds hold besides, entry after entry: one line for each memory and half. */
typedef struct {
    uint8_t target;
    uint8_t words; /* of an entry */
    uint16_t index;
    uint32_t address;
    uint32_t entries;
} delta_place;

@PLACES@
#endif

/* Words in which a store word is answered; they are sent in whole beats, SPARNN_STORE_WORDS. */
#define ANSWERED ((SPARNN_STORE_BITS + 31) / 32)

static const uint16_t input_order[] = SPARNN_NETWORK_INPUT_ORDER;

/* Jobs ----------------------------------------------------------------------------------------- */

/* A job that is being written into memory, from its word `first` on. `room`: none of its words was
 * left out. */
typedef struct {
    sparnn_device *device;
    uint32_t first;
    uint32_t words;
    uint32_t check;
    int room;
} job_writer;

/* What four bits of the check turn into. */
static const uint32_t check_steps[16] = {
    0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu,
    0x76DC4190u, 0x6B6B51F4u, 0x4DB26158u, 0x5005713Cu,
    0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu,
    0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu,
};

static void put(job_writer *job, uint32_t word) {
    uint32_t check;

    if (job->first + job->words >= job->device->words) {
        job->room = 0;
        return;
    }
    check = job->check ^ word;
    job->device->memory[job->first + job->words++] = word;
    for (int part = 0; part < 8; part++)
        check = check >> 4 ^ check_steps[check & 15];
    job->check = check;
}

static job_writer begin_at(sparnn_device *device, uint32_t first) {
    job_writer job = {device, first, 0, 0xFFFFFFFFu, 1};
    put(&job, SPARNN_IDENTITY);
    return job;
}

static job_writer begin(sparnn_device *device) {
    return begin_at(device, 0);
}

static void put_header(job_writer *job, uint32_t opcode, uint32_t argument) {
    put(job, SPARNN_HEADER(opcode, argument));
    for (int word = 1; word < SPARNN_LINK_WORDS; word++)
        put(job, 0);
}

static void put_place(job_writer *job, uint32_t target, uint32_t index, uint32_t address) {
    put_header(job, SPARNN_OPCODE_SELECT, SPARNN_SELECT(target, index));
    put_header(job, SPARNN_OPCODE_ADDRESS, address);
}

static int wait_for(sparnn_device *device, uint32_t offset, uint32_t mask) {
    for (uint32_t turn = 0; turn < device->patience; turn++)
        if (SPARNN_READ(device, offset) & mask)
            return SPARNN_OK;
    return SPARNN_SILENT;
}

static void set_address(sparnn_device *device, uint32_t offset, uint64_t address) {
    SPARNN_WRITE(device, offset, (uint32_t)address);
    SPARNN_WRITE(device, offset + 4, (uint32_t)(address >> 32));
}

/* Runs the job; its answer may have so many words. */
static int run_job(job_writer *job, uint32_t expected) {
    sparnn_device *device = job->device;
    uint64_t destination;
    int status;

    put(job, ~job->check);
    if (!job->room || expected > device->words - job->words)
        return SPARNN_NO_ROOM;
    device->answer = job->words;
    device->written = 0;
    destination = device->address + 4 * (uint64_t)job->words;
    SPARNN_TO_DEVICE(device->memory, 4 * job->words);
    set_address(device, SPARNN_REG_SOURCE_LO, device->address);
    SPARNN_WRITE(device, SPARNN_REG_SOURCE_WORDS, job->words);
    set_address(device, SPARNN_REG_DESTINATION_LO, destination);
    SPARNN_WRITE(device, SPARNN_REG_CAPACITY, expected);
    SPARNN_WRITE(device, SPARNN_REG_IRQ_STATUS, SPARNN_IRQ_STATUS_DONE | SPARNN_IRQ_STATUS_ERROR);
    SPARNN_WRITE(device, SPARNN_REG_CONTROL, SPARNN_CONTROL_START);
    status = wait_for(device, SPARNN_REG_IRQ_STATUS,
                      SPARNN_IRQ_STATUS_DONE | SPARNN_IRQ_STATUS_ERROR);
    if (status != SPARNN_OK)
        return status;
    if (SPARNN_READ(device, SPARNN_REG_STATUS) & SPARNN_STATUS_FAILED) {
        int fault = (int)(SPARNN_READ(device, SPARNN_REG_ERROR) & SPARNN_ERROR_CODE);
        device->error_word = SPARNN_READ(device, SPARNN_REG_ERROR_WORD);
        device->error_address = (uint64_t)SPARNN_READ(device, SPARNN_REG_ERROR_ADDRESS_HI) << 32 |
                                SPARNN_READ(device, SPARNN_REG_ERROR_ADDRESS_LO);
        status = sparnn_reset(device);
        return status == SPARNN_OK ? fault : status;
    }
    device->written = SPARNN_READ(device, SPARNN_REG_WRITTEN);
    SPARNN_FROM_DEVICE(device->memory + device->answer, 4 * device->written);
    return device->written == expected ? SPARNN_OK : SPARNN_UNEXPECTED;
}

int sparnn_reset(sparnn_device *device) {
    SPARNN_WRITE(device, SPARNN_REG_CONTROL, SPARNN_CONTROL_RESET);
    return wait_for(device, SPARNN_REG_STATUS, SPARNN_STATUS_READY);
}

int sparnn_open(sparnn_device *device) {
    device->answer = device->written = device->steps = 0;
    if (SPARNN_READ(device, SPARNN_REG_MAGIC) != SPARNN_REGS_MAGIC ||
        (SPARNN_READ(device, SPARNN_REG_VERSION) & SPARNN_VERSION_BUS) != SPARNN_REGS_VERSION ||
        !(SPARNN_READ(device, SPARNN_REG_CAPABILITIES) & SPARNN_CAPABILITIES_JOBS))
        return SPARNN_NO_DEVICE;
    if (SPARNN_READ(device, SPARNN_REG_IDENTITY) != SPARNN_IDENTITY)
        return SPARNN_OTHER_MACHINE;
    return sparnn_reset(device);
}

int sparnn_load(sparnn_device *device, const uint32_t *image) {
    job_writer job = begin(device);
    for (uint32_t word = 0; word < SPARNN_IMAGE_WORDS; word++)
        put(&job, image[word]);
    return run_job(&job, 0);
}

#if SPARNN_STREAM_BITS
int sparnn_keep_weights(sparnn_device *device, uint64_t address) {
    if (address % (SPARNN_STREAM_BITS / 8))
        return SPARNN_BAD_ARGUMENT;
    set_address(device, SPARNN_REG_WEIGHTS_LO, address);
    return sparnn_reset(device); /* what the machine has read of the weights before is forgotten */
}
#endif

/* Runs ----------------------------------------------------------------------------------------- */

/* A step's inputs, by position, as store words: elements of SPARNN_ACTIVATION_BITS, lowest first. */
static void put_step(job_writer *job, const int16_t *x) {
    const int32_t limit = (int32_t)1 << (SPARNN_ACTIVATION_BITS - 1);
    const uint32_t mask = ((uint32_t)1 << SPARNN_ACTIVATION_BITS) - 1;
    for (uint32_t word = 0; word < SPARNN_NETWORK_INPUT_WORDS; word++) {
        uint32_t part = 0, field;
        int bits = 0, parts = 0;
        for (uint32_t element = 0; element < SPARNN_POST_UNITS; element++) {
            uint32_t position = word * SPARNN_POST_UNITS + element;
            int32_t value = position < SPARNN_NETWORK_INPUTS ? x[input_order[position]] : 0;
            value = value < -limit ? -limit : value >= limit ? limit - 1 : value;
            field = (uint32_t)value & mask;
            part |= field << bits;
            bits += SPARNN_ACTIVATION_BITS;
            if (bits >= 32) { /* what did not fit begins the next word */
                put(job, part);
                bits -= 32;
                part = bits ? field >> (SPARNN_ACTIVATION_BITS - bits) : 0;
                parts++;
            }
        }
        if (bits) {
            put(job, part);
            parts++;
        }
        for (; parts < SPARNN_STORE_WORDS; parts++)
            put(job, 0);
    }
}

/* A run of steps of one sequence; `flag`: of RUN. */
static int run_steps(sparnn_device *device, const int16_t *x, uint32_t steps, uint32_t flag) {
    const uint32_t step_words = SPARNN_NETWORK_INPUT_WORDS * SPARNN_STORE_WORDS;
    job_writer job = begin(device);
    uint32_t expected = 2;

    if (steps < 1 || steps > SPARNN_NETWORK_MAX_STEPS)
        return SPARNN_BAD_ARGUMENT;
    device->steps = steps;
    put_place(&job, SPARNN_TARGET_STORE, 0, SPARNN_NETWORK_INPUT_ADDRESS);
    for (uint32_t step = 0; step < steps; step++) {
        /* To a packed store each vector is a packet of its own. */
        if (step == 0 || SPARNN_PACKED_STORE)
            put_header(&job, SPARNN_OPCODE_WRITE,
                       SPARNN_PACKED_STORE ? step_words : steps * step_words);
        put_step(&job, x + step * SPARNN_NETWORK_INPUTS);
    }
    put_header(&job, SPARNN_OPCODE_RUN, flag | steps);
    for (int layer = 0; layer < SPARNN_NETWORK_LAYERS; layer++)
        if (layers[layer].emits)
            expected += (layers[layer].emits_last ? 1 : steps) * (1u + layers[layer].units);
    return run_job(&job, expected);
}

int sparnn_run(sparnn_device *device, const int16_t *x, uint32_t steps, int carry_on) {
    return run_steps(device, x, steps, carry_on ? 0 : SPARNN_RUN_RESET);
}

int sparnn_output(const sparnn_device *device, int layer, uint32_t step, int32_t *values) {
    const uint32_t *answer = device->memory + device->answer;
    uint32_t at = 0;

    if (layer < 0 || layer >= SPARNN_NETWORK_LAYERS || !layers[layer].emits)
        return SPARNN_BAD_ARGUMENT;
    if (step >= (layers[layer].emits_last ? 1 : device->steps))
        return SPARNN_BAD_ARGUMENT;
    for (int one = 0; one < layer; one++)
        if (layers[one].emits)
            at += (layers[one].emits_last ? 1 : device->steps) * (1u + layers[one].units);
    at += step * (1u + layers[layer].units);
    if (at + layers[layer].units >= device->written ||
        answer[at] != SPARNN_HEADER(SPARNN_RESPONSE_RESULT, layers[layer].units))
        return SPARNN_UNEXPECTED;
    for (uint32_t position = 0; position < layers[layer].units; position++)
        values[layers[layer].order[position]] = (int32_t)answer[at + 1 + position];
    return SPARNN_OK;
}

int sparnn_cycles(const sparnn_device *device, uint32_t *cycles) {
    const uint32_t *end = device->memory + device->answer + device->written;
    if (device->written < 2 || end[-2] != SPARNN_HEADER(SPARNN_RESPONSE_DONE, 0))
        return SPARNN_UNEXPECTED;
    *cycles = end[-1];
    return SPARNN_OK;
}

/* States --------------------------------------------------------------------------------------- */

/* Cell states of a layer that lie in one post unit. */
static uint32_t cells(const layer_info *layer, uint32_t unit) {
    return layer->cell < 0 || unit >= layer->units
               ? 0
               : (layer->units - unit + SPARNN_POST_UNITS - 1) / SPARNN_POST_UNITS;
}

int sparnn_get_states(sparnn_device *device, uint32_t *states) {
    job_writer job = begin(device);
    const uint32_t *answer;
    uint32_t expected = 0;
    int status;

    for (const layer_info *layer = layers; layer < layers + SPARNN_NETWORK_LAYERS; layer++) {
        if (layer->hidden < 0)
            continue;
        put_place(&job, SPARNN_TARGET_STORE, 0, (uint32_t)layer->hidden);
        put_header(&job, SPARNN_OPCODE_READ, layer->words);
        expected += 1u + layer->words * ANSWERED;
        for (uint32_t unit = 0; unit < SPARNN_POST_UNITS && cells(layer, unit); unit++) {
            put_place(&job, SPARNN_TARGET_STATE, unit, (uint32_t)layer->cell);
            put_header(&job, SPARNN_OPCODE_READ, cells(layer, unit));
            expected += 1u + cells(layer, unit);
        }
    }
#if SPARNN_DELTA_PLACES
    for (const delta_place *one = delta_places; one < delta_places + SPARNN_DELTA_PLACES; one++) {
        put_place(&job, one->target, one->index, one->address);
        put_header(&job, SPARNN_OPCODE_READ, one->entries);
        expected += 1u + one->entries * one->words;
    }
#endif
    if (!expected)
        return SPARNN_OK;
    status = run_job(&job, expected);
    if (status != SPARNN_OK)
        return status;
    answer = device->memory + device->answer;
    for (uint32_t at = 0; at < expected;) {
        uint32_t count = answer[at] & ((1u << SPARNN_ARGUMENT_BITS) - 1);
        if (answer[at] >> SPARNN_ARGUMENT_BITS != SPARNN_RESPONSE_DATA || at + count >= expected)
            return SPARNN_UNEXPECTED;
        for (uint32_t word = 1; word <= count; word++)
            *states++ = answer[at + word];
        at += 1u + count;
    }
    return SPARNN_OK;
}

int sparnn_set_states(sparnn_device *device, const uint32_t *states) {
    job_writer job = begin(device);
    uint32_t before = job.words;

    for (const layer_info *layer = layers; layer < layers + SPARNN_NETWORK_LAYERS; layer++) {
        if (layer->hidden < 0)
            continue;
        put_place(&job, SPARNN_TARGET_STORE, 0, (uint32_t)layer->hidden);
        put_header(&job, SPARNN_OPCODE_WRITE, layer->words * SPARNN_STORE_WORDS);
        for (uint32_t word = 0; word < layer->words; word++)
            for (uint32_t part = 0; part < SPARNN_STORE_WORDS; part++)
                put(&job, part < ANSWERED ? *states++ : 0);
        for (uint32_t unit = 0; unit < SPARNN_POST_UNITS && cells(layer, unit); unit++) {
            put_place(&job, SPARNN_TARGET_STATE, unit, (uint32_t)layer->cell);
            put_header(&job, SPARNN_OPCODE_WRITE, cells(layer, unit) * SPARNN_STATE_WORDS);
            for (uint32_t cell = 0; cell < cells(layer, unit); cell++)
                for (uint32_t part = 0; part < SPARNN_STATE_WORDS; part++)
                    put(&job, part == 0 ? *states++ & 0xFFFF : 0);
        }
    }
#if SPARNN_DELTA_PLACES
    for (const delta_place *one = delta_places; one < delta_places + SPARNN_DELTA_PLACES; one++) {
        put_place(&job, one->target, one->index, one->address);
        put_header(&job, SPARNN_OPCODE_WRITE, one->entries * one->words);
        for (uint32_t word = 0; word < one->entries * one->words; word++)
            put(&job, *states++);
    }
#endif
    return job.words == before ? SPARNN_OK : run_job(&job, 0);
}

/* Streams -------------------------------------------------------------------------------------- */

#if SPARNN_STATES_WORDS > 2

/* Packets for the states in one memory: those that read them, or write zeros. */
static void put_entries(job_writer *job, int reads, uint32_t target, uint32_t index,
                        uint32_t address, uint32_t entries, uint32_t words) {
    put_place(job, target, index, address);
    put_header(job, reads ? SPARNN_OPCODE_READ : SPARNN_OPCODE_WRITE,
               reads ? entries : entries * words);
    for (uint32_t word = 0; !reads && word < entries * words; word++)
        put(job, 0);
}

/* The packets that read all states, or those that make them zero, at the end of memory, which ends
 * `spare` words earlier from then on. They are what the machine itself writes into a stream's
 * places. */
static int put_all(sparnn_device *device, int reads, uint32_t spare, uint64_t *address) {
    job_writer job;

    if (spare > device->words)
        return SPARNN_NO_ROOM;
    job = begin_at(device, device->words - spare);
    for (const layer_info *layer = layers; layer < layers + SPARNN_NETWORK_LAYERS; layer++) {
        if (layer->hidden < 0)
            continue;
        put_entries(&job, reads, SPARNN_TARGET_STORE, 0, (uint32_t)layer->hidden, layer->words,
                    SPARNN_STORE_WORDS);
        for (uint32_t unit = 0; unit < SPARNN_POST_UNITS && layer->cell >= 0; unit++)
            put_entries(&job, reads, SPARNN_TARGET_STATE, unit, (uint32_t)layer->cell,
                        layer->words, SPARNN_STATE_WORDS);
    }
#if SPARNN_DELTA_PLACES
    for (const delta_place *one = delta_places; one < delta_places + SPARNN_DELTA_PLACES; one++)
        put_entries(&job, reads, one->target, one->index, one->address, one->entries, one->words);
#endif
    put(&job, ~job.check);
    SPARNN_TO_DEVICE(device->memory + job.first, 4 * job.words);
    device->words = job.first;
    *address = device->address + 4 * (uint64_t)job.first;
    return SPARNN_OK;
}

int sparnn_open_streams(sparnn_device *device) {
    uint64_t address;
    int status = put_all(device, 1, SPARNN_MAP_WORDS, &address);

    if (status != SPARNN_OK)
        return status;
    set_address(device, SPARNN_REG_MAP_LO, address);
    SPARNN_WRITE(device, SPARNN_REG_MAP_WORDS, SPARNN_MAP_WORDS);
    SPARNN_WRITE(device, SPARNN_REG_STATE_WORDS, SPARNN_STATES_WORDS);
    return SPARNN_OK;
}

int sparnn_new_stream(sparnn_device *device, sparnn_stream *stream) {
    int status = put_all(device, 0, 2 * SPARNN_STATES_WORDS, &stream->now);

    stream->then = stream->now + 4 * SPARNN_STATES_WORDS;
    return status;
}

int sparnn_run_stream(sparnn_device *device, sparnn_stream *stream, const int16_t *x,
                      uint32_t steps) {
    uint64_t before = stream->now;
    int status;

    set_address(device, SPARNN_REG_STATE_IN_LO, stream->now);
    set_address(device, SPARNN_REG_STATE_OUT_LO, stream->then);
    SPARNN_WRITE(device, SPARNN_REG_STATES, SPARNN_STATES_LOAD | SPARNN_STATES_SAVE);
    status = run_steps(device, x, steps, 0);
    SPARNN_WRITE(device, SPARNN_REG_STATES, 0);
    if (status == SPARNN_OK) {
        stream->now = stream->then;
        stream->then = before;
    }
    return status;
}
#endif
