// What the parts of the null device share: its description, from the environment, and its counters.
//
//   NULL_CUDA_CAPABILITY  8.0          compute capability
//   NULL_CUDA_GB          80           memory of a device
//   NULL_CUDA_DEVICES     1            number of devices
//   NULL_CUDA_WORKSPACE   0            bytes of workspace that every cuDNN plan asks for
//   NULL_CUDA_DRIVER      same as torch's CUDA; an older one (such as 12.2) makes the device unusable, as an old driver does
#pragma once
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>

#define EXPORTED extern "C" __attribute__((visibility("default")))

struct Counters {
    std::mutex lock;
    std::map<std::string, uint64_t> calls;           // kernels of libraries, copies, synchronizations, allocations: by kind
    std::map<const void*, uint64_t> launches;        // kernels of torch: by the address of their host function
    std::map<const void*, std::string> kernel_names;  // which they were registered with
    void add(const char* kind, uint64_t count = 1) {
        std::lock_guard<std::mutex> guard(lock);
        calls[kind] += count;
    }
};

inline Counters& counters() {
    static auto* instance = new Counters;  // never destroyed: libraries call in while the process ends
    return *instance;
}

inline const char* setting(const char* name, const char* otherwise) {
    const char* value = getenv(name);
    return value && *value ? value : otherwise;
}

inline void capability(int& major, int& minor) {
    major = 8, minor = 0;
    sscanf(setting("NULL_CUDA_CAPABILITY", "8.0"), "%d.%d", &major, &minor);
}
