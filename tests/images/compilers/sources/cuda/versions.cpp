// Host code alone: for each library its name, the version in its header and the one that the library tells.
#include <cublasLt.h>
#include <cuda_profiler_api.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>
#include <cufft.h>
#include <cufile.h>
#include <cupti.h>
#if __has_include(<curand.h>)
#include <curand.h>
#endif
#include <cusolverDn.h>
#include <cusparse.h>
#include <cusparseLt.h>
#include <nccl.h>
#include <nvJitLink.h>
#include <nvrtc.h>
#include <nvshmem_host.h>
#include <nvtx3/nvtx3.hpp>

#include <cstdio>

template <typename Get> static int ask(Get get) {
    int major = 0, minor = 0, patch = 0;
    get(MAJOR_VERSION, &major), get(MINOR_VERSION, &minor), get(PATCH_LEVEL, &patch);
    return major * 1000 + minor * 100 + patch;
}

int main() {
    int number = 0, major = 0, minor = 0, patch = 0;
    unsigned newest = 0, minor_of_newest = 0;
    nvtx3::mark("no profiler listens");
    cudaProfilerStop();
    cudaRuntimeGetVersion(&number), std::printf("cudart %d %d\n", CUDART_VERSION, number);
    std::printf("cublasLt %d %zu\n", CUBLAS_VERSION, cublasLtGetVersion());
    std::printf("cudnn %d %zu\n", CUDNN_VERSION, cudnnGetVersion());
    cufftGetVersion(&number), std::printf("cufft %d %d\n", CUFFT_VERSION, number);
    // cuFile's header has no version.
    std::printf("cufile %d %d\n", CU_FILE_SUCCESS, cuFileGetVersion(&number).err);
    // Without a driver, CUPTI 13.2 ends a program that asks for its version.
    decltype(&cuptiGetVersion) volatile cupti = cuptiGetVersion;
    std::printf("cupti 1 %d\n", cupti != nullptr);
    cusolverGetVersion(&number), std::printf("cusolver %d %d\n", CUSOLVER_VERSION, number);
    std::printf("cusparse %d %d\n", CUSPARSE_VERSION, ask(cusparseGetProperty));
    std::printf("cusparseLt %d %d\n", CUSPARSELT_VERSION, ask(cusparseLtGetProperty));
    ncclGetVersion(&number), std::printf("nccl %d %d\n", NCCL_VERSION_CODE, number);
    nvJitLinkVersion(&newest, &minor_of_newest);
    std::printf("nvJitLink %d %u\n", CUDART_VERSION, newest * 1000 + minor_of_newest * 10);
    nvrtcVersion(&major, &minor), std::printf("nvrtc %d %d\n", CUDART_VERSION, major * 1000 + minor * 10);
    nvshmemx_vendor_get_version_info(&major, &minor, &patch);
    std::printf("nvshmem_host %d %d\n", NVSHMEM_VENDOR_VERSION, major * 10000 + minor * 100 + patch);
#if __has_include(<curand.h>)
    curandGetVersion(&number), std::printf("curand %d %d\n", CURAND_VERSION, number);
#endif
}
