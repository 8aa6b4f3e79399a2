# SPDX-License-Identifier: Apache-2.0
# Defines snug::pcre2, the library of regular expressions that the tokenizer cuts texts with, where there is one.
# Used by this build and by the installed package.

if(NOT TARGET snug::pcre2)
    find_path(SNUG_PCRE2_INCLUDE pcre2.h)
    find_library(SNUG_PCRE2 pcre2-8)
    mark_as_advanced(SNUG_PCRE2_INCLUDE SNUG_PCRE2)
    if(SNUG_PCRE2_INCLUDE AND SNUG_PCRE2)
        add_library(snug::pcre2 INTERFACE IMPORTED GLOBAL)
        target_include_directories(snug::pcre2 SYSTEM INTERFACE "${SNUG_PCRE2_INCLUDE}")
        target_link_libraries(snug::pcre2 INTERFACE "${SNUG_PCRE2}")
    else()
        message(STATUS "No snug::tokenizer, for want of PCRE2 (libpcre2-dev)")
    endif()
endif()
