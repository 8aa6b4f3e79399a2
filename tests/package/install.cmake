# SPDX-License-Identifier: Apache-2.0
# cmake -DWORK=... -P install.cmake: configures snug without Catch2, installs it, and looks for what was installed.
cmake_minimum_required(VERSION 3.25)

file(REMOVE_RECURSE "${WORK}")
execute_process(
    COMMAND ${CMAKE_COMMAND} -S "${SNUG_SOURCE}" -B "${WORK}/build" -G "${GENERATOR}" "-DCMAKE_CXX_COMPILER=${COMPILER}"
            -DCMAKE_DISABLE_FIND_PACKAGE_Catch2=ON -DSNUG_CUDA=OFF
    OUTPUT_VARIABLE said COMMAND_ERROR_IS_FATAL ANY)
if(NOT said MATCHES "Left out: the tests, for want of Catch2")
    message(FATAL_ERROR "nothing was said of the tests that are left out:\n${said}")
endif()
execute_process(COMMAND ${CMAKE_COMMAND} --install "${WORK}/build" --prefix "${WORK}/prefix" COMMAND_ERROR_IS_FATAL ANY)
foreach(file IN ITEMS include/snug/snug.hpp share/cmake/snug/snug-config.cmake)
    if(NOT EXISTS "${WORK}/prefix/${file}")
        message(FATAL_ERROR "${file} was not installed")
    endif()
endforeach()
