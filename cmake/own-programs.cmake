# SPDX-License-Identifier: Apache-2.0
# What snug's own tests, examples and benchmarks share; nothing here reaches a project that uses snug.

set(CMAKE_CXX_EXTENSIONS OFF)

find_program(SNUG_CCACHE ccache)
mark_as_advanced(SNUG_CCACHE)
if(SNUG_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
    set(CMAKE_CXX_COMPILER_LAUNCHER "${SNUG_CCACHE}")
endif()

add_library(snug_warnings INTERFACE)
target_compile_options(
    snug_warnings INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wconversion;-Wshadow;-Wpedantic>"
    # Pragmas that are GCC's, comparisons that are pointless for some template arguments, conversions that derived classes have,
    # template parameters of lambdas that are given explicitly.
    "$<$<COMPILE_LANG_AND_ID:CUDA,NVIDIA>:-diag-suppress=1675,186,554,445>")

# CUDA where it is wanted and can be had: SNUG_HAS_CUDA says so; SNUG_HAS_DEVICE, that a GPU is here.
set(SNUG_HAS_CUDA FALSE)
set(SNUG_HAS_DEVICE FALSE)
if(NOT SNUG_CUDA STREQUAL "OFF")
    find_program(SNUG_NVCC NAMES nvcc HINTS ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
    mark_as_advanced(SNUG_NVCC)
    if(SNUG_NVCC AND NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
        set(CMAKE_CUDA_COMPILER "${SNUG_NVCC}")
    endif()
    execute_process(
        COMMAND nvidia-smi --query-gpu=compute_cap --format=csv,noheader --id=0
        OUTPUT_VARIABLE capability ERROR_QUIET RESULT_VARIABLE ignored)
    if(capability MATCHES "^ *([0-9]+)\\.([0-9])")
        set(SNUG_HAS_DEVICE TRUE)
        set(device_architecture ${CMAKE_MATCH_1}${CMAKE_MATCH_2})
    endif()
    if(NOT CMAKE_CUDA_ARCHITECTURES)
        # The device that is here, or Hopper.
        set(CMAKE_CUDA_ARCHITECTURES 90)
        if(SNUG_HAS_DEVICE)
            set(CMAKE_CUDA_ARCHITECTURES ${device_architecture})
        endif()
    endif()
    if(SNUG_CCACHE AND NOT CMAKE_CUDA_COMPILER_LAUNCHER)
        set(CMAKE_CUDA_COMPILER_LAUNCHER "${SNUG_CCACHE}")
    endif()
    if(SNUG_CUDA STREQUAL "auto")
        include(CheckLanguage)
        check_language(CUDA)
    endif()
    if(CMAKE_CUDA_COMPILER OR SNUG_CUDA STREQUAL "ON")
        enable_language(CUDA)
        if(TARGET snug::cuda)
            set(SNUG_HAS_CUDA TRUE)
        elseif(SNUG_CUDA STREQUAL "ON")
            message(FATAL_ERROR "SNUG_CUDA is ON, but no CUDA toolkit 12 or later with cuBLASLt was found")
        endif()
    endif()
endif()

find_package(CLI11 CONFIG QUIET)
find_library(SNUG_DNNL dnnl)
mark_as_advanced(SNUG_DNNL)

# snug_find_libraries(result target source base): sets <result> to <base> and the libraries that a source file includes. Where one
# is not installed it is empty, and a word says that the target is left out.
function(snug_find_libraries result target source base)
    set(found ${base})
    set(missing "")
    file(STRINGS "${source}" includes REGEX "^ *# *include *<")
    if(includes MATCHES "<CLI/")
        list(APPEND found CLI11::CLI11)
        if(NOT CLI11_FOUND)
            set(missing "CLI11 (libcli11-dev)")
        endif()
    endif()
    if(includes MATCHES "<(oneapi/dnnl/)?dnnl")
        list(APPEND found "${SNUG_DNNL}")
        if(NOT SNUG_DNNL)
            set(missing "oneDNN (libdnnl-dev)")
        endif()
    endif()
    if(includes MATCHES "<snug/(io|data)/(tokenizer|chat|examples|packed_batches)")
        list(APPEND found snug::tokenizer)
        if(NOT TARGET snug::pcre2 OR NOT TARGET snug::utf8proc)
            set(missing "PCRE2 or utf8proc (libpcre2-dev, libutf8proc-dev)")
        endif()
    endif()
    if(includes MATCHES "<snug/distributed/mpi")
        list(APPEND found snug::mpi)
        if(NOT TARGET snug::mpi)
            set(missing "MPI (libopenmpi-dev)")
        endif()
    endif()
    if(includes MATCHES "<snug/distributed/nccl")
        list(APPEND found snug::nccl)
        if(NOT TARGET snug::nccl)
            set(missing "NCCL (libnccl-dev)")
        endif()
    endif()
    if(missing)
        message(STATUS "Left out: ${target}, for want of ${missing}")
        set(found "")
    endif()
    set(${result} ${found} PARENT_SCOPE)
endfunction()

# snug_add_program(target source): one source file, one executable, linked with snug and with what it includes.
# Where a library that it includes is not installed, the program is left out, with a word about it.
function(snug_add_program target source)
    snug_find_libraries(libraries ${target} "${source}" snug::snug)
    if(NOT libraries)
        return()
    endif()
    add_executable(${target} "${source}")
    target_link_libraries(${target} PRIVATE ${libraries} snug_warnings)
    if(SNUG_NATIVE)
        target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:-march=native>")
    endif()
endfunction()

# snug_add_programs(folder prefix targets [left_out]): every .cpp under the folder by snug_add_program, named after its place:
# matmul/square.cpp -> <prefix>matmul.square; but not what the regular expression <left_out> matches. Sets <targets> to those
# that are built.
function(snug_add_programs folder prefix targets)
    file(GLOB_RECURSE sources RELATIVE "${folder}" CONFIGURE_DEPENDS "${folder}/*.cpp")
    set(built "")
    foreach(source IN LISTS sources)
        string(REGEX REPLACE "\\.cpp$" "" target "${prefix}${source}")
        string(REPLACE "/" "." target "${target}")
        if(ARGC GREATER 3 AND target MATCHES "${ARGV3}")
            continue()
        endif()
        snug_add_program(${target} "${folder}/${source}")
        if(TARGET ${target})
            list(APPEND built ${target})
        endif()
    endforeach()
    set(${targets} "${built}" PARENT_SCOPE)
endfunction()

# snug_add_cuda_program(target source [more...]): the same for the GPU, and more object files.
function(snug_add_cuda_program target source)
    snug_find_libraries(libraries ${target} "${source}" snug::cuda)
    if(NOT libraries)
        return()
    endif()
    add_executable(${target} "${source}" ${ARGN})
    target_link_libraries(${target} PRIVATE ${libraries} snug_warnings)
    # Where CUDA links, the toolkit's folder of libraries counts as one that the loader knows, which it need not.
    cmake_path(GET CUDA_cublasLt_LIBRARY PARENT_PATH folder)
    set_target_properties(${target} PROPERTIES BUILD_RPATH "${folder}")
    # Lines of the source in the findings of compute-sanitizer and in profiles.
    target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:-lineinfo>")
    if(SNUG_NATIVE)
        target_compile_options(
            ${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:-march=native>"
                              "$<$<COMPILE_LANGUAGE:CUDA>:SHELL:-Xcompiler -march=native>")
    endif()
endfunction()
