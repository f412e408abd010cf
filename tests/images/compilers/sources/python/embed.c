/* A program that has Python inside. */
#include <Python.h>

int main(void) {
    Py_Initialize();
    int failed = PyRun_SimpleString("print('embedded')");
    return Py_FinalizeEx() || failed;
}
