# Cross-compilation for arm64 on Debian: the distribution's compiler, its arm64 libraries beside the machine's own
# (tools/deps.sh --arm64), and qemu-user to run what is built.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64)
set(ENV{PKG_CONFIG_LIBDIR} /usr/lib/aarch64-linux-gnu/pkgconfig:/usr/share/pkgconfig)
# FLINT's development packages of two architectures exclude each other, so the machine's own headers serve, and what is
# linked is the library itself.
file(GLOB flint /usr/lib/aarch64-linux-gnu/libflint.so.[0-9]*)
file(GLOB arb /usr/lib/aarch64-linux-gnu/libflint-arb.so.[0-9]*)
if(flint)
  list(GET flint 0 flint)
  set(FLINT_LIBRARY ${flint} CACHE FILEPATH "FLINT for arm64")
endif()
if(arb)
  list(GET arb 0 arb)
  set(FLINT_ARB_LIBRARY ${arb} CACHE FILEPATH "Arb, of FLINT 2, for arm64")
endif()
