# SPDX-License-Identifier: Apache-2.0
# cmake -DCOMPILER=g++ -DCASE=file.cpp -DINCLUDES=dir;dir [-DPRECOMPILED=dir] [-DWITHOUT_TWIN=ON] -P check.cmake
#
# The case must be refused with -DREFUSED, in words that match every `// expected-error: <regex>` line (CMake's
# regular expressions), the first of them within the first 20 lines; without -DREFUSED, which is its twin, it must compile.
# Matched is what the compiler says: not the source it quotes, nor the names of files.
cmake_minimum_required(VERSION 3.25)

set(ENV{LC_ALL} C)  # GCC's quotes in ASCII

function(fail what)
    get_filename_component(name "${CASE}" NAME)
    message(NOTICE "${name}: ${what}")  # FATAL_ERROR alone would wrap the compiler's lines
    message(FATAL_ERROR "compile-fail check of ${name}")
endfunction()

include("${CMAKE_CURRENT_LIST_DIR}/command.cmake")
file(STRINGS "${CASE}" includes REGEX "^#include ")
list(APPEND includes "none")
list(GET includes 0 first_include)
set(lines 20)
if(PRECOMPILED AND first_include STREQUAL "#include <snug/plan.hpp>")
    list(APPEND command ${precompiled_use})
    if(compiler_name MATCHES "g\\+\\+" AND NOT compiler_name MATCHES "clang")
        set(lines 19)  # GCC does not say then which file of the user included the header
    endif()
endif()
list(APPEND command ${INCLUDES} "${CASE}")
if(NOT compiler_name MATCHES "nvcc")
    list(APPEND command -fsyntax-only)
endif()

file(STRINGS "${CASE}" expected REGEX "^// expected-error: *[^ ]")
if(NOT expected)
    fail("no `// expected-error:` line")
endif()

if(NOT WITHOUT_TWIN)
    execute_process(COMMAND ${command} RESULT_VARIABLE twin_failed OUTPUT_VARIABLE output ERROR_VARIABLE output)
    if(twin_failed)
        fail("the twin (without -DREFUSED) does not compile:\n${output}")
    endif()
endif()

execute_process(COMMAND ${command} -DREFUSED RESULT_VARIABLE refused OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(NOT refused)
    fail("compiles with -DREFUSED; it must be refused")
endif()

function(strip_quotes text result)
    string(REGEX REPLACE "\n *[0-9]* \\|[^\n]*" "" text "\n${text}")             # GCC's quoted source
    string(REGEX REPLACE "\n[^\n]*\n[ ~]*\\^[ ~]*\n" "\n" text "${text}\n")      # Clang's and nvcc's
    string(REGEX REPLACE "[^ \n]*\\.[chi]pp" "" text "${text}")
    string(REGEX REPLACE "::(x86_v[1-4][A-Za-z]*|any)::" "::" text "${text}")      # GCC's and nvcc's SNUG_TARGET; Clang leaves it out
    set(${result} "${text}" PARENT_SCOPE)
endfunction()

set(rest "${output}")
set(top "")
foreach(line RANGE 1 ${lines})
    string(FIND "${rest}" "\n" end)
    if(end EQUAL -1)
        break()
    endif()
    math(EXPR end "${end} + 1")
    string(SUBSTRING "${rest}" 0 ${end} head)
    string(SUBSTRING "${rest}" ${end} -1 rest)
    string(APPEND top "${head}")
endforeach()
strip_quotes("${top}" searched)
strip_quotes("${output}" whole)

set(where "the first 20 lines")
foreach(line IN LISTS expected)
    string(REGEX REPLACE "^// expected-error: *" "" words "${line}")
    if(NOT searched MATCHES "${words}")
        fail("refused, but ${where} do not say: ${words}\n${top}")
    endif()
    set(where "the compiler's words")
    set(searched "${whole}")
endforeach()
message(NOTICE "${top}")
