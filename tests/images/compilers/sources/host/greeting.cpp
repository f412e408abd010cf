#include <string>

std::string greeting() { return "built by CMake"; }
