# SPDX-License-Identifier: Apache-2.0
# Defines snug::nccl, for targets that include <snug/distributed/nccl.cuh>, where snug::cuda is and an NCCL is found. Used by this
# build and by the installed package.

if(NOT TARGET snug::nccl)
    # Beside the toolkit, or where SNUG_NCCL_ROOT says.
    set(snug_nccl_near HINTS ${SNUG_NCCL_ROOT} ENV NCCL_HOME ${CUDAToolkit_TARGET_DIR} ${CUDAToolkit_LIBRARY_ROOT} /usr/local/cuda)
    find_path(SNUG_NCCL_INCLUDE_DIR nccl.h ${snug_nccl_near} PATH_SUFFIXES include)
    find_library(SNUG_NCCL_LIBRARY nccl ${snug_nccl_near} PATH_SUFFIXES lib lib64)
    mark_as_advanced(SNUG_NCCL_INCLUDE_DIR SNUG_NCCL_LIBRARY)
    if(TARGET snug::cuda AND SNUG_NCCL_INCLUDE_DIR AND SNUG_NCCL_LIBRARY)
        add_library(snug::nccl INTERFACE IMPORTED GLOBAL)
        target_link_libraries(snug::nccl INTERFACE snug::cuda "${SNUG_NCCL_LIBRARY}")
        target_include_directories(snug::nccl SYSTEM INTERFACE "${SNUG_NCCL_INCLUDE_DIR}")
    elseif(TARGET snug::cuda)
        message(STATUS "No snug::nccl, for want of NCCL (libnccl-dev)")
    else()
        message(STATUS "No snug::nccl, for want of a CUDA toolkit")
    endif()
endif()
