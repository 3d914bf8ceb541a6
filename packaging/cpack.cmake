# The Debian package: ./do package, or cpack -G DEB --config build/release/CPackConfig.cmake.
#
# What it puts where: the program in /usr/bin, its unit, how that starts in /etc/default/blixard and
# how it runs in /etc/blixard/blixard.toml (which users edit: conffiles), its completions, and the
# guest image builder with a ready init program in /usr/lib/blixard/guest. postinst says what happens
# at install.
if(NOT TARGET blixard)
  return()
endif()

set(package_dir ${CMAKE_SOURCE_DIR}/packaging)
set(made ${CMAKE_BINARY_DIR}/package-files)
file(MAKE_DIRECTORY ${made}/guest)

# The program writes its own completions, so that they cannot fall behind its commands.
set(completions)
foreach(shell bash zsh fish)
  set(write "$<TARGET_FILE:blixard> completion ${shell}")
  if(shell STREQUAL zsh)
    # The first line by which zsh knows what the file completes.
    set(write "echo '#compdef blixard' && ${write}")
  endif()
  add_custom_command(
    OUTPUT ${made}/completion.${shell}
    COMMAND sh -c "{ ${write}; } > '${made}/completion.${shell}'"
    DEPENDS blixard
    VERBATIM)
  list(APPEND completions ${made}/completion.${shell})
endforeach()

# Every key with its default, from the table by which the program reads it.
add_custom_command(
  OUTPUT ${made}/blixard.toml
  COMMAND sh -c "'$<TARGET_FILE:blixard>' config example > '${made}/blixard.toml'"
  DEPENDS blixard
  VERBATIM)

# With this init ready, building a guest image on a user's machine needs no compiler.
file(GLOB guest_files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tools/guest/*.py
     ${CMAKE_SOURCE_DIR}/tools/guest/init/*)
list(FILTER guest_files EXCLUDE REGEX "_test\\.py$")
add_custom_command(
  OUTPUT ${made}/guest/init
  COMMAND ${CMAKE_COMMAND} -E env PYTHONDONTWRITEBYTECODE=1 python3 -c
          "import pathlib, build; build.compile_init(pathlib.Path('${made}/guest'))"
  WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}/tools/guest
  DEPENDS ${guest_files}
  VERBATIM)

set(package_files ${completions} ${made}/blixard.toml ${made}/guest/init)
find_program(SCDOC scdoc)
if(SCDOC)
  add_custom_command(
    OUTPUT ${made}/blixard.1
    COMMAND sh -c "'${SCDOC}' < '${package_dir}/blixard.1.scd' > '${made}/blixard.1'"
    DEPENDS ${package_dir}/blixard.1.scd
    VERBATIM)
  list(APPEND package_files ${made}/blixard.1)
  install(FILES ${made}/blixard.1 DESTINATION share/man/man1)
endif()
add_custom_target(package_files DEPENDS ${package_files})

set(doc_dir share/doc/blixard)
install(FILES ${package_dir}/blixard.service DESTINATION lib/systemd/system)
# It may hold a token.
install(FILES ${package_dir}/blixard.default RENAME blixard DESTINATION /etc/default
        PERMISSIONS OWNER_READ OWNER_WRITE)
install(FILES ${made}/blixard.toml DESTINATION /etc/blixard PERMISSIONS OWNER_READ OWNER_WRITE)
install(FILES ${made}/completion.bash RENAME blixard
        DESTINATION share/bash-completion/completions)
install(FILES ${made}/completion.zsh RENAME _blixard DESTINATION share/zsh/vendor-completions)
install(FILES ${made}/completion.fish RENAME blixard.fish
        DESTINATION share/fish/vendor_completions.d)
install(DIRECTORY ${package_dir}/observability DESTINATION ${doc_dir})
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE RENAME copyright DESTINATION ${doc_dir})
install(DIRECTORY ${CMAKE_SOURCE_DIR}/tools/guest/ DESTINATION lib/blixard/guest
        FILES_MATCHING PATTERN "*.py"
        PATTERN "*_test.py" EXCLUDE PATTERN "machine.py" EXCLUDE
        PATTERN "init" EXCLUDE PATTERN "__pycache__" EXCLUDE)
install(PROGRAMS ${made}/guest/init RENAME init.elf DESTINATION lib/blixard/guest)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME blixard)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "The Blixard authors <blixard@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGE_DESCRIPTION
    "Blixard runs microVMs from one program: a replicated state, placement that says why, QEMU
microVMs that live on when the daemon dies, an HTTP API and a command line. The service listens
on the loopback only until it is told otherwise.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "adduser, init-system-helpers (>= 1.54), qemu-system-x86")
# For building guest images here.
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "kmod, lz4, python3 (>= 3.11), xz-utils, zstd")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "qemu-utils")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
    ${package_dir}/conffiles ${package_dir}/postinst ${package_dir}/prerm ${package_dir}/postrm)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)
