# SPDX-License-Identifier: Apache-2.0
# cmake -DWAY=... -P package.cmake: builds and runs the project in outside/, with snug found in this way.
cmake_minimum_required(VERSION 3.25)

function(run)
    execute_process(COMMAND ${ARGV} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

file(REMOVE_RECURSE "${WORK}")
set(options "-DWAY=${WAY}" "-DSNUG_THRUST=${THRUST}" "-DSNUG_VERSION=${SNUG_VERSION}" "-DSNUG_SOURCE=${SNUG_SOURCE}")
if(WAY STREQUAL "find_package_without_catch2")
    # A plain configure of snug, where the tests cannot be built, and an install.
    run(${CMAKE_COMMAND} -S "${SNUG_SOURCE}" -B "${WORK}/plain" -G "${GENERATOR}" "-DCMAKE_CXX_COMPILER=${COMPILER}"
        "-DSNUG_THRUST=${THRUST}" -DSNUG_CUDA=OFF -DCMAKE_DISABLE_FIND_PACKAGE_Catch2=ON)
    set(SNUG_BINARY "${WORK}/plain")
    set(WAY find_package_plan)
    list(APPEND options -DWAY=find_package_plan)
endif()
if(WAY MATCHES "^find_package")
    run(${CMAKE_COMMAND} --install "${SNUG_BINARY}" --prefix "${WORK}/prefix")
    list(APPEND options "-DCMAKE_PREFIX_PATH=${WORK}/prefix")
endif()

if(NOT WAY STREQUAL "find_package_plan")
    list(APPEND options "-DCUDA_COMPILER=${CUDA_COMPILER}")
endif()
run(${CMAKE_COMMAND} -S "${CMAKE_CURRENT_LIST_DIR}/outside" -B "${WORK}/build" -G "${GENERATOR}"
    "-DCMAKE_CXX_COMPILER=${COMPILER}" ${options})
run(${CMAKE_COMMAND} --build "${WORK}/build")
file(GLOB programs "${WORK}/build/uses_*")
foreach(program IN LISTS programs)
    run("${program}")
endforeach()
