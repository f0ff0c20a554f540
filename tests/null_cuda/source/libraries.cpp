// cuBLAS, cuDNN and NCCL of the null device: products and convolutions are counted, collectives of one process are copies.
#include "device.h"

#include <cstring>

static int handle[64];

// ---------------------------------------------------------------------------------------------------- cuBLAS

#define PRODUCT(name) EXPORTED int name(...) { counters().add("product " #name); return 0; }
PRODUCT(cublasSgemm_v2) PRODUCT(cublasSgemmEx) PRODUCT(cublasGemmEx) PRODUCT(cublasSgemmStridedBatched) PRODUCT(cublasGemmStridedBatchedEx)
PRODUCT(cublasSgemv_v2) PRODUCT(cublasSdot_v2) PRODUCT(cublasDotEx) PRODUCT(cublasLtMatmul) PRODUCT(cublasDgemm_v2)
EXPORTED int cublasCreate_v2(void** h) { *h = handle; return 0; }
EXPORTED int cublasDestroy_v2(void*) { return 0; }
EXPORTED int cublasSetStream_v2(void*, void*) { return 0; }
EXPORTED int cublasSetWorkspace_v2(void*, void*, size_t) { return 0; }
static int math_mode = 0;
EXPORTED int cublasGetMathMode(void*, int* mode) { *mode = math_mode; return 0; }
EXPORTED int cublasSetMathMode(void*, int mode) { math_mode = mode; return 0; }
EXPORTED int cublasGetPointerMode_v2(void*, int* mode) { *mode = 0; return 0; }
EXPORTED int cublasSetPointerMode_v2(void*, int) { return 0; }
EXPORTED int cublasSetSmCountTarget(void*, int) { return 0; }
EXPORTED int cublasLtMatmulAlgoGetHeuristic(void*, void*, void*, void*, void*, void*, void*, int, char* result, int* count) {
    memset(result, 0, 96);
    *count = 1;
    return 0;
}

// ---------------------------------------------------------------------------------------------------- cuDNN's backend interface

EXPORTED int cudnnCreate(void** h) { *h = handle; return 0; }
EXPORTED int cudnnDestroy(void*) { return 0; }
EXPORTED int cudnnSetStream(void*, void*) { return 0; }
EXPORTED int cudnnGetStream(void*, void** stream) { *stream = nullptr; return 0; }
EXPORTED int cudnnBackendCreateDescriptor(int, void** descriptor) { *descriptor = calloc(1, 64); return 0; }
EXPORTED int cudnnBackendDestroyDescriptor(void* descriptor) { free(descriptor); return 0; }
EXPORTED int cudnnBackendSetAttribute(void*, int, int, int64_t, const void*) { return 0; }
EXPORTED int cudnnBackendFinalize(void*) { return 0; }
EXPORTED int cudnnBackendGetAttribute(void*, int name, int type, int64_t requested, int64_t* count, void* out) {
    const int int64_type = 3, workspace_size = 402;
    bool notes = type == 12 || type == 13 || type == 17 || type == 18 || type == 19;  // numerical and behavior notes: none
    if (count) *count = notes ? 0 : 1;
    if (out && requested > 0 && type == int64_type) *(int64_t*)out = name == workspace_size ? atoll(setting("NULL_CUDA_WORKSPACE", "0")) : 0;
    return 0;
}
EXPORTED int cudnnBackendExecute(void*, void*, void*) { counters().add("convolution cudnn"); return 0; }
EXPORTED int cudnnSpatialTfSamplerForward(...) { counters().add("sampler cudnn, forward"); return 0; }
EXPORTED int cudnnSpatialTfSamplerBackward(...) { counters().add("sampler cudnn, backward"); return 0; }

// ---------------------------------------------------------------------------------------------------- NCCL, one process

struct Id { char bytes[128]; };
static int communicator = 1;
static int join(void** c, int world) {
    *c = &communicator;
    if (world != 1) fprintf(stderr, "null device: NCCL joins one process only, not %d\n", world);
    return world == 1 ? 0 : 1;
}
EXPORTED int ncclGetVersion(int* version) { *version = 22700; return 0; }
EXPORTED int ncclGetUniqueId(Id* id) { memset(id, 7, sizeof *id); return 0; }
EXPORTED int ncclCommGetUniqueId(void*, Id* id) { memset(id, 7, sizeof *id); return 0; }
EXPORTED int ncclCommInitRank(void** c, int world, Id, int) { return join(c, world); }
EXPORTED int ncclCommInitRankConfig(void** c, int world, Id, int, void*) { return join(c, world); }
EXPORTED int ncclCommInitRankScalable(void** c, int world, int, int, Id*, void*) { return join(c, world); }
EXPORTED int ncclCommAbort(void*) { return 0; }
EXPORTED int ncclCommDestroy(void*) { return 0; }
EXPORTED int ncclCommFinalize(void*) { return 0; }
EXPORTED int ncclCommGetAsyncError(void*, int* error) { *error = 0; return 0; }
EXPORTED int ncclCommCount(void*, int* count) { *count = 1; return 0; }
EXPORTED int ncclCommUserRank(void*, int* rank) { *rank = 0; return 0; }
EXPORTED int ncclCommRegister(void*, void*, size_t, void** h) { *h = &communicator; return 0; }
EXPORTED int ncclCommDeregister(void*, void*) { return 0; }
EXPORTED int ncclGroupStart() { return 0; }
EXPORTED int ncclGroupEnd() { return 0; }
EXPORTED const char* ncclGetErrorString(int) { return "error of the null device"; }
EXPORTED const char* ncclGetLastError(void*) { return ""; }
static int collective(const char* kind, const void* from, void* to, size_t count, int type) {
    static const int bytes[] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2, 1, 1};
    counters().add(kind);
    if (from != to) memmove(to, from, count * bytes[type]);
    return 0;
}
EXPORTED int ncclAllReduce(const void* s, void* d, size_t n, int t, int, void*, void*) { return collective("collective all_reduce", s, d, n, t); }
EXPORTED int ncclAllGather(const void* s, void* d, size_t n, int t, void*, void*) { return collective("collective all_gather", s, d, n, t); }
EXPORTED int ncclBroadcast(const void* s, void* d, size_t n, int t, int, void*, void*) { return collective("collective broadcast", s, d, n, t); }
EXPORTED int ncclReduce(const void* s, void* d, size_t n, int t, int, int, void*, void*) { return collective("collective reduce", s, d, n, t); }
EXPORTED int ncclReduceScatter(const void* s, void* d, size_t n, int t, int, void*, void*) { return collective("collective reduce_scatter", s, d, n, t); }
EXPORTED int ncclBcast(void*, size_t, int, int, void*, void*) { return 0; }
