// Drives a Verilated `sparnn_bus` with jobs: registers by commands, memory inside.
//
//   bus WORDS
//
// WORDS: of memory, from address 0. Commands on standard input, answers on standard output, binary,
// in the machine's byte order: a byte and two words of 32 bits,
//   'r' OFFSET 0      read a register: its value, and the response
//   'w' OFFSET VALUE  write a register: the response
//   'p' WORD COUNT    put COUNT words, which follow, into memory
//   'g' WORD COUNT    get COUNT words of memory
// Time goes on while registers are accessed, at least by kLeast cycles each. An access to memory that
// there is not is answered by an error. Runs until standard input ends.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <vector>

#include "Vsparnn.h"
#include "verilated.h"

namespace {

constexpr int kLeast = 20;
constexpr int kMost = 1000;  // cycles until a register has to answer
constexpr int kError = 2;

uint32_t get_word(const IData& port, int) { return port; }
uint32_t get_word(const QData& port, int at) { return static_cast<uint32_t>(port >> 32 * at); }
template <std::size_t N> uint32_t get_word(const VlWide<N>& port, int at) { return port[at]; }

void set_word(IData& port, int, uint32_t word) { port = word; }
void set_word(QData& port, int at, uint32_t word) {
    port = (port & ~(0xFFFFFFFFull << 32 * at)) | static_cast<QData>(word) << 32 * at;
}
template <std::size_t N> void set_word(VlWide<N>& port, int at, uint32_t word) { port[at] = word; }

template <typename T> int words_of(const T&) { return sizeof(T) / 4; }

struct Burst { uint64_t address; int left; int id; };

class Bus {
public:
    explicit Bus(std::size_t words) : memory(words) {
        top->aresetn = 0;
        for (int k = 0; k < 8; ++k) cycle();
        top->aresetn = 1;
    }

    // One clock cycle. What goes in was set before; what comes out is looked at before the edge.
    void cycle() {
        top->m_axi_arready = 1;
        top->m_axi_awready = 1;
        top->m_axi_wready = !writes.empty();
        top->m_axi_rvalid = !reads.empty();
        if (!reads.empty()) offer();
        top->m_axi_bvalid = !responses.empty();
        if (!responses.empty()) top->m_axi_bresp = responses.front();
        top->aclk = 0;
        top->eval();
        const int beat = words_of(top->m_axi_rdata);
        const bool read = top->m_axi_rvalid && top->m_axi_rready;
        const bool wrote = top->m_axi_wvalid && top->m_axi_wready;
        const bool told = top->m_axi_bvalid && top->m_axi_bready;
        const bool asks = top->m_axi_arvalid;
        const bool starts = top->m_axi_awvalid;
        const Burst ask{top->m_axi_araddr / 4, top->m_axi_arlen + 1, top->m_axi_arid};
        const Burst start{top->m_axi_awaddr / 4, top->m_axi_awlen + 1, 0};
        if (wrote) take(beat);
        top->aclk = 1;
        top->eval();
        if (top->aresetn == 0) return;
        if (read) {
            reads.front().address += beat;
            if (--reads.front().left == 0) reads.pop_front();
        }
        if (told) responses.pop_front();
        if (wrote && --writes.front().left == 0) {
            writes.pop_front();
            responses.push_back(bad ? kError : 0);
            bad = false;
        }
        if (asks) reads.push_back(ask);
        if (starts) writes.push_back(start);
    }

    bool read(uint32_t offset, uint32_t answer[2]) {
        top->s_axi_araddr = offset;
        top->s_axi_arvalid = 1;
        top->s_axi_rready = 1;
        for (int k = 0, waits = 0; waits < kMost; ++waits) {
            const bool taken = top->s_axi_arvalid && top->s_axi_arready;
            cycle();
            if (taken) top->s_axi_arvalid = 0;
            if (!k && top->s_axi_rvalid) {
                answer[0] = top->s_axi_rdata;
                answer[1] = top->s_axi_rresp;
                k = 1;
            }
            if (k && waits >= kLeast) return true;
        }
        return false;
    }

    bool write(uint32_t offset, uint32_t value, uint32_t answer[1]) {
        top->s_axi_awaddr = offset;
        top->s_axi_wdata = value;
        top->s_axi_wstrb = 15;
        top->s_axi_awvalid = top->s_axi_wvalid = 1;
        top->s_axi_bready = 1;
        for (int k = 0, waits = 0; waits < kMost; ++waits) {
            const bool address = top->s_axi_awvalid && top->s_axi_awready;
            const bool data = top->s_axi_wvalid && top->s_axi_wready;
            cycle();
            if (address) top->s_axi_awvalid = 0;
            if (data) top->s_axi_wvalid = 0;
            if (!k && top->s_axi_bvalid) {
                answer[0] = top->s_axi_bresp;
                k = 1;
            }
            if (k && waits >= kLeast) return true;
        }
        return false;
    }

    std::vector<uint32_t> memory;

private:
    void offer() {
        const int beat = words_of(top->m_axi_rdata);
        const uint64_t first = reads.front().address / beat * beat;
        const bool there = first + beat <= memory.size();
        for (int at = 0; at < beat; ++at)
            set_word(top->m_axi_rdata, at, there ? memory[first + at] : 0);
        top->m_axi_rid = reads.front().id;
        top->m_axi_rresp = there ? 0 : kError;
        top->m_axi_rlast = reads.front().left == 1;
    }

    void take(int beat) {
        const uint64_t first = writes.front().address / beat * beat;
        writes.front().address = first + beat;
        if (first + beat > memory.size()) {
            bad = true;
            return;
        }
        for (int at = 0; at < beat; ++at)
            if (top->m_axi_wstrb >> 4 * at & 1)
                memory[first + at] = get_word(top->m_axi_wdata, at);
    }

    const std::unique_ptr<VerilatedContext> context = std::make_unique<VerilatedContext>();
    const std::unique_ptr<Vsparnn> top = std::make_unique<Vsparnn>(context.get());
    std::deque<Burst> reads, writes;
    std::deque<int> responses;
    bool bad = false;
};

void send(const uint32_t* words, std::size_t count) {
    std::fwrite(words, 4, count, stdout);
    std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "error: usage: bus WORDS\n");
        return 2;
    }
    Bus bus(std::strtoull(argv[1], nullptr, 0));
    for (int command = std::getchar(); command != EOF; command = std::getchar()) {
        uint32_t given[2], answer[2] = {0, 0};
        if (std::fread(given, 4, 2, stdin) != 2) return 2;
        if (command == 'p' || command == 'g') {
            if (std::size_t{given[0]} + given[1] > bus.memory.size()) return 2;
            uint32_t* words = bus.memory.data() + given[0];
            if (command == 'g') send(words, given[1]);
            else if (std::fread(words, 4, given[1], stdin) != given[1]) return 2;
            continue;
        }
        const bool done = command == 'r' ? bus.read(given[0], answer)
                                         : bus.write(given[0], given[1], answer);
        if (!done) {
            std::fprintf(stderr, "error: the registers do not answer\n");
            return 3;
        }
        send(answer, command == 'r' ? 2 : 1);
    }
    return 0;
}
