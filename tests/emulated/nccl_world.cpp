// SPDX-License-Identifier: Apache-2.0
// The world of NCCL itself, between ranks that are threads and have an emulated device each.
#include <nccl.h>

#include <catch2/catch.hpp>
#include <distributed/exchange.hpp>
#include <numeric>
#include <snug/backend/cuda/copy.cuh>
#include <snug/backend/cuda/memory.cuh>
#include <snug/distributed/nccl.cuh>
#include <snug/distributed/self.hpp>
#include <snug/distributed/threads.hpp>

namespace cuda = snug::backend::cuda;
namespace dist = snug::distributed;
using dist::threads;
using snug_test::content, snug_test::failed, snug_test::require, snug_test::said;
using world_type = dist::nccl_beside<threads>;

static_assert(dist::transport<world_type>);
static_assert(snug::moves_device_memory<dist::nccl> && snug::moves_device_memory<world_type> &&
              !snug::moves_device_memory<dist::mpi>);

namespace {

using kind = emulation::nccl_fault::kind;

/// So many devices as long as this lives.
struct devices {
    explicit devices(int count) { emulation::device().count = count; }
    ~devices() { emulation::device().count = 1; }
};

/// Bytes of a device, all bits set at first.
struct device_bytes {
    device_bytes(snug::cuda where, std::size_t size) : on(where), count(size) {
        cuda::check(cudaMalloc(reinterpret_cast<void**>(&first), std::max<std::size_t>(size, 1)),
                    "cudaMalloc");
        cuda::check(cudaMemsetAsync(first, 0xFF, size, cuda::stream(on)), "cudaMemsetAsync");
    }
    device_bytes(device_bytes const&) = delete;
    ~device_bytes() { (void)cudaFree(first); }
    std::span<std::byte> all() const { return {first, count}; }
    void write(std::size_t at, std::vector<std::byte> const& bytes) const {
        if (!bytes.empty()) cuda::copy_in_on(on, first + at, bytes.data(), bytes.size());
    }
    std::vector<std::byte> read() const {
        std::vector<std::byte> result(count);
        if (count > 0) cuda::copy_out_on(on, result.data(), first, count);
        return result;
    }

    snug::cuda on;
    std::size_t count;
    std::byte* first = nullptr;
};

/// The words in which `f()` is refused, whatever is written to stderr meanwhile.
template <class F>
std::string failed_quietly(F const& f) {
    std::string words;
    (void)said([&] { words = failed(f); });
    return words;
}

std::vector<std::byte> message(int from, int to, int n, std::size_t size) {
    std::vector<std::byte> result(size);
    for (std::size_t i = 0; i < size; ++i) result[i] = content(from, to, n, i);
    return result;
}

/// f(world, on) on ranks with a device each, and a deadline from when they have met.
template <class F>
void run(int ranks, F const& f, double deadline = 60) {
    devices const here(ranks);
    threads::run(ranks, [&](threads& of) {
        world_type world(of);
        world.deadline = dist::seconds(deadline);
        auto const context = cuda::make_context();
        f(world, context.on());
    });
}

/// Everybody sends everybody `size` bytes: written by the device just before, read just after.
void exchange(world_type& world, snug::cuda on, std::size_t size, int n, int turns = 1) {
    int const me = world.rank(), ranks = world.size();
    auto const count = static_cast<std::size_t>(ranks);
    device_bytes const out(on, count * size), in(on, count * size);
    world_type::device_transfer transfer(world, 2 * (ranks - 1));
    world.doing = {7, "exchange", "blocks", 3};
    for (int turn = 0; turn < turns; ++turn) {
        for (int d = 1; d < ranks; ++d) {
            int const to = (me + d) % ranks, from = (me + ranks - d) % ranks;
            auto const at = [&](int rank) { return static_cast<std::size_t>(rank) * size; };
            out.write(at(to), message(me, to, n + turn, size));
            world.receive(transfer, from, in.all().subspan(at(from), size));
            world.send(transfer, to, out.all().subspan(at(to), size));
        }
        world.depart(transfer, on);
        if (turn % 2 == 0) world.wait(transfer);
        else
            while (!world.is_done(transfer)) std::this_thread::yield();
        auto const found = in.read();
        for (int from = 0; from < ranks; ++from)
            if (from != me)
                require(std::equal(found.begin() +
                                       static_cast<std::ptrdiff_t>(static_cast<std::size_t>(from) * size),
                                   found.begin() +
                                       static_cast<std::ptrdiff_t>(static_cast<std::size_t>(from + 1) * size),
                                   message(from, me, n + turn, size).begin()),
                        "what arrives is what was sent");
    }
}

void gather(world_type& world, snug::cuda on, dist::group ranks, std::size_t part) {
    int const own = ranks.find(world.rank());
    if (own < 0) return;
    device_bytes const all(on, part * static_cast<std::size_t>(ranks.count));
    all.write(static_cast<std::size_t>(own) * part, message(world.rank(), 0, 5, part));
    world_type::device_transfer transfer(world, 2 * ranks.count);
    world.all_gather(transfer, ranks, all.all());
    world.depart(transfer, on);
    world.wait(transfer);
    std::vector<std::byte> expected;
    for (int r = 0; r < ranks.count; ++r) {
        auto const theirs = message(ranks[r], 0, 5, part);
        expected.insert(expected.end(), theirs.begin(), theirs.end());
    }
    require(all.read() == expected, "every part is where its rank stands");
}

void promises(world_type& world, snug::cuda on) {
    int n = 0;
    for (std::size_t const size : {0u, 1u, 255u, 4096u, 100003u}) exchange(world, on, size, ++n, 3);
    int const ranks = world.size(), me = world.rank();
    for (std::size_t const part : {0u, 1u, 4096u, 100003u}) {
        gather(world, on, dist::everybody(world), part);
        gather(world, on, {me % 2, (ranks - me % 2 + 1) / 2, 2}, part);
        gather(world, on, {0, ranks - ranks / 2, 1}, part);
    }
}

}  // namespace

TEST_CASE("bytes of devices arrive as they were sent, whenever devices get to their work") {
    for (int const ranks : {1, 2, 3, 4}) {
        run(ranks, promises);
        emulation::device().deferred = true;
        run(ranks, promises);
        emulation::device().copies_early = true;
        run(ranks, promises);
        emulation::device().copies_early = emulation::device().deferred = false;
    }
}

TEST_CASE("what is of the program's memory goes over the world beside it") {
    auto const before = emulation::counted_of_nccl().groups;
    run(3, [](world_type& world, snug::cuda) {
        snug_test::exchanges(world);
        snug_test::keeps_order(world);
        snug_test::gathers(world);
        snug_test::agrees(world);
    });
    CHECK(emulation::counted_of_nccl().groups == before);
}

TEST_CASE("all ranks gather by one call of NCCL's, and what departs together is one group") {
    auto const before = emulation::counted_of_nccl();
    run(4, [](world_type& world, snug::cuda on) { gather(world, on, dist::everybody(world), 256); });
    auto const gathered = emulation::counted_of_nccl();
    CHECK(gathered.gathers == before.gathers + 4);
    CHECK(gathered.groups == before.groups + 4);
    CHECK(gathered.sends == before.sends);
    run(4, [](world_type& world, snug::cuda on) { exchange(world, on, 256, 1); });
    auto const exchanged = emulation::counted_of_nccl();
    CHECK(exchanged.sends == gathered.sends + 4 * 3);
    CHECK(exchanged.receives == gathered.receives + 4 * 3);
    CHECK(exchanged.groups == gathered.groups + 4);
}

TEST_CASE("every rank has a device of its own, or all are refused") {
    devices const two(2);
    std::array<std::string, 3> words;
    threads::run(3, [&](threads& of) {
        words[static_cast<std::size_t>(of.rank())] = failed([&] { world_type world(of); });
    });
    for (auto const& its : words)
        CHECK(its ==
              "rank 2: found the device of rank 0, expected one for each rank, as NCCL wants it; "
              "over<distributed::mpi> takes one for several");
    devices const none(0);
    threads::run(3, [&](threads& of) {
        words[static_cast<std::size_t>(of.rank())] = failed([&] { world_type world(of); });
    });
    for (auto const& its : words)
        CHECK_THAT(its, Catch::Contains("rank 0") && Catch::Contains("no CUDA device"));
}

TEST_CASE("what is not a device's, or has not departed, is refused") {
    CHECK_THAT(failed_quietly([] {
                   run(2, [](world_type& world, snug::cuda on) {
                       std::vector<std::byte> bytes(8);
                       world_type::device_transfer transfer(world, 1);
                       if (world.is_root()) world.send(transfer, 1, bytes);
                       else world.receive(transfer, 0, bytes);
                       world.depart(transfer, on);
                       world.wait(transfer);
                   });
               }),
               Catch::Contains("invalid argument from nccl"));
    CHECK_THAT(failed_quietly([] {
                   run(2, [](world_type& world, snug::cuda on) {
                       device_bytes const bytes(on, 8);
                       world_type::device_transfer transfer(world, 1);
                       world.send(transfer, 1 - world.rank(), bytes.all());
                       world.wait(transfer);
                   });
               }),
               Catch::Contains("not departed"));
    run(2, [](world_type& world, snug::cuda on) {
        device_bytes const bytes(on, 8);
        world_type::device_transfer transfer(world, 1);
        require(failed([&] { world.send(transfer, world.rank(), bytes.all()); }).find("another rank") !=
                    std::string::npos,
                "nobody sends to itself");
    });
}

TEST_CASE(
    "an error of NCCL's, or a message that does not come, ends all ranks with a line that names the place") {
    for (auto const what : {kind::is_refused, kind::fails_later, kind::is_lost})
        for (int call = 0; call < 12; ++call) {
            bool const is_lost = what == kind::is_lost;
            if (is_lost && call % 4 != 0) continue;  // each takes a deadline
            INFO("fault " << static_cast<int>(what) << " in call " << call);
            emulation::fault_of_nccl() = {what, 1, call};
            std::string words;
            auto const line = said([&] {
                words = failed([&] {
                    run(
                        3,
                        [](world_type& world, snug::cuda on) {
                            for (int turn = 0; turn < 2; ++turn) {
                                exchange(world, on, 5000, turn);
                                world.doing = {7, "gather of weights", "embedding"};
                                gather(world, on, dist::everybody(world), 300);
                            }
                        },
                        is_lost ? 2 : 60);
                });
            });
            emulation::fault_of_nccl() = {};
            if (call >= 10) {  // two turns of four messages and a gathering
                CHECK(words == "");
                CHECK(line == "");
                continue;
            }
            auto const is_exchange = call % 5 != 4;
            auto const place = is_exchange ? ", step 7, exchange of blocks.3: "
                                           : ", step 7, gather of weights of embedding: ";
            if (is_lost) {
                CHECK_THAT(line, Catch::Matches(
                                     "(.|\n)*snug: rank [012]" + std::string(place) +
                                     "nothing from one of the ranks [012], [012] for 2.[0-9] s\n(.|\n)*"));
                CHECK_THAT(words, Catch::Contains("nothing from one of the ranks"));
            } else {
                auto const error = what == kind::fails_later ? "unhandled system error from "
                                   : is_exchange             ? "internal error from nccl"
                                                             : "internal error from ncclAllGather";
                CHECK_THAT(line, Catch::Contains("snug: rank 1" + std::string(place) + error));
                CHECK_THAT(words, Catch::Contains("rank 1: found " + std::string(error)));
            }
        }
}

TEST_CASE("a rank that leaves by an exception ends the waiting of the others, whose words are its own") {
    CHECK(failed_quietly([] {
              run(
                  2,
                  [](world_type& world, snug::cuda on) {
                      device_bytes const bytes(on, 64);
                      world_type::device_transfer transfer(world, 1);
                      world.receive(transfer, 1 - world.rank(), bytes.all());
                      world.depart(transfer, on);
                      if (!world.is_root()) throw std::runtime_error("something else");
                      world.wait(transfer);
                  },
                  30);
          }) == "something else");
}

TEST_CASE("one rank alone has nothing to move") {
    devices const here(1);
    dist::self alone;
    dist::nccl_beside<dist::self> world(alone);
    auto const context = cuda::make_context();
    device_bytes const bytes(context.on(), 100);
    bytes.write(0, message(0, 0, 1, 100));
    dist::nccl_beside<dist::self>::device_transfer transfer(world, 0);
    world.all_gather(transfer, dist::everybody(world), bytes.all());
    world.depart(transfer, context.on());
    world.wait(transfer);
    CHECK(bytes.read() == message(0, 0, 1, 100));
}
