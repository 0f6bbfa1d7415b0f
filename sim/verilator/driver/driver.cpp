// Drives a Verilated `sparnn_bench` (bench.v): words of a file into rx, words of tx into a file. It
// knows nothing of what the words mean.
//
//   driver INPUT OUTPUT EXPECTED [--mark N] [--idle P] [--stall P] [--seed S] [--watchdog CYCLES]
//          [--limit CYCLES] [--waves FILE]
//          [--coverage FILE]
//          [--memory FILE --bytes-per-cycle N --latency CYCLES --under-way BEATS]
//
// INPUT and OUTPUT hold little-endian 32-bit words. The run ends when all of INPUT has been taken and
// EXPECTED words have come out; a little later, so that words too many are seen. --mark reports the
// cycle in which word N of INPUT was taken. --idle and --stall: percentage of cycles in which rx is
// idle and tx is not ready. --waves records the first 20,000 cycles after word N. --watchdog: cycles without any transfer after which the run is given up.
//
// --coverage: of a driver that was built to count, where Verilator's counts go.
//
// A machine that reads external memory, which FILE holds, finds what it asks for behind `requests`
// and `words`: so many bytes per cycle, each word so many cycles after it was asked for, so many
// words at most under way or waiting.
//
// Verilog that counts (gen/energy/counting.py) says through sparnn_run when a run is under way, and
// at the end through sparnn_count how often things happened; counts of one number are added.
//
// One JSON object goes to standard output, progress to standard error. Exit status: 0 done; 2 wrong
// use or a file that cannot be read or written; 3 given up, with what has come out so far in OUTPUT.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "Vsparnn.h"
#include "verilated.h"
#ifdef SPARNN_WAVES
#include "verilated_vcd_c.h"
#endif
#if VM_COVERAGE
#include "verilated_cov.h"
#endif

namespace {

bool running = false;
std::map<int, unsigned long long> counts;

}  // namespace

// Called from Verilog that counts.
extern "C" void sparnn_run(unsigned char under_way) { running = under_way; }
extern "C" unsigned char sparnn_running() { return running; }
extern "C" void sparnn_count(int number, long long count) { counts[number] += count; }

namespace {

constexpr uint64_t kResetCycles = 4;
constexpr uint64_t kQuietCycles = kResetCycles + 8;  // the reset may arrive late
constexpr uint64_t kSurplusCycles = 256;
// Of --waves: a cycle of even a small machine takes about 5 KB of VCD.
constexpr uint64_t kWaveCycles = 20000;
constexpr uint64_t kClockCheckMask = (1 << 12) - 1;

struct Options {
    std::string input, output, waves, memory, coverage;
    uint64_t bytes_per_cycle = 8, latency = 60, under_way = 256;
    uint64_t expected = 0, mark = 0, watchdog = 1000000, limit = ~0ull, seed = 0;
    unsigned idle = 0, stall = 0;
};

[[noreturn]] void fail(const std::string& message) {
    std::fprintf(stderr, "error: %s\n", message.c_str());
    std::exit(2);
}

uint64_t number(const char* text) {
    char* end = nullptr;
    const uint64_t value = std::strtoull(text, &end, 10);
    if (*text == '\0' || *end != '\0') fail(std::string("not a number: ") + text);
    return value;
}

Options parse(int argc, char** argv) {
    if (argc < 4) fail("usage: driver INPUT OUTPUT EXPECTED [options]");
    Options options;
    options.input = argv[1];
    options.output = argv[2];
    options.expected = number(argv[3]);
    for (int i = 4; i < argc; i += 2) {
        if (i + 1 == argc) fail(std::string("no value for ") + argv[i]);
        const std::string name = argv[i];
        if (name == "--mark") options.mark = number(argv[i + 1]);
        else if (name == "--idle") options.idle = static_cast<unsigned>(number(argv[i + 1]));
        else if (name == "--stall") options.stall = static_cast<unsigned>(number(argv[i + 1]));
        else if (name == "--seed") options.seed = number(argv[i + 1]);
        else if (name == "--watchdog") options.watchdog = number(argv[i + 1]);
        else if (name == "--limit") options.limit = number(argv[i + 1]);
        else if (name == "--waves") options.waves = argv[i + 1];
        else if (name == "--coverage") options.coverage = argv[i + 1];
        else if (name == "--memory") options.memory = argv[i + 1];
        else if (name == "--bytes-per-cycle") options.bytes_per_cycle = number(argv[i + 1]);
        else if (name == "--latency") options.latency = number(argv[i + 1]);
        else if (name == "--under-way") options.under_way = number(argv[i + 1]);
        else fail("unknown option " + name);
    }
    if (options.idle > 99 || options.stall > 99) fail("--idle and --stall are at most 99");
    return options;
}

std::vector<uint32_t> read_words(const std::string& path) {
    std::FILE* file = std::fopen(path.c_str(), "rb");
    if (!file) fail("cannot read " + path);
    std::vector<uint32_t> words;
    uint8_t bytes[4];
    size_t count;
    while ((count = std::fread(bytes, 1, 4, file)) == 4)
        words.push_back(bytes[0] | bytes[1] << 8 | bytes[2] << 16
                        | static_cast<uint32_t>(bytes[3]) << 24);
    if (count != 0 || std::ferror(file)) fail(path + " does not hold whole words");
    std::fclose(file);
    return words;
}

void write_words(const std::string& path, const std::vector<uint32_t>& words) {
    std::FILE* file = std::fopen(path.c_str(), "wb");
    if (!file) fail("cannot write " + path);
    for (const uint32_t word : words) {
        const uint8_t bytes[4] = {static_cast<uint8_t>(word), static_cast<uint8_t>(word >> 8),
                                  static_cast<uint8_t>(word >> 16),
                                  static_cast<uint8_t>(word >> 24)};
        std::fwrite(bytes, 1, 4, file);
    }
    if (std::ferror(file) | std::fclose(file)) fail("cannot write " + path);
}

// A link of up to 64 bits is an integer, a wider one an array of 32-bit words; a beat takes as many
// words of the input as it has room for.
template <typename T>
constexpr size_t link_words(const T& port) {
    return (sizeof(port) + 3) / 4;
}

template <typename T>
void offer(T& port, const uint32_t* words) {
    std::memcpy(&port, words, sizeof(port));
}

// External memory, for machines that read it.
template <typename Top>
class Memory {
public:
    Memory(Top& machine, const Options& given)
        : top(machine), options(given), words(given.memory.empty() ? std::vector<uint32_t>()
                                                                   : read_words(given.memory)) {}

    // Before the clock's edge: what the machine sees in this cycle.
    void offer(uint64_t cycle) {
        // What was asked for begins at the rate of the memory, while there is room for it.
        credit = std::min(credit + options.bytes_per_cycle, kBeatBytes + options.bytes_per_cycle);
        while (!requests.empty() && credit >= kBeatBytes && beats.size() < options.under_way) {
            credit -= kBeatBytes;
            beats.emplace_back(cycle + options.latency, requests.front().first);
            ++requests.front().first;
            if (--requests.front().second == 0) requests.pop_front();
        }
        asks = true;
        gives = !beats.empty() && beats.front().first <= cycle;
        top.requests___05Fready = asks;
        top.words___05Fvalid = gives;
        if (gives) put(beats.front().second);
    }

    // Before the edge, when all signals are known; whether a word goes.
    bool take() {
        if (top.requests___05Fvalid && asks) {
            // address, then words, from the least significant bit
            requests.emplace_back(top.requests___05Fpayload & 0xFFFFFFFFull,
                                  top.requests___05Fpayload >> 32);
        }
        damaged = top.damaged;
        if (!gives || !top.words___05Fready) return false;
        beats.pop_front();
        ++taken;
        return true;
    }

    uint64_t taken = 0;
    bool damaged = false;

private:
    using Payload = std::remove_reference_t<decltype(std::declval<Top&>().words___05Fpayload)>;
    static constexpr uint64_t kBeatBytes = sizeof(Payload);

    void put(uint64_t beat) {
        constexpr size_t each = kBeatBytes / 4;
        if ((beat + 1) * each > words.size()) fail("external memory ends before what is read");
        std::memcpy(&top.words___05Fpayload, &words[beat * each], kBeatBytes);
    }

    Top& top;
    const Options& options;
    const std::vector<uint32_t> words;
    std::deque<std::pair<uint64_t, uint64_t>> requests;  // the next word's address, words left
    std::deque<std::pair<uint64_t, uint64_t>> beats;     // the cycle in which it is there, address
    uint64_t credit = 0;
    bool asks = false, gives = false;
};

// A machine whose weights are loaded.
struct NoMemory {
    template <typename... Given> explicit NoMemory(Given&&...) {}
    void offer(uint64_t) {}
    bool take() { return false; }
    uint64_t taken = 0;
    bool damaged = false;
};

// The kind of memory that a machine has: known by its port, before the other is looked at.
template <typename Top, typename = void> struct MemoryOf {
    using Type = NoMemory;
};
template <typename Top>
struct MemoryOf<Top, std::void_t<decltype(std::declval<Top&>().words___05Fpayload)>> {
    using Type = Memory<Top>;
};

}  // namespace

int main(int argc, char** argv) {
    const Options options = parse(argc, argv);
    const std::vector<uint32_t> input = read_words(options.input);
    std::vector<uint32_t> output;
    output.reserve(options.expected + 16);

    const auto context = std::make_unique<VerilatedContext>();
    context->traceEverOn(!options.waves.empty());
    const auto top = std::make_unique<Vsparnn>(context.get());
    uint64_t marked = 0;
    size_t taken = 0;
#ifdef SPARNN_WAVES
    VerilatedVcdC trace;
    if (!options.waves.empty()) {
        top->trace(&trace, 99);
        trace.open(options.waves.c_str());
    }
    const auto dump = [&](uint64_t cycle, bool high) {
        if (!options.waves.empty() && taken >= options.mark && cycle - marked < kWaveCycles)
            trace.dump(2 * cycle + high);
    };
#else
    if (!options.waves.empty()) fail("this driver was built without waves");
    const auto dump = [](uint64_t, bool) {};
#endif

    std::mt19937_64 random(options.seed);
    const auto happens = [&](unsigned percent) { return percent && random() % 100 < percent; };
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    auto reported = start;

    MemoryOf<Vsparnn>::Type memory(*top, options);
    uint64_t cycle = 0, moved = 0, finished = 0;
    bool offering = false;
    const char* given_up = nullptr;
    for (;; ++cycle) {
        const bool quiet = cycle < kQuietCycles;
        // An offer stands until it is taken.
        if (!offering) offering = !quiet && taken < input.size() && !happens(options.idle);
        const bool ready = !quiet && !happens(options.stall);
        top->rst = cycle < kResetCycles;
        top->rx___05Fvalid = offering;
        if (offering) offer(top->rx___05Fpayload, &input[taken]);
        top->tx___05Fready = ready;
        memory.offer(cycle);
        top->clk = 0;
        top->eval();
        dump(cycle, false);
        if (!quiet && memory.take()) moved = cycle;
        if (offering && top->rx___05Fready) {
            offering = false;
            moved = cycle;
            taken += link_words(top->rx___05Fpayload);
            if (taken == options.mark) marked = cycle;
        }
        if (ready && top->tx___05Fvalid) {
            output.push_back(top->tx___05Fpayload);
            moved = cycle;
        }
        top->clk = 1;
        top->eval();
        dump(cycle, true);

        if (taken == input.size() && output.size() >= options.expected) {
            if (finished == 0) finished = cycle;
            if (cycle - finished >= kSurplusCycles) break;
        } else if (memory.damaged) {
            given_up = "the weights from external memory do not match their check";
            break;
        } else if (cycle - moved > options.watchdog) {
            given_up = "no word was transferred for too many cycles";
            break;
        } else if (cycle >= options.limit) {
            given_up = "the cycle limit was reached";
            break;
        }
        if ((cycle & kClockCheckMask) == 0) {
            const auto now = Clock::now();
            if (now - reported >= std::chrono::milliseconds(500)) {
                reported = now;
                std::fprintf(stderr, "progress %zu %zu %llu\n", taken, output.size(),
                             static_cast<unsigned long long>(cycle));
            }
        }
    }
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    top->final();
#if VM_COVERAGE
    if (!options.coverage.empty()) context->coveragep()->write(options.coverage);
#else
    if (!options.coverage.empty()) fail("this driver was built without coverage");
#endif
#ifdef SPARNN_WAVES
    if (!options.waves.empty()) trace.close();
#endif
    write_words(options.output, output);
    if (given_up)
        std::fprintf(stderr, "error: %s; cycle %llu, %zu of %zu words taken, %zu of %llu given\n",
                     given_up, static_cast<unsigned long long>(cycle), taken, input.size(),
                     output.size(), static_cast<unsigned long long>(options.expected));
    // Who reads standard error to its end would not take a long report meanwhile.
    std::fclose(stderr);
    std::string counted;
    for (const auto& [number, count] : counts)
        counted += (counted.empty() ? "\"" : ", \"") + std::to_string(number) + "\": "
                   + std::to_string(count);
    std::printf("{\"cycles\": %llu, \"seconds\": %.6f, \"marked\": %llu, \"taken\": %zu, "
                "\"given\": %zu, \"beats\": %llu, \"counts\": {%s}}\n",
                static_cast<unsigned long long>(cycle), seconds,
                static_cast<unsigned long long>(marked), taken, output.size(),
                static_cast<unsigned long long>(memory.taken), counted.c_str());
    return given_up ? 3 : 0;
}
