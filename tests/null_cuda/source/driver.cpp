// libcuda.so.1 of the null device: torch and Triton look for a driver by this name.
#include <cstring>

#define EXPORTED extern "C" __attribute__((visibility("default")))
EXPORTED int cuInit(unsigned) { return 0; }
EXPORTED int cuDriverGetVersion(int* version) { *version = 13000; return 0; }
EXPORTED int cuDeviceGetCount(int* count) { *count = 1; return 0; }
EXPORTED int cuDeviceGet(int* device, int index) { *device = index; return 0; }
EXPORTED int cuDeviceGetAttribute(int* value, int, int) { *value = 1; return 0; }
EXPORTED int cuDevicePrimaryCtxGetState(int, unsigned* flags, int* active) { if (flags) *flags = 0; *active = 1; return 0; }
EXPORTED int cuDevicePrimaryCtxRetain(void** context, int) { *context = (void*)0x10; return 0; }
EXPORTED int cuCtxGetCurrent(void** context) { *context = (void*)0x10; return 0; }
EXPORTED int cuCtxSetCurrent(void*) { return 0; }
EXPORTED int cuCtxGetDevice(int* device) { *device = 0; return 0; }
EXPORTED int cuCtxGetLimit(...) { return 0; }
EXPORTED int cuCtxSetLimit(...) { return 0; }
EXPORTED int cuFuncSetCacheConfig(...) { return 0; }
EXPORTED int cuGetErrorString(int, const char** text) { *text = "error of the null device"; return 0; }
EXPORTED int cuModuleLoadData(void** module, const void*) { *module = (void*)0x20; return 0; }
EXPORTED int cuModuleUnload(void*) { return 0; }
EXPORTED int cuModuleGetFunction(void** function, void*, const char*) { *function = (void*)0x30; return 0; }
EXPORTED int cuLaunchKernel(...) { return 0; }
EXPORTED int cuFuncSetAttribute(...) { return 0; }
EXPORTED int cuFuncGetAttribute(int* value, ...) { *value = 0; return 0; }
EXPORTED int cuOccupancyMaxActiveBlocksPerMultiprocessor(int* count, ...) { *count = 2; return 0; }
EXPORTED int cuPointerGetAttribute(void*, int, unsigned long long) { return 1; }
EXPORTED int cuGetProcAddress(const char*, void** function, int, unsigned long long) { *function = nullptr; return 500; }
EXPORTED int cuGetProcAddress_v2(const char*, void** function, int, unsigned long long, int* result) {
    *function = nullptr;
    if (result) *result = 1;
    return 500;
}
