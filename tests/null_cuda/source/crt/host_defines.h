// In place of CUDA's header of this name, which is not among those that torch's wheels bring along: the marks of its compiler, for g++.
#pragma once
#define __device_builtin__
#define __device_builtin_texture_type__
#define __device_builtin_surface_type__
#define __cudart_builtin__
#define CUDARTAPI
#define CUDAAPI
#define CUDART_CB
#define __host__
#define __device__
#define __global__
#define __builtin_align__(n) __attribute__((aligned(n)))
#define __align__(n) __attribute__((aligned(n)))
#define CUDA_HOST_DEVICE
