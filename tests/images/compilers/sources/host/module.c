/* A Python module in C: Python.h and the compiler that Python was built with. */
#include <Python.h>

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "module", "built in devel", -1, NULL};

PyMODINIT_FUNC PyInit_module(void) { return PyModule_Create(&definition); }
