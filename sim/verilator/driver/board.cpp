// Drives a Verilated `sparnn_board` through its serial pins, bit by bit.
//
//   board FD DIVISOR [LOG]
//
// FD is an open file descriptor, such as a pseudo terminal's master: its bytes go to uart_rx, those of
// uart_tx go to it. DIVISOR: clock cycles per bit. LOG: every byte seen on the pins, two bytes each:
// 'i' or 'o', and the byte. Runs until the other end is closed, or SIGTERM.

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fcntl.h>
#include <memory>
#include <poll.h>
#include <unistd.h>

#include "Vsparnn.h"
#include "verilated.h"

namespace {

constexpr uint64_t kPollMask = 255;
constexpr uint64_t kIdleCycles = 2000000;  // then the processor may rest between the polls
constexpr size_t kMost = 4096;

volatile std::sig_atomic_t stopped = 0;
void stop(int) { stopped = 1; }

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) {
        std::fprintf(stderr, "error: usage: board FD DIVISOR [LOG]\n");
        return 2;
    }
    const int fd = std::atoi(argv[1]);
    const int divisor = std::atoi(argv[2]);
    std::FILE* log = argc > 3 ? std::fopen(argv[3], "wb") : nullptr;
    if (divisor < 4 || (argc > 3 && !log) || fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
        std::fprintf(stderr, "error: a bad divisor, file descriptor or log\n");
        return 2;
    }
    std::signal(SIGTERM, stop);
    const auto note = [&](char direction, uint8_t byte) {
        if (log) { std::fputc(direction, log); std::fputc(byte, log); }
    };

    const auto context = std::make_unique<VerilatedContext>();
    const auto top = std::make_unique<Vsparnn>(context.get());
    std::deque<uint8_t> to_board, from_board;
    unsigned out_frame = 0;              // bits that are still to be sent, the next one lowest
    int out_bits = 0, out_timer = 0;
    int in_bits = 0, in_timer = 0;
    unsigned in_byte = 0;
    uint64_t moved = 0;
    bool closed = false;
    top->uart_rx = 1;
    for (uint64_t cycle = 0; !closed && !stopped; ++cycle) {
        // Onto the line.
        if (out_timer > 0) {
            --out_timer;
        } else if (out_bits > 0) {
            top->uart_rx = out_frame & 1;
            out_frame >>= 1;
            --out_bits;
            out_timer = divisor - 1;
        } else if (!to_board.empty()) {
            note('i', to_board.front());
            out_frame = (0x200u | to_board.front() << 1) >> 1;
            to_board.pop_front();
            top->uart_rx = 0;
            out_bits = 9;
            out_timer = divisor - 1;
            moved = cycle;
        }
        top->clock = 0;
        top->eval();
        top->clock = 1;
        top->eval();
        // Off the line: each bit in its middle.
        if (in_timer > 0) {
            --in_timer;
        } else if (in_bits == 0) {
            if (!top->uart_tx) {
                in_bits = 9;
                in_byte = 0;
                in_timer = divisor + divisor / 2 - 1;
                moved = cycle;
            }
        } else {
            --in_bits;
            in_timer = divisor - 1;
            if (in_bits > 0) {
                in_byte |= static_cast<unsigned>(top->uart_tx) << (8 - in_bits);
            } else {
                in_timer = 0;
                if (!top->uart_tx) {
                    std::fprintf(stderr, "error: a byte without stop bit from the board\n");
                    return 3;
                }
                note('o', static_cast<uint8_t>(in_byte));
                from_board.push_back(static_cast<uint8_t>(in_byte));
            }
        }
        if ((cycle & kPollMask) != 0) continue;
        if (cycle - moved > kIdleCycles) {
            pollfd waiting = {fd, POLLIN, 0};
            poll(&waiting, 1, 1);
        }
        while (to_board.size() < kMost) {
            uint8_t buffer[512];
            const ssize_t count = read(fd, buffer, sizeof buffer);
            if (count > 0) to_board.insert(to_board.end(), buffer, buffer + count);
            if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) closed = true;
            if (count <= 0) break;
        }
        while (!from_board.empty()) {
            const uint8_t byte = from_board.front();
            if (write(fd, &byte, 1) != 1) break;
            from_board.pop_front();
        }
    }
    if (log) std::fclose(log);
    top->final();
    return 0;
}
