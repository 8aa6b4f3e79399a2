# SPDX-License-Identifier: Apache-2.0
# Defines snug::cuda, for targets with a .cu file that includes <snug/snug.cuh>, where a CUDA toolkit with cuBLASLt is found. Used
# by this build and by the installed package. A project that uses it enables the language CUDA itself.

find_package(CUDAToolkit 12 QUIET)
if(NOT TARGET snug::cuda AND CUDAToolkit_FOUND AND CUDA_cublasLt_LIBRARY)
    add_library(snug::cuda INTERFACE IMPORTED GLOBAL)
    # The CUDA runtime is linked by whoever links CUDA (CMAKE_CUDA_RUNTIME_LIBRARY says which one). Files and folders, as
    # CUDAToolkit's own targets are known in this folder alone.
    target_link_libraries(snug::cuda INTERFACE snug::snug "${CUDA_cublasLt_LIBRARY}")
    target_include_directories(snug::cuda SYSTEM INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${CUDAToolkit_INCLUDE_DIRS}>")
    # Kernels call constexpr functions of the headers. -std: CMake 3.25 does not know that nvcc 13 has C++20. The host's half is
    # compiled as every host program is (snug::snug says why), and has pragmas that nvcc's front end takes and GCC does not know.
    set(snug_host_half ${OpenMP_CXX_FLAGS} -ffp-contract=fast -fno-math-errno -fno-delete-null-pointer-checks -Wno-unknown-pragmas)
    list(JOIN snug_host_half "," snug_host_half)
    set(snug_nvcc -std=c++20 --expt-relaxed-constexpr "SHELL:-Xcompiler ${snug_host_half}")
    target_compile_options(snug::cuda INTERFACE "$<$<COMPILE_LANG_AND_ID:CUDA,NVIDIA>:${snug_nvcc}>")
endif()
