# SPDX-License-Identifier: Apache-2.0
# Defines snug::thrust, the include path of Thrust. Used by this build and by the installed package.

set(SNUG_THRUST auto CACHE STRING "Thrust to use: auto (Debian's, else a CUDA toolkit's), debian, cuda")
set_property(CACHE SNUG_THRUST PROPERTY STRINGS auto debian cuda)

if(NOT TARGET snug::thrust)
    if(NOT SNUG_THRUST MATCHES "^(auto|debian|cuda)$")
        message(FATAL_ERROR "SNUG_THRUST is '${SNUG_THRUST}'; it may be auto, debian or cuda")
    endif()

    unset(snug_thrust_include)
    if(NOT SNUG_THRUST STREQUAL "cuda" AND EXISTS /usr/include/thrust/version.h)
        set(snug_thrust_include /usr/include)
    elseif(NOT SNUG_THRUST STREQUAL "debian")
        # A toolkit keeps it in include/cccl since CUDA 13, in include before.
        find_path(
            snug_thrust_include thrust/version.h
            HINTS ${CUDAToolkit_ROOT} ENV CUDAToolkit_ROOT ENV CUDA_PATH ENV CUDA_HOME
            PATHS /usr/local/cuda
            PATH_SUFFIXES include/cccl include
            NO_DEFAULT_PATH NO_CACHE)
    endif()
    if(NOT snug_thrust_include)
        message(
            FATAL_ERROR
                "Thrust was not found (SNUG_THRUST=${SNUG_THRUST}). Install Debian's libthrust-dev, "
                "or name a CUDA toolkit: -DCUDAToolkit_ROOT=/usr/local/cuda")
    endif()
    message(STATUS "Found Thrust: ${snug_thrust_include} (SNUG_THRUST=${SNUG_THRUST})")

    add_library(snug::thrust INTERFACE IMPORTED GLOBAL)
    target_include_directories(snug::thrust SYSTEM INTERFACE ${snug_thrust_include})
    # Thrust's default device system is CUDA, whose headers a host compiler would read in vain.
    target_compile_definitions(
        snug::thrust INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:THRUST_DEVICE_SYSTEM=THRUST_DEVICE_SYSTEM_OMP>")
endif()
