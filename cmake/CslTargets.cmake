# csl_library(name SOURCES ... PUBLIC libs... PRIVATE libs...)
# One target a folder. Sources see the project root as include path; the layering is kept by
# the include guard check in tests (tests/layers) and by what each target links.
function(csl_flags target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow -Wstrict-prototypes -Wvla -Wpointer-arith)
  target_compile_definitions(${target} PRIVATE _GNU_SOURCE CSL_VERSION="${PROJECT_VERSION}")
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}")
  if(CSL_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(CSL_MEMCHECK)
    target_compile_definitions(${target} PRIVATE CSL_MEMCHECK)
  endif()
  if(CSL_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${CSL_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
    target_link_options(${target} PRIVATE -fsanitize=${CSL_SANITIZE})
  endif()
  if(CSL_FUZZ)
    target_compile_options(${target} PRIVATE -fsanitize=fuzzer-no-link)
  endif()
endfunction()

# Object libraries: linked together into the program, the tests and libconsilium.
function(csl_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  csl_flags(${name})
  target_link_libraries(${name} PUBLIC ${ARG_LIBS})
endfunction()

# What `make ct` builds: cmake --build build/ct --target ct_tests
add_custom_target(ct_tests)

# csl_test(name SOURCES ... LIBS ... [LABELS ...] [COST s]): a cmocka test, one ctest entry. COST: about how many
# seconds it takes; tests that run beside each other are begun with the longest. Labels:
#   data    needs the MNIST files, or skips
#   models  needs the MNIST files and the trained models, or skips
#   keras   needs HDF5 and libzip, or skips
#   anvil   needs a development chain from npm, or skips
#   npm     makes committed vectors or bytecode anew with npm's packages, or skips
#   slow    takes minutes with a sanitizer
#   ct      runs under valgrind in the ct preset: no branch, index or message may depend on a secret
function(csl_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT;COST" "SOURCES;LIBS;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  if(NOT ARG_COST)
    set(ARG_COST 1)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  csl_flags(${name})
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} PkgConfig::CMOCKA)
  set(runner "")
  if(CSL_MEMCHECK AND "ct" IN_LIST ARG_LABELS)
    set(runner ${CSL_VALGRIND})
    add_dependencies(ct_tests ${name})
  endif()
  add_test(NAME ${name} COMMAND ${runner} $<TARGET_FILE:${name}> WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
  if(runner)
    set_tests_properties(${name} PROPERTIES ENVIRONMENT "CONSILIUM_CPU=portable")
  endif()
  # Exit code 77 is a skip with its reason on stdout.
  set_tests_properties(${name} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT ${ARG_TIMEOUT} COST ${ARG_COST}
    LABELS "${ARG_LABELS}")
endfunction()

# Memcheck reads CSL_SECRET and CSL_PUBLIC; it knows no AVX-512, hence CONSILIUM_CPU=portable above.
set(CSL_VALGRIND valgrind --quiet --error-exitcode=99 --fair-sched=yes
  "--suppressions=${CMAKE_CURRENT_LIST_DIR}/../tests/ct.supp")

# All fuzz targets: cmake --build build/fuzz --target fuzzers
add_custom_target(fuzzers)

# csl_fuzz(name SOURCE file LIBS ... CORPUS dir [RUNS n]): with CSL_FUZZ a libFuzzer binary, whose test gives it the
# corpus and RUNS inputs made of it, the same each time; otherwise a test that replays the corpus folder through the
# same LLVMFuzzerTestOneInput. tests/fuzz/run also fuzzes for as long as one likes.
function(csl_fuzz name)
  cmake_parse_arguments(ARG "" "SOURCE;CORPUS;RUNS" "LIBS" ${ARGN})
  if(NOT ARG_RUNS)
    set(ARG_RUNS 30000)
  endif()
  if(CSL_FUZZ)
    add_executable(${name} ${ARG_SOURCE} "${PROJECT_SOURCE_DIR}/tests/fuzz/seeds.c")
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    target_link_libraries(${name} PRIVATE PkgConfig::JANSSON)
    add_test(NAME ${name} COMMAND "${PROJECT_SOURCE_DIR}/tests/fuzz/run" $<TARGET_FILE:${name}> "${ARG_CORPUS}"
      --runs ${ARG_RUNS})
  else()
    add_executable(${name} ${ARG_SOURCE} "${PROJECT_SOURCE_DIR}/tests/fuzz/replay_main.c")
    add_test(NAME ${name} COMMAND ${name} "${ARG_CORPUS}")
  endif()
  csl_flags(${name})
  add_dependencies(fuzzers ${name})
  target_link_libraries(${name} PRIVATE ${ARG_LIBS})
  set_tests_properties(${name} PROPERTIES LABELS fuzz TIMEOUT 300)
endfunction()
