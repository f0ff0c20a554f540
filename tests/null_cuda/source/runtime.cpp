// A CUDA runtime with a device that computes nothing: memory and copies are real, kernels are counted and not run.
// Loaded in front of libcudart, it lets torch's own host code run to the end: dispatch, choice of kernels, allocation, capture of graphs.
#include "device.h"

#include <cstring>
#include <driver_types.h>
#include <set>
#include <sys/mman.h>
#include <unordered_map>

#ifndef NULL_CUDA_VERSION
#define NULL_CUDA_VERSION 13000
#endif

typedef cudaError_t Error;

// ---------------------------------------------------------------------------------------------------- the device

static int device_count() { return atoi(setting("NULL_CUDA_DEVICES", "1")); }
static thread_local int current_device = 0;

static int driver_version() {
    int major = NULL_CUDA_VERSION / 1000, minor = NULL_CUDA_VERSION % 1000 / 10;
    sscanf(setting("NULL_CUDA_DRIVER", ""), "%d.%d", &major, &minor);
    return major * 1000 + minor * 10;
}

static bool driver_is_too_old() { return driver_version() / 1000 < NULL_CUDA_VERSION / 1000; }

EXPORTED Error cudaGetDeviceCount(int* count) {
    *count = driver_is_too_old() ? 0 : device_count();
    return driver_is_too_old() ? cudaErrorInsufficientDriver : cudaSuccess;
}
EXPORTED Error cudaGetDevice(int* device) { *device = current_device; return cudaSuccess; }
EXPORTED Error cudaSetDevice(int device) { current_device = device; return cudaSuccess; }
EXPORTED Error cudaDriverGetVersion(int* version) { *version = driver_version(); return cudaSuccess; }
EXPORTED Error cudaRuntimeGetVersion(int* version) { *version = NULL_CUDA_VERSION; return cudaSuccess; }

static size_t device_bytes() {
    static size_t bytes = (size_t)(atof(setting("NULL_CUDA_GB", "80")) * (1ull << 30));
    return bytes;
}

static void shared_memory(int major, int minor, size_t& of_processor, size_t& of_block) {
    // From NVIDIA's table of compute capabilities: kernels with more than a block may have are not chosen.
    of_processor = (major == 7 && minor == 0) ? 98304 : major == 7 ? 65536 : (major == 8 && minor == 0) ? 167936 : major == 8 ? 102400
                   : major == 12                ? 102400 : 233472;
    of_block = (major == 7) ? of_processor : of_processor - 1024;
}

EXPORTED Error cudaGetDeviceProperties(cudaDeviceProp* p, int) {
    memset(p, 0, sizeof *p);
    int major, minor;
    capability(major, minor);
    size_t of_processor, of_block;
    shared_memory(major, minor, of_processor, of_block);
    snprintf(p->name, sizeof p->name, "null device sm_%d%d", major, minor);
    p->major = major, p->minor = minor, p->totalGlobalMem = device_bytes();
    p->multiProcessorCount = major == 7 ? 80 : (major == 8 && minor == 0) ? 108 : major == 8 ? 128 : major == 9 ? 132 : 148;
    p->sharedMemPerBlock = 49152, p->sharedMemPerMultiprocessor = of_processor, p->sharedMemPerBlockOptin = of_block;
    p->regsPerBlock = p->regsPerMultiprocessor = 65536, p->warpSize = 32, p->l2CacheSize = 40 << 20, p->totalConstMem = 65536;
    p->maxThreadsPerBlock = 1024, p->maxThreadsPerMultiProcessor = (major == 8 && minor > 0) || major == 12 ? 1536 : 2048;
    p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024, p->maxThreadsDim[2] = 64;
    p->maxGridSize[0] = 2147483647, p->maxGridSize[1] = p->maxGridSize[2] = 65535, p->maxBlocksPerMultiProcessor = 32;
    p->canMapHostMemory = p->concurrentKernels = p->unifiedAddressing = p->streamPrioritiesSupported = p->cooperativeLaunch = 1;
    p->memoryPoolsSupported = p->managedMemory = p->concurrentManagedAccess = 1, p->asyncEngineCount = 3;
    p->clusterLaunch = major >= 9, p->textureAlignment = 512;
    return cudaSuccess;
}

EXPORTED Error cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
    cudaDeviceProp p;
    cudaGetDeviceProperties(&p, device);
    switch (attribute) {
        case cudaDevAttrComputeCapabilityMajor: *value = p.major; break;
        case cudaDevAttrComputeCapabilityMinor: *value = p.minor; break;
        case cudaDevAttrMultiProcessorCount: *value = p.multiProcessorCount; break;
        case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = (int)p.sharedMemPerBlockOptin; break;
        case cudaDevAttrMaxSharedMemoryPerBlock: *value = (int)p.sharedMemPerBlock; break;
        case cudaDevAttrMaxGridDimX: *value = p.maxGridSize[0]; break;
        case cudaDevAttrMaxGridDimY: *value = p.maxGridSize[1]; break;
        case cudaDevAttrMaxThreadsPerBlock: *value = p.maxThreadsPerBlock; break;
        case cudaDevAttrWarpSize: *value = p.warpSize; break;
        default: *value = 1;
    }
    return cudaSuccess;
}
EXPORTED Error cudaDeviceGetPCIBusId(char* text, int length, int device) { snprintf(text, length, "0000:%02x:00.0", device); return cudaSuccess; }
EXPORTED Error cudaDeviceGetStreamPriorityRange(int* least, int* most) {
    if (least) *least = 0;
    if (most) *most = -5;
    return cudaSuccess;
}
EXPORTED Error cudaDeviceCanAccessPeer(int* value, int, int) { *value = 0; return cudaSuccess; }

// ---------------------------------------------------------------------------------------------------- errors

static thread_local Error last_error = cudaSuccess;
static Error fail(Error error) { return last_error = error; }
EXPORTED Error cudaGetLastError() { Error error = last_error; last_error = cudaSuccess; return error; }
EXPORTED Error cudaPeekAtLastError() { return last_error; }
EXPORTED const char* cudaGetErrorString(Error error) {
    switch (error) {
        case cudaErrorMemoryAllocation: return "out of memory";
        case cudaErrorInsufficientDriver: return "CUDA driver version is insufficient for CUDA runtime version";
        case cudaErrorStreamCaptureUnsupported: return "operation not permitted when stream is capturing";
        default: return "error of the null device";
    }
}
EXPORTED const char* cudaGetErrorName(Error error) { return error == cudaErrorMemoryAllocation ? "cudaErrorMemoryAllocation" : "cudaErrorNull"; }

// ---------------------------------------------------------------------------------------------------- capture of graphs

struct Capture {
    cudaStream_t stream = nullptr;
    unsigned long long number = 0;
    bool on = false;
};
static Capture capture;
static bool captures(cudaStream_t stream) { return capture.on && stream == capture.stream; }

EXPORTED Error cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
    if (capture.on) return fail(cudaErrorIllegalState);
    capture.stream = stream, capture.on = true, capture.number++;
    counters().add("captures");
    return cudaSuccess;
}
EXPORTED Error cudaStreamEndCapture(cudaStream_t, cudaGraph_t* graph) { capture.on = false; *graph = (cudaGraph_t)0x40; return cudaSuccess; }
EXPORTED Error cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
    *status = captures(stream) ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return cudaSuccess;
}
EXPORTED Error cudaStreamGetCaptureInfo(cudaStream_t stream, cudaStreamCaptureStatus* status, unsigned long long* id, cudaGraph_t* graph,
                                        const cudaGraphNode_t** nodes, const cudaGraphEdgeData**, size_t* count) {
    cudaStreamIsCapturing(stream, status);
    if (id) *id = capture.number;
    if (graph) *graph = (cudaGraph_t)0x40;
    if (nodes) *nodes = nullptr;
    if (count) *count = 0;
    return cudaSuccess;
}
EXPORTED Error cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode*) { return cudaSuccess; }
EXPORTED Error cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t, unsigned long long) { *exec = (cudaGraphExec_t)0x50; return cudaSuccess; }
EXPORTED Error cudaGraphInstantiateWithFlags(cudaGraphExec_t* exec, cudaGraph_t, unsigned long long) { *exec = (cudaGraphExec_t)0x50; return cudaSuccess; }
EXPORTED Error cudaGraphLaunch(cudaGraphExec_t, cudaStream_t) { counters().add("graph launches"); return cudaSuccess; }
EXPORTED Error cudaGraphDestroy(cudaGraph_t) { return cudaSuccess; }
EXPORTED Error cudaGraphExecDestroy(cudaGraphExec_t) { return cudaSuccess; }
EXPORTED Error cudaGraphGetNodes(cudaGraph_t, cudaGraphNode_t*, size_t* count) { *count = 1; return cudaSuccess; }
EXPORTED Error cudaGraphRetainUserObject(cudaGraph_t, cudaUserObject_t, unsigned, unsigned) { return cudaSuccess; }
EXPORTED Error cudaUserObjectCreate(cudaUserObject_t* object, void*, cudaHostFn_t, unsigned, unsigned) { *object = (cudaUserObject_t)0x60; return cudaSuccess; }
EXPORTED Error cudaUserObjectRelease(cudaUserObject_t, unsigned) { return cudaSuccess; }

// ---------------------------------------------------------------------------------------------------- memory and copies

static std::mutex memory_lock;
static std::map<uintptr_t, size_t> on_device, pinned;
static std::map<uintptr_t, int> device_of;
static std::map<int, size_t> used;
static size_t pinned_now = 0, pinned_peak = 0;

static void* reserve(size_t bytes) {
    void* place = mmap(nullptr, bytes ? bytes : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return place == MAP_FAILED ? nullptr : place;  // pages are taken when they are written to: 80 GB need not be there
}
static bool within(const std::map<uintptr_t, size_t>& blocks, const void* place) {
    auto after = blocks.upper_bound((uintptr_t)place);
    if (after == blocks.begin()) return false;
    --after;
    return (uintptr_t)place < after->first + after->second;
}

EXPORTED Error cudaMemGetInfo(size_t* free_bytes, size_t* total) {
    std::lock_guard<std::mutex> guard(memory_lock);
    *total = device_bytes(), *free_bytes = device_bytes() - used[current_device];
    return cudaSuccess;
}
EXPORTED Error cudaMalloc(void** place, size_t bytes) {
    counters().add("allocations");
    std::lock_guard<std::mutex> guard(memory_lock);
    *place = nullptr;
    if (used[current_device] + bytes > device_bytes() || !(*place = reserve(bytes))) return fail(cudaErrorMemoryAllocation);
    on_device[(uintptr_t)*place] = bytes, device_of[(uintptr_t)*place] = current_device, used[current_device] += bytes;
    return cudaSuccess;
}
EXPORTED Error cudaFree(void* place) {
    if (!place) return cudaSuccess;
    std::lock_guard<std::mutex> guard(memory_lock);
    auto block = on_device.find((uintptr_t)place);
    if (block == on_device.end()) return cudaSuccess;
    munmap(place, block->second ? block->second : 1);
    used[device_of[block->first]] -= block->second;
    device_of.erase(block->first), on_device.erase(block);
    return cudaSuccess;
}
EXPORTED Error cudaHostAlloc(void** place, size_t bytes, unsigned) {
    std::lock_guard<std::mutex> guard(memory_lock);
    *place = reserve(bytes);
    pinned[(uintptr_t)*place] = bytes, pinned_now += bytes;
    if (pinned_now > pinned_peak) pinned_peak = pinned_now;
    return cudaSuccess;
}
EXPORTED Error cudaFreeHost(void* place) {
    std::lock_guard<std::mutex> guard(memory_lock);
    auto block = pinned.find((uintptr_t)place);
    if (block != pinned.end()) munmap(place, block->second), pinned_now -= block->second, pinned.erase(block);
    return cudaSuccess;
}
EXPORTED Error cudaHostRegister(void*, size_t, unsigned) { return cudaSuccess; }
EXPORTED Error cudaHostUnregister(void*) { return cudaSuccess; }
EXPORTED Error cudaPointerGetAttributes(cudaPointerAttributes* a, const void* place) {
    std::lock_guard<std::mutex> guard(memory_lock);
    memset(a, 0, sizeof *a);
    a->type = cudaMemoryTypeUnregistered;
    if (within(on_device, place)) a->type = cudaMemoryTypeDevice, a->devicePointer = (void*)place;
    if (within(pinned, place)) a->type = cudaMemoryTypeHost, a->hostPointer = a->devicePointer = (void*)place;
    return cudaSuccess;
}
static Error copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, bool capturing) {
    bool up = kind == cudaMemcpyHostToDevice, down = kind == cudaMemcpyDeviceToHost;
    if (up || down) {
        bool from_pinned;
        {
            std::lock_guard<std::mutex> guard(memory_lock);
            from_pinned = within(pinned, up ? from : to);
        }
        if (capturing && !from_pinned) return fail(cudaErrorStreamCaptureUnsupported);
        std::string name = std::string(up ? "to device, " : "to host, ") + (from_pinned ? "pinned" : "pageable");
        counters().add(name.c_str());
        counters().add((name + ", bytes").c_str(), bytes);
    } else {
        counters().add("copies on the device");
    }
    // Large copies on the device carry no values worth having, and would take the pages of both.
    if (up || down || kind == cudaMemcpyDefault || bytes < (1u << 20)) memmove(to, from, bytes);
    return cudaSuccess;
}
EXPORTED Error cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
    counters().add("synchronizations");
    return copy(to, from, bytes, kind, capture.on);
}
EXPORTED Error cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
    return copy(to, from, bytes, kind, captures(stream));
}
EXPORTED Error cudaMemcpyPeerAsync(void*, int, const void*, int, size_t, cudaStream_t) { counters().add("copies between devices"); return cudaSuccess; }
EXPORTED Error cudaMemcpyToSymbol(const void*, const void*, size_t, size_t, cudaMemcpyKind) { return cudaSuccess; }
EXPORTED Error cudaMemset(void*, int, size_t) { counters().add("fills"); return cudaSuccess; }
EXPORTED Error cudaMemsetAsync(void*, int, size_t, cudaStream_t) { counters().add("fills"); return cudaSuccess; }

// ---------------------------------------------------------------------------------------------------- streams and events

static uint64_t next_handle = 0x1000;
template <typename T> static Error give(T* handle) { *handle = (T)__sync_add_and_fetch(&next_handle, 16); return cudaSuccess; }
static Error wait(bool capturing) {
    counters().add("synchronizations");
    return capturing ? fail(cudaErrorStreamCaptureUnsupported) : cudaSuccess;
}
EXPORTED Error cudaDeviceSynchronize() { return wait(capture.on); }
EXPORTED Error cudaStreamSynchronize(cudaStream_t stream) { return wait(captures(stream)); }
EXPORTED Error cudaEventSynchronize(cudaEvent_t) { return wait(capture.on); }
EXPORTED Error cudaStreamCreate(cudaStream_t* stream) { return give(stream); }
EXPORTED Error cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) { return give(stream); }
EXPORTED Error cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned, int) { return give(stream); }
EXPORTED Error cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
EXPORTED Error cudaStreamGetPriority(cudaStream_t, int* priority) { *priority = 0; return cudaSuccess; }
EXPORTED Error cudaStreamQuery(cudaStream_t) { return cudaSuccess; }
EXPORTED Error cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
EXPORTED Error cudaStreamAddCallback(cudaStream_t, void*, void*, unsigned) { return cudaSuccess; }
EXPORTED Error cudaLaunchHostFunc(cudaStream_t, void (*function)(void*), void* data) { function(data); return cudaSuccess; }
EXPORTED Error cudaEventCreate(cudaEvent_t* event) { return give(event); }
EXPORTED Error cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) { return give(event); }
EXPORTED Error cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }
EXPORTED Error cudaEventQuery(cudaEvent_t) { return cudaSuccess; }
EXPORTED Error cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }
EXPORTED Error cudaEventRecordWithFlags(cudaEvent_t, cudaStream_t, unsigned) { return cudaSuccess; }
EXPORTED Error cudaEventElapsedTime(float* milliseconds, cudaEvent_t, cudaEvent_t) { *milliseconds = 1; return cudaSuccess; }

// ---------------------------------------------------------------------------------------------------- kernels

struct Three { unsigned x, y, z; };
static Error launched(const void* kernel) {
    Counters& c = counters();
    std::lock_guard<std::mutex> guard(c.lock);
    c.launches[kernel]++;
    return cudaSuccess;
}
EXPORTED Error cudaLaunchKernel(const void* kernel, Three, Three, void**, size_t, cudaStream_t) { return launched(kernel); }
EXPORTED Error __cudaLaunchKernel(const void* kernel, Three, Three, void**, size_t, cudaStream_t) { return launched(kernel); }
EXPORTED Error cudaLaunchKernelExC(const void*, const void* kernel, void**) { return launched(kernel); }
EXPORTED Error cudaLaunchCooperativeKernel(const void* kernel, Three, Three, void**, size_t, cudaStream_t) { return launched(kernel); }
EXPORTED Error __cudaGetKernel(const void** kernel, const void* function) { *kernel = function; return cudaSuccess; }
static thread_local struct { Three grid, block; size_t shared; void* stream; } configuration;
EXPORTED unsigned __cudaPushCallConfiguration(Three grid, Three block, size_t shared, void* stream) { configuration = {grid, block, shared, stream}; return 0; }
EXPORTED Error __cudaPopCallConfiguration(Three* grid, Three* block, size_t* shared, void** stream) {
    *grid = configuration.grid, *block = configuration.block, *shared = configuration.shared, *stream = configuration.stream;
    return cudaSuccess;
}
static void* binary[4];
EXPORTED void** __cudaRegisterFatBinary(void*) { return binary; }
EXPORTED void __cudaRegisterFatBinaryEnd(void**) {}
EXPORTED void __cudaUnregisterFatBinary(void**) {}
EXPORTED void __cudaRegisterFunction(void**, const char* host, char*, const char* name, int, void*, void*, void*, void*, int*) {
    Counters& c = counters();
    std::lock_guard<std::mutex> guard(c.lock);
    c.kernel_names[host] = name;
}
EXPORTED void __cudaRegisterVar(void**, char*, char*, const char*, int, size_t, int, int) {}
EXPORTED Error cudaFuncGetAttributes(cudaFuncAttributes* a, const void*) {
    memset(a, 0, sizeof *a);
    int major, minor;
    capability(major, minor);
    a->maxThreadsPerBlock = 1024, a->numRegs = 64, a->maxDynamicSharedSizeBytes = 49152;
    a->binaryVersion = a->ptxVersion = major * 10 + minor;
    return cudaSuccess;
}
EXPORTED Error cudaFuncSetAttribute(const void*, cudaFuncAttribute, int) { return cudaSuccess; }
EXPORTED Error cudaKernelSetAttributeForDevice(void*, cudaFuncAttribute, int, int) { return cudaSuccess; }
EXPORTED Error cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* n, const void*, int, size_t, unsigned) { *n = 2; return cudaSuccess; }
EXPORTED Error cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* n, const void*, int, size_t) { *n = 2; return cudaSuccess; }
EXPORTED Error cudaGetDriverEntryPointByVersion(const char*, void** function, unsigned, unsigned long long, cudaDriverEntryPointQueryResult* result) {
    *function = nullptr;
    if (result) *result = cudaDriverEntryPointSymbolNotFound;
    return cudaErrorSymbolNotFound;
}
EXPORTED Error cudaGetSymbolAddress(void** place, const void* symbol) { *place = (void*)symbol; return cudaSuccess; }

// ---------------------------------------------------------------------------------------------------- the counters, for Python

EXPORTED void null_cuda_reset() {
    Counters& c = counters();
    std::lock_guard<std::mutex> guard(c.lock);
    c.calls.clear(), c.launches.clear();
    pinned_peak = pinned_now;
}
// One line per counter: "<count> call <kind>" or "<count> kernel <mangled name>".
EXPORTED void null_cuda_write(const char* path) {
    Counters& c = counters();
    std::lock_guard<std::mutex> guard(c.lock);
    FILE* file = fopen(path, "w");
    if (!file) return;
    for (auto& call : c.calls) fprintf(file, "%lu call %s\n", call.second, call.first.c_str());
    for (auto& launch : c.launches) {
        auto name = c.kernel_names.find(launch.first);
        fprintf(file, "%lu kernel %s\n", launch.second, name == c.kernel_names.end() ? "unnamed" : name->second.c_str());
    }
    fprintf(file, "%zu call pinned bytes, peak\n", pinned_peak);
    fclose(file);
}

// ---------------------------------------------------------------------------------------------------- refused, with a word

#define REFUSED(name) EXPORTED Error name(...) { fprintf(stderr, "null device: %s is not there\n", #name); return cudaErrorNotSupported; }
REFUSED(cudaDeviceEnablePeerAccess) REFUSED(cudaDeviceGetDefaultMemPool) REFUSED(cudaDeviceGetGraphMemAttribute)
REFUSED(cudaDeviceSetGraphMemAttribute) REFUSED(cudaFreeAsync) REFUSED(cudaGraphNodeGetDependencies) REFUSED(cudaIpcCloseMemHandle)
REFUSED(cudaIpcGetMemHandle) REFUSED(cudaIpcOpenMemHandle) REFUSED(cudaIpcGetEventHandle) REFUSED(cudaIpcOpenEventHandle)
REFUSED(cudaMallocAsync) REFUSED(cudaMemPoolGetAttribute) REFUSED(cudaMemPoolSetAccess) REFUSED(cudaMemPoolSetAttribute)
REFUSED(cudaMemPoolTrimTo) REFUSED(cudaGraphAddNode) REFUSED(cudaGraphConditionalHandleCreate) REFUSED(cudaLibraryGetKernel)
REFUSED(cudaLibraryLoadData) REFUSED(cudaLibraryUnload) REFUSED(cudaStreamBeginCaptureToGraph)
REFUSED(cudaStreamUpdateCaptureDependencies)
