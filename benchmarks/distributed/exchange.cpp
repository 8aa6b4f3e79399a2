// SPDX-License-Identifier: Apache-2.0
/// What additions in the order of ranks cost: pairwise messages and snug's own additions, in pieces as a step sends them,
/// against the sums of the MPI library. Arrays of fp32; the first column is the size of all of it on each rank.
///
///   mpirun -n 2 benchmark.distributed.exchange [rounds]
///
/// Beside `MPI_Reduce_scatter_block`, of which each rank gets its share of the sums, and `MPI_Allreduce`, of which each gets all:
/// there the shares are gathered too.

#include <functional>
#include <snug/distributed/mpi.hpp>
#include <snug/kernels/fold.hpp>
#include <snug/ops/for_each_row.hpp>

#include "ranks.hpp"

namespace {

using namespace snug;

/// As engine/reduce.hpp does it: while one piece is added the next travels.
class ordered_sums {
  public:
    ordered_sums(distributed::mpi& world, index_t share)
        : world_(world),
          share_(share),
          piece_(std::min(share, (index_t{32} << 20) / world.size() / 4 / 256 * 256)),
          arrivals_(static_cast<std::size_t>(2 * piece_ * (world.size() - 1))),
          transfers_{distributed::mpi::transfer(world, 2 * (world.size() - 1)),
                     distributed::mpi::transfer(world, 2 * (world.size() - 1))} {}

    /// This rank's share becomes that of the sum.
    void reduce(float* all) {
        int const rank = world_.rank(), ranks = world_.size();
        auto const pieces = (share_ + piece_ - 1) / piece_;
        begin(all, 0);
        for (index_t piece = 0; piece < pieces; ++piece) {
            if (piece + 1 < pieces) begin(all, piece + 1);
            world_.wait(transfers_[static_cast<std::size_t>(piece % 2)]);
            auto* const own = all + rank * share_ + piece * piece_;
            auto const count = std::min(piece_, share_ - piece * piece_);
            constexpr index_t length = 4096;
            ops::for_each_row<length>(host{}, (count + length - 1) / length,
                                      ops::bound<kernels::fold_ranks<float, false, length>>(
                                          count, ranks, rank, static_cast<float const*>(own),
                                          static_cast<float const*>(arrivals_of(piece)), piece_, own));
        }
    }

    void gather(float* all) {
        auto& transfer = transfers_[0];
        distributed::all_gather(
            world_, transfer,
            std::as_writable_bytes(
                std::span(all, static_cast<std::size_t>(share_) * static_cast<std::size_t>(world_.size()))));
        world_.wait(transfer);
    }

  private:
    float* arrivals_of(index_t piece) { return arrivals_.data() + piece % 2 * piece_ * (world_.size() - 1); }

    void begin(float* all, index_t piece) {
        int const rank = world_.rank(), ranks = world_.size();
        auto& transfer = transfers_[static_cast<std::size_t>(piece % 2)];
        auto const first = piece * piece_;
        auto const count = static_cast<std::size_t>(std::min(piece_, share_ - first));
        for (int d = 1; d < ranks; ++d) {
            int const from = (rank + ranks - d) % ranks, to = (rank + d) % ranks;
            auto* const arrives = arrivals_of(piece) + (from < rank ? from : from - 1) * piece_;
            world_.receive(transfer, from, std::as_writable_bytes(std::span(arrives, count)));
            world_.send(transfer, to, std::as_bytes(std::span(all + to * share_ + first, count)));
        }
    }

    distributed::mpi& world_;
    index_t share_, piece_;
    std::vector<float> arrivals_;
    std::array<distributed::mpi::transfer, 2> transfers_;
};

void compare(distributed::mpi& world, index_t size, int rounds) {
    auto const count = size / 4, share = count / world.size();
    // Zeros, which stay zeros however often they are added up.
    std::vector<float> all(static_cast<std::size_t>(count)), sums(all);
    ordered_sums ours(world, share);
    distributed::mpi::transfer transfer(world, 2 * (world.size() - 1));
    // Short ones many times.
    int const times = static_cast<int>(std::clamp<index_t>((index_t{4} << 20) / size, 1, 256));
    auto const timed = [&](auto const& act) {
        auto const repeated = [act, times] {
            for (int i = 0; i < times; ++i) act();
        };
        repeated();
        return std::function<double()>(
            [&world, &transfer, repeated] { return measure::seconds_of_all(world, transfer, repeated); });
    };
    auto const of_shares = timed([&] { ours.reduce(all.data()); });
    auto const of_all = timed([&] { ours.reduce(all.data()), ours.gather(all.data()); });
    auto const mpi_of_shares = timed([&] {
        MPI_Reduce_scatter_block(all.data(), sums.data(), static_cast<int>(share), MPI_FLOAT, MPI_SUM,
                                 MPI_COMM_WORLD);
    });
    auto const mpi_of_all = timed([&] {
        MPI_Allreduce(all.data(), sums.data(), static_cast<int>(count), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
    });
    auto const shares = measure::by_turns(rounds, of_shares, mpi_of_shares);
    auto const whole = measure::by_turns(rounds, of_all, mpi_of_all);
    if (!world.is_root()) return;
    bool const counts = size >= index_t{1} << 20;
    auto const milliseconds = [&](double seconds) { return 1e3 * seconds / times; };
    std::printf("%8lld KiB  %9.3f ms %9.3f ms  %5.2f %-6s   %9.3f ms %9.3f ms  %5.2f %-6s\n",
                static_cast<long long>(size >> 10), milliseconds(shares.first_seconds),
                milliseconds(shares.second_seconds), shares.median,
                counts ? measure::verdict(shares.median <= 1) : "", milliseconds(whole.first_seconds),
                milliseconds(whole.second_seconds), whole.median,
                counts ? measure::verdict(whole.median <= 1) : "");
    std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
    distributed::mpi world;
    int const rounds = measure::count_argument(argc, argv, 15);
    if (world.is_root()) {
        measure::print_machine();
        std::printf("%d ranks; bar 1.00 from 1024 KiB on\n%12s  %s\n", world.size(), "size",
                    "exchange and additions / MPI_Reduce_scatter_block     and gather / MPI_Allreduce");
    }
    for (index_t size = index_t{1} << 10; size <= index_t{64} << 20; size *= 4) compare(world, size, rounds);
}
