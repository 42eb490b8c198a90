/* A library that is no PKCS#11 module, though it has the symbol of one. */
int C_GetFunctionList(void **list);
int C_GetFunctionList(void **list) {
    *list = 0;
    return 0;
}
