// The version in each library's header, then the one that the library tells.
#include <amd_comgr/amd_comgr.h>
#include <hip/hip_runtime.h>
#include <hipfft/hipfft.h>
#include <hiprand/hiprand.h>
#include <hsa/hsa.h>
#include <rccl/rccl.h>
#include <rocblas/rocblas.h>
#include <rocfft/rocfft-version.h>
#include <rocfft/rocfft.h>
#include <rocm_smi/rocm_smi.h>
#include <rocrand/rocrand.h>

#include <cstdio>

int main() {
    int hip = 0, hipfft = 0, hiprand = 0, rand = 0, rccl = 0;
    char blas[64] = "", fft[64] = "";
    size_t comgr = 0, comgr_minor = 0;
    rsmi_version_t smi = {};
    if (hipRuntimeGetVersion(&hip) != hipSuccess) return 1;
    if (hipfftGetVersion(&hipfft) != HIPFFT_SUCCESS) return 2;
    if (hiprandGetVersion(&hiprand) != HIPRAND_STATUS_SUCCESS) return 3;
    if (ncclGetVersion(&rccl) != ncclSuccess) return 4;
    if (rocblas_get_version_string(blas, sizeof blas) != rocblas_status_success) return 5;
    if (rocfft_get_version_string(fft, sizeof fft) != rocfft_status_success) return 6;
    if (rocrand_get_version(&rand) != ROCRAND_STATUS_SUCCESS) return 7;
    if (rsmi_version_get(&smi) != RSMI_STATUS_SUCCESS) return 8;
    if (hsa_shut_down() != HSA_STATUS_ERROR_NOT_INITIALIZED) return 9;
    amd_comgr_get_version(&comgr, &comgr_minor);
    std::printf("amd_comgr %d %zu\n", AMD_COMGR_INTERFACE_VERSION_MAJOR, comgr);
    // hipRAND's header is a patch behind its library.
    std::printf("hip %d %d\n", HIP_VERSION / 100000, hip / 100000);
    std::printf("hiprand %d %d\n", HIPRAND_VERSION / 100, hiprand / 100);
    std::printf("rccl %d %d\n", NCCL_VERSION_CODE, rccl);
    std::printf("rocblas %d.%d.%d %.6s\n", ROCBLAS_VERSION_MAJOR, ROCBLAS_VERSION_MINOR, ROCBLAS_VERSION_PATCH, blas);
    std::printf("rocfft %d.%d.%d %.6s\n", rocfft_version_major, rocfft_version_minor, rocfft_version_patch, fft);
    std::printf("rocrand %d %d\n", ROCRAND_VERSION / 100, rand / 100);
    return 0;
}
