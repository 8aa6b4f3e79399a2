# SPDX-License-Identifier: Apache-2.0
# cmake -DCOMPILER=g++ -DINCLUDES=dir;dir -DPRECOMPILED=dir -P precompile.cmake
cmake_minimum_required(VERSION 3.25)
include("${CMAKE_CURRENT_LIST_DIR}/command.cmake")
get_filename_component(folder "${precompiled_file}" DIRECTORY)
file(MAKE_DIRECTORY "${folder}")
execute_process(
    COMMAND ${command} ${INCLUDES} -x c++-header "${CMAKE_CURRENT_LIST_DIR}/../../include/snug/plan.hpp" -o
            "${precompiled_file}" COMMAND_ERROR_IS_FATAL ANY)
