// SPDX-License-Identifier: Apache-2.0
// Stands before MPI's own MPI_Isend in a program that is linked with it, and counts what this process sends.
#include <distributed/count_mpi.hpp>
#include <snug/distributed/mpi.hpp>

namespace snug_test {

sent_counts& sent() {
    static sent_counts counts;
    return counts;
}

}  // namespace snug_test

extern "C" int MPI_Isend(void const* bytes, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm,
                         MPI_Request* request) {
    int size = 0;
    PMPI_Type_size(type, &size);
    ++snug_test::sent().messages;
    snug_test::sent().bytes += std::int64_t{count} * size;
    return PMPI_Isend(bytes, count, type, to, tag, comm, request);
}
