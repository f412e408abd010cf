/* A product of vectors by BLAS, and LAPACK's answer for a matrix of ones: it has no inverse. */
#include <cblas.h>
#include <stdio.h>

void dgetrf_(int *, int *, double *, int *, int *, int *);

int main(void) {
    double a[] = {1, 1, 1, 1}, b[] = {1, 2, 3, 4};
    int n = 2, pivots[2], info = 0;
    double product = cblas_ddot(4, a, 1, b, 1);
    dgetrf_(&n, &n, a, &n, pivots, &info);
    printf("%g %d\n", product, info);
    return 0;
}
