# SPDX-License-Identifier: Apache-2.0
# Defines snug::utf8proc, the library that puts a text into Unicode's normal forms for the tokenizer, where there is one.
# Used by this build and by the installed package.

if(NOT TARGET snug::utf8proc)
    find_path(SNUG_UTF8PROC_INCLUDE utf8proc.h)
    find_library(SNUG_UTF8PROC utf8proc)
    mark_as_advanced(SNUG_UTF8PROC_INCLUDE SNUG_UTF8PROC)
    if(SNUG_UTF8PROC_INCLUDE AND SNUG_UTF8PROC)
        add_library(snug::utf8proc INTERFACE IMPORTED GLOBAL)
        target_include_directories(snug::utf8proc SYSTEM INTERFACE "${SNUG_UTF8PROC_INCLUDE}")
        target_link_libraries(snug::utf8proc INTERFACE "${SNUG_UTF8PROC}")
        # The headers refer to it weakly; a linker that leaves out what is not needed would leave it out.
        target_link_options(snug::utf8proc INTERFACE "LINKER:--undefined=utf8proc_version")
    else()
        message(STATUS "No snug::tokenizer, for want of utf8proc (libutf8proc-dev)")
    endif()
endif()
