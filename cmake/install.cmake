# SPDX-License-Identifier: Apache-2.0
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

option(SNUG_INSTALL "Install snug with the project that contains it" ${PROJECT_IS_TOP_LEVEL})
if(NOT SNUG_INSTALL)
    return()
endif()

set(snug_package_dir "${CMAKE_INSTALL_DATADIR}/cmake/snug")
configure_package_config_file(
    "${CMAKE_CURRENT_LIST_DIR}/snug-config.cmake.in" "${PROJECT_BINARY_DIR}/snug-config.cmake"
    INSTALL_DESTINATION "${snug_package_dir}")
write_basic_package_version_file(
    "${PROJECT_BINARY_DIR}/snug-config-version.cmake" COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)

install(TARGETS snug_snug snug_plan snug_tokenizer EXPORT snug-targets)
install(EXPORT snug-targets NAMESPACE snug:: DESTINATION "${snug_package_dir}")
install(FILES "${PROJECT_BINARY_DIR}/snug-config.cmake" "${PROJECT_BINARY_DIR}/snug-config-version.cmake"
              "${CMAKE_CURRENT_LIST_DIR}/snug-thrust.cmake" "${CMAKE_CURRENT_LIST_DIR}/snug-pcre2.cmake"
              "${CMAKE_CURRENT_LIST_DIR}/snug-utf8proc.cmake" "${CMAKE_CURRENT_LIST_DIR}/snug-cuda.cmake"
              "${CMAKE_CURRENT_LIST_DIR}/snug-mpi.cmake" "${CMAKE_CURRENT_LIST_DIR}/snug-nccl.cmake"
        DESTINATION "${snug_package_dir}")
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/snug" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
        FILES_MATCHING PATTERN "*.hpp" PATTERN "*.cuh")
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DOCDIR}")
