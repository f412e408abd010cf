/* A Python module in C that returns an array of NumPy's. */
#include <Python.h>
#include <numpy/arrayobject.h>

static PyObject *zeros(PyObject *self, PyObject *nothing) {
    npy_intp length = 3;
    return PyArray_ZEROS(1, &length, NPY_INT, 0);
}

static PyMethodDef methods[] = {{"zeros", zeros, METH_NOARGS, NULL}, {NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "zeros", NULL, -1, methods};

PyMODINIT_FUNC PyInit_zeros(void) {
    import_array();
    return PyModule_Create(&definition);
}
