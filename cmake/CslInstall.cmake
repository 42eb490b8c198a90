# libconsilium (static and shared), its headers, consilium.pc and the program.
#
# Headers keep the paths that the sources use: #include "mpc/session.h" with -I<prefix>/include/consilium.
# Not installed: *_internal.h, kernel templates (*_tile.h) and what includes generated protobuf code.
include(GNUInstallDirs)
include(CheckLinkerFlag)

if(TARGET consilium)
  install(TARGETS consilium RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
endif()

if(CSL_SANITIZE OR CSL_FUZZ OR CSL_MEMCHECK)
  return() # an instrumented library is not for others
endif()

set(CSL_LAYER_TARGETS csl_crypto csl_mpc csl_nn csl_onnx csl_keras csl_address csl_net csl_audit csl_cas csl_chain csl_proto
  csl_roles)
if(CSL_HAVE_HTTP)
  list(APPEND CSL_LAYER_TARGETS csl_http)
endif()
set(objects "")
foreach(layer IN LISTS CSL_LAYER_TARGETS)
  list(APPEND objects "$<TARGET_OBJECTS:${layer}>")
endforeach()

add_library(consilium_static STATIC ${objects})
add_library(consilium_shared SHARED ${objects})
foreach(lib consilium_static consilium_shared)
  set_target_properties(${lib} PROPERTIES OUTPUT_NAME consilium LINKER_LANGUAGE C)
  add_dependencies(${lib} ${CSL_LAYER_TARGETS})
endforeach()
set_target_properties(consilium_shared PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})
target_link_libraries(consilium_shared PRIVATE
  PkgConfig::OPENSSL_SSL PkgConfig::OPENSSL_CRYPTO PkgConfig::UV PkgConfig::PROTOBUF_C
  PkgConfig::CYAML PkgConfig::YAML PkgConfig::ZLIB PkgConfig::PNG PkgConfig::JANSSON Threads::Threads m)
if(CSL_HAVE_KERAS)
  target_link_libraries(consilium_shared PRIVATE PkgConfig::HDF5 PkgConfig::LIBZIP)
endif()
if(CSL_HAVE_HTTP)
  target_link_libraries(consilium_shared PRIVATE PkgConfig::CURL)
endif()
if(CSL_HAVE_CHAIN)
  target_link_libraries(consilium_shared PRIVATE PkgConfig::SECP256K1)
endif()

# The shared library exports csl_*, and neither csl__* nor the generated protobuf code.
set(script "${CMAKE_CURRENT_LIST_DIR}/consilium.map")
check_linker_flag(C "-Wl,--version-script=${script}" CSL_HAVE_VERSION_SCRIPT)
if(CSL_HAVE_VERSION_SCRIPT)
  target_link_options(consilium_shared PRIVATE "-Wl,--version-script=${script}" "-Wl,--no-undefined" "-Wl,--as-needed")
  set_target_properties(consilium_shared PROPERTIES LINK_DEPENDS "${script}")
endif()

install(TARGETS consilium_static consilium_shared
  ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}"
  LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")

# Sets ${out} to TRUE when the header, or one that it includes, needs what is not installed.
function(csl_header_is_private out header)
  set(${out} FALSE PARENT_SCOPE)
  if(header MATCHES "(_internal|_tile|\\.pb-c)\\.h$")
    set(${out} TRUE PARENT_SCOPE)
    return()
  endif()
  file(STRINGS "${PROJECT_SOURCE_DIR}/${header}" lines REGEX "^#include \"")
  foreach(line IN LISTS lines)
    string(REGEX REPLACE "^#include \"([^\"]+)\".*" "\\1" next "${line}")
    csl_header_is_private(hidden "${next}")
    if(hidden)
      set(${out} TRUE PARENT_SCOPE)
      return()
    endif()
  endforeach()
endfunction()

file(GLOB headers CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}"
  crypto/*.h mpc/*.h nn/*.h nn/onnx/*.h nn/keras/*.h net/*.h net/http/*.h audit/*.h cas/*.h chain/*.h
  roles/*.h roles/*/*.h)
foreach(header IN LISTS headers)
  csl_header_is_private(hidden "${header}")
  if(NOT hidden)
    get_filename_component(folder "${header}" DIRECTORY)
    install(FILES "${PROJECT_SOURCE_DIR}/${header}" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/consilium/${folder}")
  endif()
endforeach()

# The prefix follows the file, so that `cmake --install --prefix` and DESTDIR need no rewriting.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}" OR IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
  message(FATAL_ERROR "CMAKE_INSTALL_LIBDIR and CMAKE_INSTALL_INCLUDEDIR must be relative to the prefix")
endif()
file(RELATIVE_PATH up "/x/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/x")
string(REGEX REPLACE "/$" "" up "${up}")
set(CSL_PC_PREFIX "\${pcfiledir}/${up}")
set(CSL_PC_REQUIRES "libssl >= 3.0, libcrypto >= 3.0, libuv >= 1.42, libprotobuf-c >= 1.4, libcyaml, yaml-0.1, zlib, libpng, jansson")
if(CSL_HAVE_KERAS)
  string(APPEND CSL_PC_REQUIRES ", ${HDF5_MODULE_NAME}, libzip")
endif()
# Not as a module: with --static that would name a dozen libraries of a static libcurl.
set(CSL_PC_LIBS "")
if(CSL_HAVE_HTTP)
  string(APPEND CSL_PC_LIBS "-lcurl ")
endif()
if(CSL_HAVE_CHAIN)
  string(APPEND CSL_PC_REQUIRES ", libsecp256k1")
endif()
configure_file("${CMAKE_CURRENT_LIST_DIR}/consilium.pc.in" "${PROJECT_BINARY_DIR}/consilium.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/consilium.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
