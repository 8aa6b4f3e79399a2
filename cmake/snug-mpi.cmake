# SPDX-License-Identifier: Apache-2.0
# Defines snug::mpi, for targets that include <snug/distributed/mpi.hpp>, where an MPI is found. Used by this build and by the installed package.

if(NOT TARGET snug::mpi)
    # Of the languages that a user's project may not have, C++ is the one that it has; the calls are C's.
    set(MPI_CXX_SKIP_MPICXX TRUE)
    find_package(MPI QUIET COMPONENTS CXX GLOBAL)
    if(MPI_CXX_FOUND)
        add_library(snug::mpi INTERFACE IMPORTED GLOBAL)
        target_link_libraries(snug::mpi INTERFACE snug::snug MPI::MPI_CXX)
    else()
        message(STATUS "No snug::mpi, for want of MPI (libopenmpi-dev)")
    endif()
endif()
