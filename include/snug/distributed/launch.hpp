// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#ifdef _OPENMP
#include <omp.h>
#include <snug/target.hpp>
#endif

namespace snug::SNUG_TARGET::distributed {

/// Why this launch cannot be meant: a launcher says in the environment that it has started several processes, and MPI sees
/// one. Empty if nothing says so. The environment is asked for nothing else.
inline std::string wrong_launch(int size) {
    if (size != 1) return {};
    auto const started = [](char const* variable) {
        char const* const text = std::getenv(variable);
        return text ? std::atoi(text) : 0;
    };
    auto const words = [](int count, std::string const& by, std::string const& variable) {
        return "one process, but " + by + " has started " + std::to_string(count) + " (" + variable + ")";
    };
    // Inside srun; in an allocation alone SLURM_NTASKS says nothing of this process.
    if (auto const n = started("SLURM_NTASKS"); n > 1 && std::getenv("SLURM_STEP_ID"))
        return words(n, "srun", "SLURM_NTASKS") +
               ": this Slurm and this MPI have no PMI in common; use srun --mpi=pmix where it has that, else "
               "salloc and mpirun";
    for (auto const* variable : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"})
        if (auto const n = started(variable); n > 1)
            return words(n, "the mpirun of another MPI", variable) +
                   ": use the mpirun of the MPI that this program is linked with";
    if (auto const n = started("WORLD_SIZE"); n > 1)
        return words(n, "torchrun or its like", "WORLD_SIZE") + ": start it with mpirun -n " +
               std::to_string(n);
    return {};
}

/// How many threads a process should run when `here` processes of a world share its machine: its part of the processors, of those that
/// it is bound to, and no more than OMP_NUM_THREADS (then the processors are not dealt out: whoever sets it has done so).
inline int usable_threads(int here) {
    auto const processors = std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN));
    auto bound = processors;
    cpu_set_t set;
    if (::sched_getaffinity(0, sizeof set, &set) == 0) bound = std::max(1, CPU_COUNT(&set));
    auto threads = bound;
    char const* const given = std::getenv("OMP_NUM_THREADS");
    if (!given || !*given) threads = std::min(bound, std::max(1L, processors / std::max(1, here)));
#ifdef _OPENMP
    return static_cast<int>(std::min<long>(threads, omp_get_max_threads()));
#else
    return static_cast<int>(threads);
#endif
}

}  // namespace snug::SNUG_TARGET::distributed
