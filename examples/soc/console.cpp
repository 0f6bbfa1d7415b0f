// The system in Verilator: a clock, a reset, and what its console says on standard output.
//
// Ends with the line that begins with "done", or with status 1 after so many cycles without a byte.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "Vsparnn.h"

int main(int argc, char** argv) {
    const uint64_t patience = argc > 1 ? strtoull(argv[1], nullptr, 10) : 100000000;
    Vsparnn system;
    char line[4096];
    size_t length = 0;
    uint64_t cycle = 0;

    system.serial_source_ready = 1;
    system.serial_sink_valid = 0;
    for (uint64_t silent = 0; silent < patience; silent++, cycle++) {
        system.sys_rst = cycle < 16;
        system.sys_clk = 0;
        system.eval();
        const bool says = system.serial_source_valid && !system.sys_rst;
        const char byte = static_cast<char>(system.serial_source_data);
        system.sys_clk = 1;
        system.eval();
        if (!says) continue;
        silent = 0;
        putchar(byte);
        if (byte != '\n' && length < sizeof line - 1) {
            line[length++] = byte;
            continue;
        }
        line[length] = 0;
        length = 0;
        fflush(stdout);
        if (strncmp(line, "done", 4) == 0) {
            printf("cycles %llu\n", static_cast<unsigned long long>(cycle));
            return 0;
        }
    }
    fprintf(stderr, "the system is silent\n");
    return 1;
}
