// What LeakSanitizer is not to report. cpprestsdk forgets the decrypted password of a proxy, a
// string for each connection through one that wants a password (zero_memory_deleter in its
// web_utilities.cpp deletes on Windows alone); its library tells no name of the place.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() {
  return "leak:libcpprest.so\n";
}
