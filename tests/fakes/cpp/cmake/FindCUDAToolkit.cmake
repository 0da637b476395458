# Stands for CMake's own module where a test builds runtime/cpp without CUDA.
add_library(CUDA::cudart INTERFACE IMPORTED)
target_include_directories(CUDA::cudart INTERFACE ${CMAKE_CURRENT_LIST_DIR}/..)
set(CUDAToolkit_FOUND TRUE)
