#include <iostream>
#include <string>
#include <thread>

std::string greeting();

int main() {
    std::thread([] { std::cout << greeting() << std::endl; }).join();
}
